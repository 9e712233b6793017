"""Tests of searches in several processes: the scores of one process, also when one is killed."""

import json
import pathlib
import re
import signal
import sys

import pytest
import search_program
from processes import has_ended, open_process

import kerasmodes as km
from kerasmodes import launching
from kerasmodes.launching import WorkerError
from kerasmodes.tuning import worker_processes

PROGRAM = pathlib.Path(search_program.__file__)


def launch(folder, *words, num_workers=2, **arguments):
    command = [sys.executable, PROGRAM, folder, *words]
    km.tuning.launch_workers(command, num_workers, directory=folder, **arguments)


def read_scores(folder):
    return json.loads((folder / "scores.json").read_text())


def assert_no_process_is_left(folder, count):
    """Asserts that so many processes were started, and that all have ended."""
    pids = [int(path.read_text()) for path in folder.glob("*.pid")]
    assert len(pids) == count
    assert all(has_ended(open_process(pid)) for pid in pids)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The scores of a search in one process, by trial."""
    folder = tmp_path_factory.mktemp("alone")
    return search_program.list_scores(search_program.search(folder, verbose=0))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a search whose chief was killed, and the error that it has raised."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(WorkerError) as error:
        launch(folder, "chief", num_workers=1)
    return folder, str(error.value)


@pytest.mark.slow
@pytest.mark.workers
@pytest.mark.sweep
def test_when_the_chief_of_a_search_is_killed_its_processes_end(stopped):
    folder, error = stopped
    assert re.search("The chief was killed by SIGKILL.* the same command", error)
    assert_no_process_is_left(folder, 2)


@pytest.mark.slow
@pytest.mark.workers
@pytest.mark.sweep
def test_two_workers_resume_a_search_and_repeat_a_killed_one_s_trial(stopped, expected, capfd):
    folder, _ = stopped
    assert not (folder / "scores.json").exists()
    launch(folder, "worker", num_workers=2, max_restarts=1)
    assert read_scores(folder) == pytest.approx(expected, rel=1e-4)
    found = capfd.readouterr()
    killed = [line for line in found.out.splitlines() if line.startswith("Worker ")]
    assert len(killed) == 1
    assert re.fullmatch(
        r"Worker [01] was killed by SIGKILL. It starts again and repeats its trial "
        r"\(0 restarts left\).",
        killed[0],
    )
    own = ("Worker ", "Reloading Tuner")
    lines = [line for line in found.out.splitlines() if not line.startswith(own)]
    assert [line.split(":")[0] for line in sorted(lines)] == [f"trial {n}" for n in range(4)]
    assert "4 of 4 done, 0 running, 0 failed, best val_loss" in lines[-1]
    assert "\x1b" not in found.out + found.err
    assert "Epoch 1/2" in (folder / "worker_0.log").read_text()
    assert_no_process_is_left(folder, 2 + 4)
    # In one process: the files are the same, and nothing is left to do.
    resumed = search_program.search(folder, verbose=0)
    assert search_program.list_scores(resumed) == read_scores(folder)


def program(chief, worker):
    """Returns a command whose chief and workers run different sources, without TensorFlow."""
    source = f"import os, sys\nroles = {[worker, chief]}\n"
    return [
        sys.executable,
        "-c",
        source + "exec(roles[os.environ['KERASTUNER_TUNER_ID'] == 'chief'])",
    ]


WAIT = "import time; time.sleep(1000)"


@pytest.mark.workers
def test_an_error_of_a_worker_ends_the_search_and_is_shown(tmp_path):
    command = program(WAIT, "raise OSError('the disk is full')")
    with pytest.raises(WorkerError) as error:
        km.tuning.launch_workers(command, 1, directory=tmp_path)
    assert f"Worker 0 ended with 1. Its last lines, from {tmp_path}/worker_0.log" in str(
        error.value
    )
    assert "OSError: the disk is full" in str(error.value)


@pytest.mark.workers
def test_a_worker_that_is_killed_too_often_ends_the_search(tmp_path):
    command = program(WAIT, "os.kill(os.getpid(), 9)")
    with pytest.raises(WorkerError, match="Worker 0 was killed by SIGKILL. Its last lines"):
        km.tuning.launch_workers(command, 1, max_restarts=2, directory=tmp_path)


@pytest.mark.workers
def test_a_process_that_is_the_chief_itself_watches_its_workers(tmp_path, capfd):
    """The worker is killed the first time, and fails with an error the second."""
    worker = f"""
path = {str(tmp_path / "was here")!r}
if os.path.exists(path):
    sys.exit(3)
open(path, "x").close()
os.kill(os.getpid(), 9)
"""
    with pytest.raises(WorkerError, match="(?s)Worker 0 ended with 3.*command resumes"):  # noqa: SIM117
        with worker_processes.open_workers(program(WAIT, worker), 1, 1, tmp_path):
            assert km.tuning.find_role() == "chief"
            while True:
                worker_processes.check_started()
    assert km.tuning.find_role() is None
    assert "It starts again and repeats its trial (0 restarts left)." in capfd.readouterr().out
    worker_processes.check_started()  # There are none any more.


# Each process leaves a file with its id, at once: no other reads the half of it.
NOTE = """
import time
name = os.environ['KERASTUNER_TUNER_ID']
with open(name, 'w') as file:
    file.write(str(os.getpid()))
is_first = not os.path.exists(name + '.pid')
os.rename(name, name + '.pid')
"""


@pytest.mark.workers
def test_when_the_chief_is_killed_all_ends_and_the_error_says_how_to_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kill = "while not os.path.exists('chief.pid'): time.sleep(0.01)\n"
    kill += "os.kill(int(open('chief.pid').read()), 9)\n"
    with pytest.raises(WorkerError, match="The chief was killed by SIGKILL.* the same command"):
        km.tuning.launch_workers(program(NOTE + WAIT, NOTE + kill + WAIT), 1, directory=tmp_path)
    assert_no_process_is_left(tmp_path, 2)


@pytest.mark.workers
def test_a_killed_worker_starts_again_and_all_end_with_the_chief(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    die_once = "if is_first: os.kill(os.getpid(), 9)\nopen('again', 'w').close()\n"
    wait = "while not os.path.exists('again'): time.sleep(0.01)\n"
    command = program(NOTE + wait, NOTE + die_once + WAIT)
    km.tuning.launch_workers(command, 1, max_restarts=1, directory=tmp_path)
    words = "Worker 0 was killed by SIGKILL. It starts again and repeats its trial "
    assert capfd.readouterr().out == f"{words}(0 restarts left).\n"
    assert_no_process_is_left(tmp_path, 2)


@pytest.mark.workers
def test_sigterm_ends_all_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    note = "open(f'{os.getpid()}.pid', 'w').write(str(os.getpid()))\n"
    terminate = "import glob, time\nwhile len(glob.glob('*.pid')) < 2: time.sleep(0.01)\n"
    terminate += f"os.kill(os.getppid(), {signal.SIGTERM:d})\n"
    with launching.call_on_sigterm(pytest.fail), pytest.raises(SystemExit) as end:
        km.tuning.launch_workers(
            program(note + WAIT, note + terminate + WAIT), 1, directory=tmp_path
        )
    assert end.value.code == 143
    assert_no_process_is_left(tmp_path, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_workers": 0}, "`num_workers` must be a positive integer"),
        ({"max_restarts": -1}, "`max_restarts` must be an integer, at least 0"),
        ({"chief": "here"}, "`chief` must be ADDRESS:PORT.* Received: chief='here'"),
    ],
    ids=str,
)
def test_arguments_must_make_sense(arguments, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        km.tuning.launch_workers(["true"], **{"directory": tmp_path, **arguments})
