"""Tests of `kerasmodes train`: metrics, warnings, resumed runs; more in `tests/test_cli.py`."""

import functools
import json
import shutil
import warnings

import keras
import numpy as np
import pytest

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import run_folders
from kerasmodes.metrics import sliced_wasserstein_distance


@pytest.fixture(autouse=True, scope="module")
def _few_directions():
    """A sixteenth of the directions: these tests look at what is done with the metric."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_wasserstein_distance, "NUM_DIRECTIONS", 32)
        yield


@pytest.mark.sweep
def test_metrics_go_into_the_history(tmp_path, monkeypatch):
    few_images = functools.partial(km.callbacks.GenerationMetrics, num_images=64)
    monkeypatch.setattr(km.callbacks, "GenerationMetrics", few_images)
    monkeypatch.setitem(km.presets.PRESETS, "default", functools.partial(km.presets.Default, 8, 8))
    words = [
        "--split=train[:32]",
        "--batch-size=32",
        "--num-scales=1",
        "--generator-optimizer=sgd",
        "--discriminator-optimizer=sgd",
        "--metrics-every=2",
        "--mode=eager",
    ]
    run = tmp_path / "run"
    assert cli.main(["train", "msggan", *words, "--epochs=2", f"--run={run}"]) == 0
    history = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
    assert history["val_frechet"][0] != history["val_frechet"][1]
    assert np.isfinite(history["val_swd_28"]).all()


SUM = ["train", "sum", "--num-samples=32", "--batch-size=8", "--seed=1", "--mode=eager"]
SUM = [*SUM, "--optimizer=sgd", "--units=2"]


@pytest.fixture(scope="module")
def _stopped_run(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "started"
    assert cli.main([*SUM, "--resume", f"--run={run}"]) == 0
    return run


@pytest.fixture
def stopped_run(_stopped_run, tmp_path):
    """The folder of a run that can be resumed."""
    return shutil.copytree(_stopped_run, tmp_path / "started")


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(words, folder, message, capsys):
    """Asserts that a command is an error of one line that changes nothing in a folder."""
    before = snapshot(folder)
    assert cli.main([*words, f"--run={folder}"]) == 1
    found = capsys.readouterr().err
    assert message in found
    assert len(found.splitlines()) == 1
    assert snapshot(folder) == before


@pytest.mark.slow
def test_a_run_is_resumed_for_more_epochs_and_its_config_says_so(stopped_run):
    assert cli.main([*SUM, "--resume", f"--run={stopped_run}", "--epochs=2", "--mode=graph"]) == 0
    assert run_folders.read_config(stopped_run)["epochs"] == 2
    history = np.genfromtxt(stopped_run / "history.csv", delimiter=",", names=True)
    assert list(history["epoch"]) == [0, 1]
    record = json.loads((stopped_run / "run.json").read_text())
    assert [row["epoch"] for row in record["epochs"]] == [0, 1]


def test_a_run_is_not_resumed_with_other_settings(stopped_run, capsys):
    words = [*SUM, "--resume", "--epochs=2", "--units=4"]
    message = "`--units` must be [2], as at the start of the run, to resume it. Received: --units"
    assert_refused(words, stopped_run, message, capsys)


def test_a_run_without_progress_is_not_resumed(stopped_run, capsys):
    shutil.rmtree(stopped_run / "progress")
    words = [*SUM, "--resume", "--epochs=2"]
    assert_refused(words, stopped_run, "`--run` must hold progress/", capsys)


@pytest.mark.slow
def test_a_run_started_without_resume_is_not_overwritten(tmp_path, capsys):
    run = tmp_path / "run"
    assert cli.main([*SUM, f"--run={run}"]) == 0
    capsys.readouterr()
    message = "must be a run that was started with --resume"
    assert_refused([*SUM, "--resume", "--epochs=2"], run, message, capsys)


def test_a_config_that_cannot_be_read_is_named(stopped_run, capsys):
    words = [*SUM, "--resume", "--epochs=2"]
    (stopped_run / "config.yaml").write_text("{ half")
    assert_refused(words, stopped_run, "whose config.yaml cannot be read", capsys)


@pytest.mark.filterwarnings("ignore:The checkpoint .* is damaged:UserWarning")
def test_a_run_whose_checkpoints_are_damaged_is_not_begun_again(stopped_run, capsys):
    (checkpoint,) = (stopped_run / "progress").iterdir()
    weights = checkpoint / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:500])
    assert cli.main([*SUM, "--resume", "--epochs=2", f"--run={stopped_run}"]) == 1
    assert "`--run` must hold a checkpoint that is whole" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sum", "--epochs=0"], "`--epochs` must be a positive integer. Received: --epochs=0"),
        (
            ["msggan", "--batch-size=3.5"],
            "`--batch-size` must be a positive integer. Received: --batch",
        ),
        (["msggan", "--test-split=x"], "`--test-split` needs `--metrics-every`"),
        (["msggan", "--num-images=9"], "`--num-images` needs `--metrics-every`"),
        (["msggan", "--metrics-every=0"], "`--metrics-every` must be a positive integer"),
        (
            ["msggan", "--dropout=0.3"],
            "`--dropout` must be left out: the preset 'default' has none",
        ),
        (
            ["msggan", "--preset=paper", "--combination=sum"],
            "`--combination` must be one of 'simple'",
        ),
        (
            ["msggan", "--image-shape=(32, 32, 3)"],
            "`--image-shape` must be that of the data, [28, 28",
        ),
    ],
)
def test_wrong_words_leave_no_folder(tmp_path, capsys, words, message):
    run = tmp_path / "run"
    assert cli.main(["train", *words, f"--run={run}"]) == 1
    assert message in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.slow
def test_a_label_that_is_no_class_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(km.presets.PRESETS, "default", functools.partial(km.presets.Default, 8, 8))
    words = [
        "--split=train[:32]",
        "--batch-size=32",
        "--num-scales=1",
        "--num-classes=3",
        "--mode=graph",
    ]
    assert cli.main(["train", "msggan", *words, f"--run={tmp_path / 'run'}"]) == 1
    assert not (tmp_path / "run").exists()
    found = capsys.readouterr().err
    assert "Labels must be from 0 to 2, since --num-classes=3. Received: from 0" in found
    assert len(found.splitlines()) == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_start_that_fails_leaves_no_folder(error, tmp_path, monkeypatch):
    def fail(callback, logs=None):
        raise error("no such font")

    monkeypatch.setattr(km.callbacks.LossCurves, "on_train_begin", fail)
    monkeypatch.setattr(keras.callbacks.CSVLogger, "on_train_begin", fail)
    assert cli.main([*SUM, f"--run={tmp_path / 'run'}"]) in (1, 130)
    assert not (tmp_path / "run").exists()


def test_what_a_run_has_learned_is_not_removed(tmp_path):
    for name in ("history.csv", "progress/step_1/model.weights.h5"):
        path = tmp_path / name.partition("/")[0] / name
        path.parent.mkdir(parents=True)
        path.write_text("loss\n")
        folder = tmp_path / name.partition("/")[0]
        run_folders.remove_failed_start(folder)
        assert path.exists()


@pytest.mark.slow
@pytest.mark.sweep
def test_a_gan_that_goes_wrong_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr("kerasmodes.callbacks.health.ALIKE", 1e9)
    words = [
        "--split=train[:32]",
        "--batch-size=32",
        "--num-scales=1",
        "--epochs=3",
        "--mode=eager",
    ]
    widths = ["--generator-filters=2", "--discriminator-filters=2"]
    widths += ["--generator-optimizer=sgd", "--discriminator-optimizer=sgd"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        cli.main(["train", "msggan", *words, *widths, f"--run={tmp_path / 'run'}"])
    messages = [str(one.message) for one in caught]
    assert any(one.startswith("Epoch 3: the generated images are alike") for one in messages)


@pytest.mark.slow
def test_a_run_that_stops_at_a_nan_records_why(tmp_path):
    words = [*SUM, '--optimizer={"class_name":"SGD","config":{"learning_rate":1e30}}']
    assert cli.main([*words, f"--run={tmp_path / 'run'}"]) == 1
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "stopped at a number that is not finite"
    assert "Training was stopped in epoch 1" in record["message"]


def test_a_good_run_has_no_folder_for_what_is_not_finite(stopped_run):
    assert not (stopped_run / "nan").exists()
