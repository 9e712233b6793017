"""Tests of `kerasmodes tune`: in several processes, how it ends and resumes, both models."""

import contextlib
import csv
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from processes import has_ended, list_children, open_process

from kerasmodes import cli
from kerasmodes.cli import search
from kerasmodes.launching import find_free_ports

SUM = ["tune", "sum", "--num-samples=64", "--max-trials=3", "--epochs=2", "--seed=0"]
SUM += ["--mode=eager", "--batch-sizes=8", "--directory=search", "--optimizers=sgd"]
SUM += ["--hidden-layers=1", "--units=2,8"]
TWO_TRIALS = [word.replace("trials=3", "trials=2") for word in SUM]
# A background job ignores SIGINT, and so do the processes that it starts.
PROGRAM = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
PROGRAM += "from kerasmodes import cli; sys.exit(cli.main(sys.argv[1:]))"


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def _searched(tmp_path_factory):
    """The folder of a search of one trial, and what it has shown."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.chdir(folder)
        assert cli.main([*TWO_TRIALS, "--max-trials=1"]) == 0
    return folder / "search", out.getvalue()


def interrupt_when_started(commands, processes, is_over):
    """Raises what Ctrl-C raises once the worker is there; notes its command."""
    while not commands and not is_over.is_set():
        pids = list_children(os.getpid())
        found = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in pids}
        found = {pid: words for pid, words in found.items() if "\0kerasmodes\0tune\0" in words}
        commands[:] = [words.split("\0")[:-1] for words in found.values()]
        time.sleep(0.05)
    processes += [open_process(pid) for pid in found]
    if not is_over.is_set():
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
@pytest.mark.workers
def test_ctrl_c_ends_all_processes_and_their_command_resumes(own_folder, _searched, capfd):
    shutil.copytree(_searched[0], "search")
    trial = own_folder / "search/random/trial_0/trial.json"
    before = trial.stat().st_mtime_ns
    commands, processes, is_over = [], [], threading.Event()
    thread = threading.Thread(
        target=interrupt_when_started, args=(commands, processes, is_over), daemon=True
    )
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        assert cli.main([*TWO_TRIALS, "--num-workers=1"]) == 130
    finally:
        is_over.set()
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert len(processes) == 1  # The command is the chief.
    assert all(map(has_ended, processes))
    found = capfd.readouterr()
    assert "\x1b" not in found.out + found.err
    assert "Traceback" not in found.err
    assert cli.main([*commands[0][3:], "--num-workers=0"]) == 0
    assert "2 of 2 done" in capfd.readouterr().out
    assert trial.stat().st_mtime_ns == before
    assert keras.models.load_model(own_folder / "search/best.keras").built


@pytest.mark.slow
@pytest.mark.workers
@pytest.mark.sweep
def test_ctrl_c_after_a_trial_ends_all_processes_and_the_command_resumes(own_folder):
    with start(*SUM, "--num-workers=1") as command:
        assert command.stdout.readline().startswith("trial 0: val_loss ")
        processes = [open_process(pid) for pid in list_children(command.pid)]
        os.kill(command.pid, signal.SIGINT)
        out, err = command.communicate()
    assert command.returncode == 130
    assert len(processes) == 1  # The command is the chief.
    assert all(map(has_ended, processes))
    assert "\x1b" not in out + err
    assert "Traceback" not in err
    trial = own_folder / "search/random/trial_0/trial.json"
    before = trial.stat().st_mtime_ns
    assert cli.main(SUM) == 0
    assert trial.stat().st_mtime_ns == before
    assert keras.models.load_model(own_folder / "search/best.keras").built


def read_scores(folder):
    with open(f"{folder}/trials.csv", newline="") as file:
        return {row["trial"]: float(row["score"]) for row in csv.DictReader(file)}


@pytest.mark.sweep
@pytest.mark.workers
@pytest.mark.parametrize("tuner", ["random", "bayesian"])
def test_a_worker_joins_a_chief_and_both_find_what_one_process_does(tuner, capsys):
    command = [*SUM, f"--tuner={tuner}"]
    address = f"127.0.0.1:{find_free_ports(1)[0]}"
    with start(*command, f"--chief={address}") as chief:
        status = cli.main([*command, f"--join={address}"])
        out, err = chief.communicate()
    assert (chief.returncode, status) == (0, 0), err
    assert "3 of 3 done" in out
    assert "In search: the best model, best.keras" in out
    assert "Best" not in capsys.readouterr().out
    assert cli.main([word.replace("=search", "=alone") for word in command]) == 0
    assert read_scores("search") == pytest.approx(read_scores("alone"), rel=1e-4)


def test_one_process_has_a_line_for_each_trial(_searched):
    _, out = _searched
    assert out.startswith("trial 0: val_loss ")
    assert "1 of 1 done, 0 running, 0 failed, best val_loss" in out
    assert "Best trials" in out
    assert "Epoch" not in out


@pytest.mark.sweep
def test_tune_msggan_searches_by_the_distance_to_test_images(own_folder, capsys):
    words = ["--split=train[:32]", "--test-split=test[:32]", "--num-images=32", "--epochs=1"]
    words += ["--num-scales=1", "--filters=2", "--latent-dims=2", "--batch-sizes=32"]
    words += ["--penalties=none"]
    assert cli.main(["tune", "msggan", *words, "--max-trials=1", "--mode=eager"]) == 0
    assert "trial 0: val_frechet " in capsys.readouterr().out
    gan = keras.models.load_model(own_folder / "tuning/best.keras")
    assert np.shape(gan.generate(1, seed=0)[-1]) == (1, 28, 28, 1)


@pytest.mark.sweep
def test_a_search_without_a_seed_is_resumed_with_its_own(own_folder, capsys):
    words = [word for word in SUM if not word.startswith(("--seed", "--max-trials", "--epochs"))]
    words.append("--epochs=1")
    assert cli.main([*words, "--max-trials=1"]) == 0
    assert cli.main([*words, "--max-trials=2"]) == 0
    assert capsys.readouterr().out.count("\ntrial 1: ") == 1
    seed = json.loads((own_folder / "search/random/search.json").read_text())["seed"]
    assert seed >= 0
    assert cli.main([*words, "--max-trials=1", "--overwrite=true"]) == 0
    assert json.loads((own_folder / "search/random/search.json").read_text())["seed"] != seed


def test_the_command_of_the_best_trial_can_be_copied_from_any_folder():
    words = search._describe_training("sum", pathlib.Path("my search", "config.yaml"))
    assert words == "kerasmodes train sum --config 'my search/config.yaml'"


def test_commands_that_join_need_a_seed(capsys):
    assert cli.main(["tune", "sum", "--join=a:1"]) == 1
    assert "`--seed` must be given in each of several commands" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-workers=2", "--join=a:1"], "`--num-workers` must be left out with `--join`"),
        (
            ["--num-workers=-1"],
            "`--num-workers` must be an integer, at least 0. Received: --num-workers=-1",
        ),
        (
            ["--worker-id=a"],
            "`--worker-id` must be a name without 'chief', and be given with",
        ),
        (["--join=somewhere"], "`--join` must be ADDRESS:PORT"),
        (["--join=somewhere", "--worker-id=0"], "`--join` must be ADDRESS:PORT"),
        (["--max-restarts=2"], "`--max-restarts` needs `--num-workers`: without workers,"),
        (["--max-restarts=-1"], "`--max-restarts` must be an integer, at least 0"),
        (["--loss=x"], "`--loss` must be one of binary_crossentropy"),
        (["--objective=x"], "`--objective` must be a log of which it is known"),
        (["--chief=a:1", "--join=b:1"], "`--join` must be left out with `--chief`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_contradicting_flags_are_one_line(words, message, own_folder, capsys):
    assert cli.main([*SUM, *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(own_folder.iterdir())


def test_the_folder_of_a_run_is_not_searched_in(own_folder, capsys):
    (own_folder / "search").mkdir()
    (own_folder / "search" / "history.csv").write_text("epoch,loss\n0,1.5\n")
    assert cli.main(SUM) == 1
    assert "error: `--directory` must not be the folder of a run" in capsys.readouterr().err
    assert len(list((own_folder / "search").iterdir())) == 1


@pytest.mark.parametrize(("name", "kind"), [("best.keras", "file"), ("hparams", "folder")])
def test_results_that_cannot_be_written_are_noticed_before_a_search(own_folder, capsys, name, kind):
    path = own_folder / "search" / name
    path.parent.mkdir()
    path.mkdir() if kind == "file" else path.touch()
    assert cli.main(SUM) == 1
    words = f"error: `--directory` must be a folder in which {name} is a {kind}, or missing."
    assert words in capsys.readouterr().err
    assert list((own_folder / "search").iterdir()) == [path]


@pytest.mark.parametrize("seed", [None, "a"])
def test_a_search_that_names_no_seed_is_another_search(own_folder, _searched, capsys, seed):
    shutil.copytree(_searched[0], "search")
    path = own_folder / "search" / "random" / "search.json"
    path.write_text(json.dumps({"seed": seed}))
    assert cli.main([word for word in SUM if word != "--seed=0"]) == 1
    assert "`--directory` must be new, or hold the same search" in capsys.readouterr().err
