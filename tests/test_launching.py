"""Tests of workers on this machine: what they are told, shown, and how they end."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from processes import WITHOUT_TENSORFLOW, has_ended, open_process

import kerasmodes as km
from kerasmodes import launching


def program(source):
    return [sys.executable, "-c", source]


def test_each_worker_finds_its_place_in_the_cluster(capsys):
    launching.launch(program("import os; print(os.environ['TF_CONFIG'])"), num_workers=3)
    lines = sorted(capsys.readouterr().out.splitlines())
    assert [line[:10] for line in lines] == [f"[worker {index}]" for index in range(3)]
    configs = [json.loads(line[10:]) for line in lines]
    assert [config["task"]["index"] for config in configs] == [0, 1, 2]
    assert len({json.dumps(config["cluster"]) for config in configs}) == 1
    assert len(set(configs[0]["cluster"]["worker"])) == 3


FAILS = """
import json, os, sys, time
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
with open(f"{index}.pid", "w") as file:
    file.write(str(os.getpid()))
while index == 0:
    time.sleep(0.1)
while not (os.path.exists("0.pid") and os.path.getsize("0.pid")):
    time.sleep(0.1)
raise ValueError("the reason")
"""


def test_when_a_worker_fails_all_end_and_its_last_lines_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(launching.WorkerError) as error:
        launching.launch(program(FAILS))
    assert "Worker 1 ended with 1. Its last lines:\nTraceback" in str(error.value)
    assert str(error.value).endswith("ValueError: the reason")
    pids = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    assert all(has_ended(open_process(pid)) for pid in pids)


def test_what_a_worker_has_started_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "open('child.pid', 'w').write(str(child.pid))\n"
    )
    launching.launch(program(source), num_workers=1)
    assert has_ended(open_process(int((tmp_path / "child.pid").read_text())))


def test_workers_start_again_after_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = (
        "import os\n"
        "first = not os.path.exists('seen')\n"
        "open('seen', 'a').write('x')\n"
        "assert not first, 'the first time'\n"
    )
    launching.launch(program(source), num_workers=1, max_restarts=3)
    assert (tmp_path / "seen").read_text() == "xx"
    assert "the first time\nAll workers start again (3 restarts left)." in capsys.readouterr().out


def test_the_last_failure_is_raised_when_no_restart_is_left():
    with pytest.raises(launching.WorkerError, match="ended with 7"):
        launching.launch(program("raise SystemExit(7)"), num_workers=1, max_restarts=1)


def test_output_that_cannot_be_shown_ends_the_workers():
    source = "import time; print('ready', flush=True); time.sleep(1000)"
    with (
        pytest.raises(OSError, match="No space left on device"),
        open("/dev/full", "w") as full,
        contextlib.redirect_stdout(full),
    ):
        launching.launch(program(source), num_workers=2)


LAUNCHES = f"""{WITHOUT_TENSORFLOW}
import signal
from kerasmodes.launching import launch
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
launch([sys.executable, "-c", sys.argv[1]], num_workers=2)
"""
WAITS = """
import json, os, time
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
try:
    print("ready", os.getpid(), flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    print("told to stop", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_launcher(number):
    command = [*program(LAUNCHES), WAITS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **pipes) as launcher:
        pids = [int(launcher.stdout.readline().split()[-1]) for _ in range(2)]
        workers = list(map(open_process, pids))
        os.kill(launcher.pid, number)
        rest = launcher.stdout.read()
    assert launcher.returncode != 0
    assert all(map(has_ended, workers))
    assert rest.count("told to stop") == (2 if number == signal.SIGINT else 0)


@pytest.mark.parametrize("command", [[], "train.py", None])
def test_a_command_must_be_a_list(command):
    with pytest.raises(ValueError, match="`command` must be a list .* Received: command="):
        km.launching.launch(command)


def test_a_program_that_is_not_there_is_refused():
    with pytest.raises(
        ValueError, match="must begin with a program that exists. Received: 'trian'"
    ):
        launching.launch(["trian", "sum"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_workers": 0}, "`num_workers` must be a positive integer. Received: num_workers=0"),
        ({"num_workers": True}, "Received: num_workers=True"),
        ({"max_restarts": -1}, "`max_restarts` must be an integer, at least 0"),
    ],
    ids=str,
)
def test_numbers_must_make_sense(arguments, words):
    with pytest.raises(ValueError, match=words):
        launching.launch(["true"], **arguments)
