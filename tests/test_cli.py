"""The command: run folders, flags that are the library's arguments, errors in one line."""

import argparse
import contextlib
import inspect
import io
import json
import os
import re

import keras
import numpy as np
import pytest
import rich.console
from PIL import Image

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import flags, kinds, run_folders, search

TINY_GAN = [
    "--generator-filters=2",
    "--discriminator-filters=2",
    "--num-scales=2",
    "--split=train[:8]",
    "--batch-size=8",
    "--generator-optimizer=sgd",
    "--discriminator-optimizer=sgd",
    "--mode=eager",
]
NOT_WRITTEN = "standard output cannot be written: No space left on device"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_train_sum_fills_a_run_folder(own_folder):
    status = cli.main(
        ["train", "sum", "--num_samples=64", "--epochs=2", "--mode=eager", "--seed=1", "--run=run"]
        + ["--units=2", "--optimizer=sgd"]
    )
    assert status == 0
    run = own_folder / "run"
    config = run_folders.read_config(run)
    assert (config["model"], config["mode"], config["epochs"]) == ("sum", "eager", 2)
    history = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
    assert history["val_loss"].shape == (2,)
    assert _size(run / "losses.png")[0] > 100
    assert any((run / "events").rglob("events.out.tfevents.*"))
    assert keras.models.load_model(run / "model.keras").mode == "eager"


@pytest.mark.sweep
def test_the_same_seed_trains_the_same_model_in_the_next_folder(own_folder):
    for _ in range(2):
        cli.main(["train", "sum", "--num-samples=64", "--seed=3", "--mode=eager"])
    folders = sorted((own_folder / "runs").iterdir())
    assert [folder.name for folder in folders] == ["sum-001", "sum-002"]
    first, second = (
        keras.models.load_model(folder / "model.keras").get_weights() for folder in folders
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_train_msggan_then_generate(own_folder):
    assert cli.main(["train", "msggan", *TINY_GAN, "--epochs=2", "--seed=0"]) == 0
    run = own_folder / "runs" / "msggan-001"
    grids = sorted(path.name for path in (run / "samples").glob("*.png"))
    assert grids == ["epoch_001.png", "epoch_002.png"]
    with Image.open(run / "samples" / "progress.gif") as gif:
        assert gif.n_frames == 2
    assert cli.main(["generate", str(run), "--num-images=5", "--seed=0"]) == 0
    assert _size(run / "generated.png") == (4 * 5 * 28 + 4 * 4, 4 * 2 * 28 + 4)


def test_a_run_folder_in_use_is_refused(own_folder, capsys):
    (own_folder / "run").mkdir()
    (own_folder / "run" / "precious.txt").write_text("mine")
    assert cli.main(["train", "sum", "--num_samples=32", "--run=run"]) == 1
    assert (
        "`--run` must be a new or empty folder. Received: --run='run'\n" in capsys.readouterr().err
    )
    assert [path.name for path in (own_folder / "run").iterdir()] == ["precious.txt"]


def test_a_folder_with_a_run_is_refused_and_says_how_to_resume_it(own_folder, capsys):
    (own_folder / "run").mkdir()
    (own_folder / "run" / "config.yaml").write_text("resume: true\n")
    assert cli.main(["train", "sum", "--num_samples=32", "--run=run"]) == 1
    words = "Received: --run='run'. A run that was begun with --resume continues with --resume\n"
    assert words in capsys.readouterr().err


def test_a_wrong_value_is_one_line_and_leaves_no_folder(own_folder, capsys):
    assert cli.main(["train", "sum", "--mode=grpah"]) == 1
    message = capsys.readouterr().err
    assert "Received: --mode='grpah'" in message
    assert len(message.splitlines()) == 1
    assert not list(own_folder.iterdir())


def test_an_interrupted_run_keeps_its_model(own_folder, capsys, monkeypatch):
    def interrupt(callback, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(km.callbacks.LossCurves, "on_epoch_end", interrupt)
    words = ["train", "sum", "--num_samples=32", "--mode=eager", "--optimizer=sgd", "--run=run"]
    assert cli.main(words) == 130
    assert "interrupted" in capsys.readouterr().err
    assert keras.models.load_model(own_folder / "run" / "model.keras").built


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "`kerasmodes` must be followed by one of train, compare, data"),
        (["trian"], "launch, verify. Received: 'trian'. Did you mean 'train'? (see kerasmodes --h"),
        (["train"], "`kerasmodes train` must be followed by one of sum, msggan. Received: nothing"),
        (["train", "summ", "--epochs=3"], "one of sum, msggan. Received: 'summ'"),
        (
            ["train", "sum", "--epoch=3"],
            "unrecognized arguments: --epoch=3. Did you mean '--epochs'? ",
        ),
        (["train", "sum", "epochs=3"], "arguments: epochs=3. Did you mean '--epochs'? (see keras"),
        (["train", "sum", "--zzz", "3"], "unrecognized arguments: --zzz 3 (see kerasmodes train"),
        (["train", "sum", "--dtype=x"], "--dtype: invalid {float16,bfloat16,float32,"),
        (["train", "sum", "--jit-compile=x"], "--jit-compile: invalid {auto,true,false} value"),
        (["train", "sum", "--run-eagerly=1"], "--run-eagerly: invalid {true,false} value"),
        (["train", "sum", "--epochs=x"], "--epochs: invalid INT value: 'x'"),
        (["train", "sum", "--units", "[1"], "--units: invalid A,B,... value: '[1'"),
        (["train", "msggan", "--preset=x"], "(choose from 'default', 'tutorial', 'paper')"),
        (["evaluate"], "required: run (see kerasmodes evaluate --help)"),
        (["verify", "a:b"], "required: --data (see kerasmodes verify --help)"),
        (["verify"], "required: build_model, --data (see kerasmodes verify --help)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_are_no_command_or_flag_are_one_line(words, message, own_folder, capsys):
    assert cli.main(words) == 2
    found = capsys.readouterr()
    assert message in found.err
    assert (len(found.err.splitlines()), found.out) == (1, "")
    assert not list(own_folder.iterdir())


LEAVES = [
    (path, command)
    for name, group in cli.COMMANDS.items()
    for path, command in (
        [((name, one), group[one]) for one in group]
        if isinstance(group, dict)
        else [((name,), group)]
    )
]


@pytest.mark.parametrize(
    ("path", "command"),
    LEAVES,
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_empty_value_is_an_error_that_names_the_flag(path, command):
    parser, _ = cli.make_parser(path, command)
    flags = [one.option_strings[0] for one in parser._actions if isinstance(one.type, kinds.Kind)]
    for flag in flags:
        with pytest.raises(argparse.ArgumentError, match=flag):
            parser.parse_args([f"{flag}="])


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["sum", "--strategy=x"], 1, "`--strategy` must be .single.,.*Received: --strategy=.x."),
        (["sum", "--checkpoint-every=-3"], 2, "--checkpoint-every: invalid STEPS value: .-3."),
        (["msggan", "--data=x"], 1, "`--data` must be .*Received: --data=.x."),
        (["sum", "--run", ""], 2, "--run: invalid PATH value: .."),
        (["sum", "--config=missing.yaml"], 2, "--config missing.yaml: No such file"),
    ],
)
def test_an_error_names_the_flag_that_was_typed(words, status, message, own_folder, capsys):
    assert cli.main(["train", *words]) == status
    assert re.search(message, capsys.readouterr().err)
    assert not list(own_folder.iterdir())


def test_the_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"{km.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["tune", "--help"],
        ["train", "sum", "--help"],
        ["train", "sum", "--print-config"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("is_buffered", [True, False])  # Not with PYTHONUNBUFFERED.
def test_output_that_cannot_be_written_is_one_line(words, is_buffered, capsys):
    with (
        open("/dev/full", "wb", buffering=-1 if is_buffered else 0) as device,
        io.TextIOWrapper(device, write_through=not is_buffered) as full,
        contextlib.redirect_stdout(full),
    ):
        assert cli.main(words) == 1
    assert capsys.readouterr().err == f"error: {NOT_WRITTEN}\n"


def test_an_error_that_cannot_be_written_has_its_exit_status(monkeypatch):
    # Its own: a console repeats what it could not write.
    console = rich.console.Console(**flags.PLAIN, stderr=True)
    monkeypatch.setattr("kerasmodes.cli.errors", console)
    with open("/dev/full", "w") as full, contextlib.redirect_stderr(full):
        assert cli.main(["trian"]) == 2
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # It is written as it closes.


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "runs"), "runs: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("no such thing"), "no such thing"),
        (IsADirectoryError(21, "Is a directory", ".1.part.a", None, "a"), "a: Is a directory"),
    ],
)
def test_an_error_of_the_system_is_written_as_other_programs_do(error, words, capsys, monkeypatch):
    def launch(command, num_workers, max_restarts):
        raise error

    monkeypatch.setattr("kerasmodes.launching.launch", launch)
    assert cli.main(["launch", "--", "train", "sum"]) == 1
    assert capsys.readouterr().err == f"error: {words}\n"


def test_a_command_whose_output_cannot_be_written_is_one_line(capsys, monkeypatch):
    def launch(command, num_workers, max_restarts):
        print("it runs")  # It stays in a buffer.

    monkeypatch.setattr("kerasmodes.launching.launch", launch)
    with open("/dev/full", "w") as full, contextlib.redirect_stdout(full):
        assert cli.main(["launch", "--", "train", "sum"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_run_that_cannot_show_its_folder_leaves_none(own_folder, capsys, monkeypatch):
    # Its own: a console repeats what it could not write.
    monkeypatch.setattr("kerasmodes.cli.fitting.console", rich.console.Console(**flags.PLAIN))
    with open("/dev/full", "w") as full, contextlib.redirect_stdout(full):
        assert cli.main(["train", "sum", "--num-samples=32", "--mode=eager"]) == 1
    assert capsys.readouterr().err == f"error: {NOT_WRITTEN}\n"
    assert not list(own_folder.iterdir())


@pytest.mark.parametrize("words", [["--max_trials=3", "4"], ["--max-trials=3", "4"]])
def test_both_spellings_of_a_flag_are_one(words):
    assert [cli._replace_underscores(word) for word in words] == ["--max-trials=3", "4"]
    assert cli._replace_underscores("a_b") == "a_b"
    assert cli._replace_underscores("--run=a_b") == "--run=a_b"


def test_traceback_on_request():
    with pytest.raises(ValueError, match="Received: mode='grpah'"):
        cli.main(["--traceback", "train", "sum", "--mode=grpah"])


def test_generate_without_a_model(own_folder, capsys):
    assert cli.main(["generate", str(own_folder)]) == 1
    assert "`run` must hold a model.keras. Received" in capsys.readouterr().err
    (own_folder / "model.keras").write_text("no model")
    assert cli.main(["generate", str(own_folder)]) == 1
    assert "`run` must hold a model.keras that can be read" in capsys.readouterr().err


def test_prepare_from_a_folder_without_the_files(own_folder, capsys):
    arguments = ["data", "prepare", "fashion_mnist", "--idx-dir=.", "--data-dir=prepared"]
    assert cli.main(arguments) == 1
    assert "train-images-idx3-ubyte" in capsys.readouterr().err
    assert not (own_folder / "prepared").exists()


@pytest.mark.sweep
def test_compare_writes_table_and_picture(own_folder, capsys):
    words = ["compare", "sum", "--modes=keras,graph", "--steps=2", "--repeats=1"]
    assert cli.main([*words, "--directory=modes", "--batch-size=2"]) == 0
    rows = json.loads((own_folder / "modes" / "modes.json").read_text())
    assert [row["mode"] for row in rows] == ["keras", "graph"]
    assert _size(own_folder / "modes" / "modes.png")[0] > 100
    assert "graph" in capsys.readouterr().out


# A search of the command is in `cli/test_search.py`.
@pytest.mark.sweep
@pytest.mark.slow
def test_tune_prints_the_best_trials_and_saves_the_best_model(own_folder, capsys):
    words = ["tune", "sum", "--tuner=random", "--max-trials=1", "--epochs=1", "--seed=0"]
    words += ["--mode=eager", "--optimizers=sgd"]
    assert cli.main([*words, "--num-samples=32", "--batch-sizes=8", "--directory=search"]) == 0
    assert "Best trials" in capsys.readouterr().out
    model = keras.models.load_model(own_folder / "search" / "best.keras")
    assert model.predict(np.zeros((1, 20)), verbose=0).shape == (1, 1)


@pytest.mark.parametrize(
    ("command", "functions"),
    [
        (("train", "sum"), (km.SumRegressor, km.data.sums, km.SumRegressor.compile)),
        (("train", "msggan"), (km.MSGGAN, km.data.images, km.MSGGAN.compile)),
        (("compare", "sum"), (km.SumRegressor, km.data.sums, km.compare_modes)),
        (("generate", "run"), (km.MSGGAN.generate,)),
        (("tune", "sum"), (km.tuning.search, km.data.sums, km.tuning.SumRegressorHyperModel)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_flags_have_the_library_s_defaults(command, functions):
    path, function = cli.find_command(command)
    parser, _ = cli.make_parser(path, function)
    flags = parser.parse_args([*command[len(path) :]])
    checked = 0
    for function in functions:
        left_out = search.NOT_FLAGS if function is km.tuning.search else ()
        for name, parameter in inspect.signature(function).parameters.items():
            if name in flags and name not in left_out and parameter.default is not parameter.empty:
                assert _plain(flags[name]) == _plain(parameter.default), name
                checked += 1
    assert checked >= 2


def _size(path):
    with Image.open(path) as image:
        return image.size


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.sweep
def test_a_resumed_run_has_the_history_of_one_that_was_never_stopped(own_folder):
    train = ["train", "sum", "--num-samples=64", "--batch-size=8", "--mode=eager"]
    assert cli.main([*train, "--run=stopped", "--resume", "--epochs=1"]) == 0
    assert cli.main([*train, "--run=stopped", "--resume", "--epochs=2"]) == 0
    seed = run_folders.read_config(own_folder / "stopped")["seed"]
    assert cli.main([*train, "--run=uninterrupted", "--epochs=2", f"--seed={seed}"]) == 0
    for name in ("loss", "val_loss"):
        found, expected = (
            np.genfromtxt(own_folder / run / "history.csv", delimiter=",", names=True)[name]
            for run in ("stopped", "uninterrupted")
        )
        np.testing.assert_array_equal(found, expected)


def test_resuming_needs_a_folder(own_folder, capsys):
    assert cli.main(["train", "sum", "--resume"]) == 1
    assert "`--run` must name the folder of the run to resume" in capsys.readouterr().err


@pytest.mark.sweep
def test_launch_runs_a_command_of_its_own(own_folder, capsys):
    assert cli.main(["launch", "--num-workers=1", "--", "train", "sum", "--epochs=0"]) == 1
    assert "`--epochs` must be a positive integer. Received: --epochs=0" in capsys.readouterr().err


def test_launch_runs_another_program_after_two_dashes(own_folder, capsys):
    program = ["--", "python3", "-c", "import sys; print(sys.argv[1:])", "--its-own-flag", "7"]
    assert cli.main(["launch", "--num-workers=2", *program]) == 0
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines == [f"[worker {index}] ['--its-own-flag', '7']" for index in range(2)]


def test_launch_shows_the_last_lines_of_a_program_that_fails(own_folder, capsys):
    assert cli.main(["launch", "--num-workers=1", "--", "python3", "-c", "1/0"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_checkpoints_are_written_by_runs_that_can_be_resumed(own_folder, capsys):
    assert cli.main(["train", "sum", "--checkpoint-every=5"]) == 1
    assert "`--checkpoint-every` needs `--resume`" in capsys.readouterr().err
    assert not list(own_folder.iterdir())


def test_a_wrong_flag_of_a_gan_is_one_line(own_folder, capsys):
    assert cli.main(["train", "msggan", "--num-scales=9"]) == 1
    found = capsys.readouterr()
    assert (len(found.err.splitlines()), found.out) == (1, "")
