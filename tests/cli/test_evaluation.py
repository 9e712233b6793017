"""Tests of `kerasmodes evaluate`: the file, the table, and what is refused."""

import json

import keras
import numpy as np
import pytest

import kerasmodes as km
from kerasmodes import arguments, cli
from kerasmodes.metrics import image_evaluator, sliced_wasserstein_distance


@pytest.fixture(autouse=True, scope="module")
def _few_directions():
    """A sixteenth of the directions: these tests look at what is done with the metric."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_wasserstein_distance, "NUM_DIRECTIONS", 32)
        yield


@pytest.mark.slow
def test_an_evaluation_of_a_chosen_split_is_shown_and_written(run, capsys):
    words = ["--split=test[:64]", "--num-images=32", "--seed=2"]
    assert cli.main(["evaluate", str(run), *words]) == 0
    evaluation = json.loads((run / "evaluation.json").read_text())
    generated = keras.models.load_model(run / "model.keras").generate(32, seed=2)[-1]
    (real,) = [images.numpy() for images in km.data.images(split="test[:64]", batch_size=64)]
    judge = image_evaluator.ImageEvaluator(real, num_images=32)
    assert evaluation["results"] == pytest.approx(judge.results(generated))
    assert evaluation["baselines"] == pytest.approx(judge.baselines())
    sizes = [evaluation[name] for name in ("num_real", "num_images", "num_equal")]
    assert sizes == [64, 32, 32]
    shares = evaluation["class_shares"]
    assert [sum(side.values()) for side in shares.values()] == pytest.approx([1, 1])
    assert max(shares["real"].values()) < 0.2
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("frechet", "32 / 64", "coverage", "swd_28", "sneaker"))


@pytest.mark.slow
def test_chosen_metrics_of_all_test_images(run):
    words = ["--metrics=swd", "--num-images=16"]
    assert cli.main(["evaluate", str(run), *words]) == 0
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["num_real"] == 256
    assert list(evaluation["results"]) == ["swd_7", "swd_14", "swd_28", "swd"]
    assert np.isfinite([*evaluation["results"].values()]).all()


@pytest.mark.slow
def test_the_factors_of_colour_shapes_are_counted(tmp_path, capsys, monkeypatch):
    preset = km.presets.Default(8, 8, half_life=None)
    gan = km.MSGGAN(km.data.shapes.IMAGE_SHAPE, num_scales=2, latent_dim=4, preset=preset, seed=0)
    gan.compile("sgd", "sgd")
    gan.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text("data: colour_shapes\n")
    # A generator of discs only, and every second time of nothing.
    factors = km.data.shapes.combine(np.arange(20))
    images = km.data.shapes.render(factors, seed=9).astype("float32") / 127.5 - 1
    images[::2] = 0
    monkeypatch.setattr(km.MSGGAN, "generate", lambda *args, **kwargs: [images])
    words = ["--metrics=swd", "--num-images=20", "--split=test[:20]", "--seed=4"]
    assert cli.main(["evaluate", str(tmp_path), *words]) == 0
    coverage = json.loads((tmp_path / "evaluation.json").read_text())["factor_coverage"]
    found, real = coverage["generated"], coverage["real"]
    assert (found["valid"], found["unevenness_shape"]) == (0.5, 0.75)
    assert found["covered"] == 10 / km.data.shapes.NUM_COMBINATIONS
    _, factors = km.data.colour_shapes(20, seed=4)
    assert real == km.metrics.factor_coverage(factors, km.data.shapes.NUM_VALUES)
    shown = capsys.readouterr().out
    assert "Factors of 20 images on each side" in shown and "unevenness_hue" in shown


@pytest.mark.slow
def test_a_run_that_names_no_data_needs_the_flag(run, capsys):
    (run / "config.yaml").unlink()
    assert cli.main(["evaluate", str(run)]) == 1
    assert "`--data` must name a data set" in capsys.readouterr().err


def test_a_folder_without_a_model_is_refused(tmp_path, capsys):
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert "`run` must hold a model.keras" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_run_that_cannot_be_written_to_is_noticed_before_the_work(
    command, run, capsys, monkeypatch
):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(arguments.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(km.MSGGAN, "generate", lambda *args, **kwargs: pytest.fail("it worked"))
    assert cli.main([command, str(run)]) == 1
    assert "`run` must be a folder to write to. Received: run='" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name"), [("evaluate", "evaluation.json"), ("generate", "generated.png")]
)
def test_a_folder_in_the_place_of_a_file_is_noticed_before_the_work(
    command, name, run, capsys, monkeypatch
):
    monkeypatch.setattr(km.MSGGAN, "generate", lambda *args, **kwargs: pytest.fail("it worked"))
    (run / name).mkdir()
    assert cli.main([command, str(run)]) == 1
    assert f"`run` must be a folder in which {name} is a file" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion_mnist", pytest.param("mnist", marks=pytest.mark.sweep)])
def test_a_file_is_no_folder_of_data(name, run, tmp_path, capsys):
    (tmp_path / "file").touch()
    words = [f"--data={name}", f"--data-dir={tmp_path / 'file'}"]
    assert cli.main(["evaluate", str(run), *words]) == 1
    error = capsys.readouterr().err
    assert "error: `--data-dir` must be a folder. Received: --data-dir=" in error
    assert len(error.splitlines()) == 1
    assert not (run / "evaluation.json").exists()


def test_a_cache_below_a_file_is_refused_before_the_model_is_read(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["evaluate", str(tmp_path / "run"), f"--cache-dir={tmp_path / 'file' / 'cache'}"]
    assert cli.main(words) == 1
    assert "error: `--cache-dir` must be a folder" in capsys.readouterr().err
