"""Tests of `kerasmodes tune`: in several processes, how it ends and resumes, both models."""

import json
import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from processes import has_ended, list_children, open_process

from kerasmodes import cli
from kerasmodes.launching import find_free_ports

SUM = ["tune", "sum", "--num-samples=64", "--max-trials=3", "--epochs=2", "--seed=0"]
SUM += ["--mode=eager", "--batch-sizes=8", "--directory=search"]
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


@pytest.mark.slow
@pytest.mark.workers
def test_ctrl_c_ends_all_processes_and_the_command_resumes(own_folder):
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


@pytest.mark.slow
@pytest.mark.workers
def test_a_worker_joins_a_chief_and_both_end(own_folder, capsys):
    address = f"127.0.0.1:{find_free_ports(1)[0]}"
    with start(*SUM, f"--chief={address}") as chief:
        status = cli.main([*SUM, f"--join={address}"])
        out, err = chief.communicate()
    assert (chief.returncode, status) == (0, 0), err
    assert "3 of 3 done" in out
    assert "In search: the best model, best.keras" in out
    assert "Best" not in capsys.readouterr().out


@pytest.mark.slow
def test_one_process_has_a_line_for_each_trial(capsys):
    assert cli.main([*SUM[:3], *SUM[4:], "--max-trials=1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("trial 0: val_loss ")
    assert "1 of 1 done, 0 running, 0 failed, best val_loss" in out
    assert "Epoch" not in out


@pytest.mark.slow
def test_tune_msggan_searches_by_the_distance_to_test_images(own_folder, capsys):
    words = ["--split=train[:32]", "--test-split=test[:32]", "--num-images=32", "--epochs=1"]
    words += ["--num-scales=1", "--filters=2", "--latent-dims=2", "--batch-sizes=32"]
    assert cli.main(["tune", "msggan", *words, "--max-trials=1", "--mode=eager"]) == 0
    assert "trial 0: val_frechet " in capsys.readouterr().out
    gan = keras.models.load_model(own_folder / "tuning/best.keras")
    assert np.shape(gan.generate(1, seed=0)[-1]) == (1, 28, 28, 1)


@pytest.mark.slow
def test_a_search_without_a_seed_is_resumed_with_its_own(own_folder, capsys):
    words = [word for word in SUM if not word.startswith(("--seed", "--max-trials"))]
    assert cli.main([*words, "--max-trials=1"]) == 0
    assert cli.main([*words, "--max-trials=2"]) == 0
    assert capsys.readouterr().out.count("\ntrial 1: ") == 1
    seed = json.loads((own_folder / "search/random/search.json").read_text())["seed"]
    assert seed >= 0
    assert cli.main([*words, "--max-trials=1", "--overwrite=true"]) == 0
    assert json.loads((own_folder / "search/random/search.json").read_text())["seed"] != seed


def test_commands_that_join_need_a_seed(capsys):
    assert cli.main(["tune", "sum", "--join=a:1"]) == 1
    assert "`seed` must be given in each of several commands" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-workers=2", "--join=a:1"], "`num_workers` must be left out with `join`"),
        (
            ["--num-workers=-1"],
            "`num_workers` must be a positive integer. Received: num_workers=-1",
        ),
        (["--worker-id=a"], "`worker_id` must be a name without 'chief', and be given with `join`"),
        (["--join=somewhere"], "`join` must be ADDRESS:PORT"),
        (["--join=somewhere", "--worker-id=0"], "`join` must be ADDRESS:PORT"),
        (["--chief=a:1", "--join=b:1"], "`join` must be left out with `chief`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_contradicting_flags_are_one_line(words, message, own_folder, capsys):
    assert cli.main([*SUM, *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(own_folder.iterdir())
