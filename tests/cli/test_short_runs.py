"""Tests of the flags for a first look, and of files that cannot be read."""

import pathlib
import shutil

import numpy as np
import pytest

import kerasmodes as km
from kerasmodes import cli

SUM = ["train", "sum", "--num-samples=32", "--batch-size=8", "--seed=1", "--mode=eager"]
SUM = [*SUM, "--optimizer=sgd", "--units=2"]
GAN = ["--generator-filters=2", "--discriminator-filters=2", "--num-scales=1", "--mode=eager"]
GAN += ["--generator-optimizer=sgd", "--discriminator-optimizer=sgd"]
GAN = ["train", "msggan", *GAN, "--split=train[:32]", "--batch-size=8"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [SUM, [*SUM, "--resume", "--run=run"], pytest.param(GAN, marks=pytest.mark.sweep)],
    ids=len,
)
def test_a_fast_run_writes_nothing(command, own_folder, capsys):
    assert cli.main([*command, "--fast-dev-run", "--epochs=50"]) == 0
    out = capsys.readouterr().out
    assert "One step of everything, with" in out
    assert "loss " in out
    assert not list(own_folder.iterdir())


def test_a_fast_run_finds_what_fails(own_folder, capsys, monkeypatch):
    def fail(callback, epoch, logs=None):
        raise ValueError("no such font")

    monkeypatch.setattr(km.callbacks.LossCurves, "on_epoch_end", fail)
    assert cli.main([*SUM, "--fast-dev-run"]) == 1
    assert "no such font" in capsys.readouterr().err


def count_steps(words, monkeypatch):
    """Returns the batches of each epoch: of training, of validation."""
    counts = []

    def write(callback, epoch, logs=None):
        counts.append(callback.params["steps"])

    monkeypatch.setattr(km.callbacks.LossCurves, "on_epoch_end", write)
    assert cli.main([*words, "--epochs=2"]) == 0
    return counts


LIMITS = {
    (model, flag, number, expected): [pytest.mark.sweep]
    for model in ("sum", "msggan")
    for flag in ("--limit-batches", "--overfit-batches")
    for number, expected in ((2, 2), (100, None))
}
LIMITS["sum", "--limit-batches", 2, 2] = []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "flag", "number", "expected"),
    [pytest.param(*values, marks=marks) for values, marks in LIMITS.items()],
)
def test_a_limit_holds_for_each_epoch(model, flag, number, expected, monkeypatch):
    command = SUM if model == "sum" else GAN
    counts = count_steps([*command, f"{flag}={number}"], monkeypatch)
    assert counts == 2 * [expected or 4]


@pytest.mark.slow
def test_overfitting_learns_a_few_batches_by_heart(own_folder, monkeypatch):
    # A picture takes longer than an epoch.
    monkeypatch.setattr(km.callbacks.LossCurves, "on_epoch_end", lambda *_, **__: None)
    words = ["train", "sum", "--num-samples=640", "--batch-size=8", "--seed=1", "--mode=eager"]
    words += ["--overfit-batches=2", "--epochs=6", "--learning-rate=0.1", "--run=run"]
    words += ["--units=()", "--optimizer=sgd"]
    assert cli.main(words) == 0
    losses = np.genfromtxt(own_folder / "run/history.csv", delimiter=",", names=True)["loss"]
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit-batches=0"], "`--limit-batches` must be a positive integer"),
        (
            ["--limit-batches=2", "--overfit-batches=3"],
            "`--overfit-batches` must be left out with `--limit-batches`. Received: --overfit",
        ),
    ],
)
def test_wrong_limits_are_one_line(words, message, own_folder, capsys):
    assert cli.main([*SUM, *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(own_folder.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [*SUM, "--run=file"],
            "`--run` must be a folder. Received: --run='file', where 'file'",
        ),
        (
            [*SUM, "--run=file/a"],
            "`--run` must be a folder. Received: --run='file/a', where",
        ),
        (
            ["compare", "sum", "--modes=graph", "--steps=2", "--directory=file"],
            "`--directory` must be a folder. Received: --directory='file'",
        ),
        (
            ["tune", "sum", "--max-trials=1", "--directory=file"],
            "`--directory` must be a folder. Received: --directory='file'",
        ),
        (["generate", "file"], "`run` must hold a model.keras. Received: run='file'"),
    ],
)
def test_a_file_where_a_folder_is_wanted(words, message, own_folder, capsys):
    (own_folder / "file").write_text("mine")
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert (own_folder / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def _stopped(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main([*SUM, "--resume", f"--run={run}"]) == 0
    return run


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", b"{bad", "whose config.yaml cannot be read: while parsing a flow"),
        ("config.yaml", b"[1]", "whose config.yaml cannot be read: it holds a list"),
        ("config.yaml", b"\xff\xfe", "whose config.yaml cannot be read: 'utf-8' codec"),
        ("losses.png", b"no picture", "cannot identify image file"),
        ("history.csv", b"\x00\xff", "`--run` must hold a history.csv and a losses.png"),
    ],
)
def test_a_damaged_file_is_named_before_a_run_is_resumed(
    _stopped, name, content, message, own_folder, capsys
):
    shutil.copytree(_stopped, "run")
    pathlib.Path("run", name).write_bytes(content)
    weights = next(pathlib.Path("run/progress").rglob("*.h5"))
    before = weights.read_bytes()
    assert cli.main([*SUM, "--run=run", "--resume", "--epochs=2"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert weights.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["flipped", "cut", "a zip file", "empty", "a folder"])
def test_a_damaged_model_is_one_line(run, damage, capsys):
    path = run / "model.keras"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    contents = {"cut": content[:-500], "a zip file": b"PK\x05\x06" + bytes(18), "empty": b""}
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        path.write_bytes(contents.get(damage, content))
    assert cli.main(["generate", str(run)]) == 1
    assert "error: `run` must hold a model.keras" in capsys.readouterr().err


@pytest.mark.slow
def test_settings_of_another_kind_are_refused(run, capsys):
    (run / "config.yaml").write_text("data: 3\n")
    assert cli.main(["evaluate", str(run), "--num-images=8"]) == 1
    assert "`--data` must be a string. Received: --data=3" in capsys.readouterr().err
