"""Tests of searches in several processes: the scores of one process, also when one is killed."""

import json
import os
import pathlib
import sys

import pytest
import search_program
from processes import has_ended, open_process

import kerasmodes as km
from kerasmodes.launching import WorkerError
from kerasmodes.tuning import workers

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


@pytest.mark.workers
def test_two_workers_have_the_scores_of_one_process(expected, tmp_path, capfd):
    launch(tmp_path)
    assert read_scores(tmp_path) == pytest.approx(expected, rel=1e-4)
    found = capfd.readouterr()
    lines = found.out.splitlines()
    assert [line.split(":")[0] for line in sorted(lines)] == [f"trial {n}" for n in range(4)]
    assert "4 of 4 done, 0 running, 0 failed, best val_loss" in lines[-1]
    assert "\x1b" not in found.out + found.err
    assert "Epoch 1/2" in (tmp_path / "worker_0.log").read_text()
    assert_no_process_is_left(tmp_path, 3)


@pytest.mark.workers
def test_the_trial_of_a_killed_worker_is_repeated(expected, tmp_path, capfd):
    launch(tmp_path, "worker", num_workers=1, max_restarts=1)
    assert read_scores(tmp_path) == pytest.approx(expected, rel=1e-4)
    words = (
        "Worker 0 was killed by SIGKILL. It starts again and repeats its trial (0 restarts left)"
    )
    assert words in capfd.readouterr().out
    assert_no_process_is_left(tmp_path, 3)


@pytest.mark.workers
def test_a_search_whose_chief_was_killed_is_resumed(expected, tmp_path):
    with pytest.raises(WorkerError, match="The chief was killed by SIGKILL.* the same command"):
        launch(tmp_path, "chief")
    assert not (tmp_path / "scores.json").exists()
    assert_no_process_is_left(tmp_path, 3)
    # In one process: the files are the same.
    resumed = search_program.search(tmp_path, verbose=0)
    assert search_program.list_scores(resumed) == pytest.approx(expected, rel=1e-4)
    launch(tmp_path, "chief", num_workers=1)  # Nothing is left to do.
    assert read_scores(tmp_path) == search_program.list_scores(resumed)


@pytest.mark.workers
def test_an_error_of_a_worker_ends_the_search_and_is_shown(tmp_path):
    with pytest.raises(WorkerError) as error:
        launch(tmp_path, "error", num_workers=1)
    assert f"Worker 0 ended with 1. Its last lines, from {tmp_path}/worker_0.log" in str(
        error.value
    )
    assert "OSError: the disk is full" in str(error.value)
    assert_no_process_is_left(tmp_path, 2)


@pytest.mark.workers
def test_a_worker_that_is_killed_too_often_ends_the_search(tmp_path):
    kills = [sys.executable, "-c", "import os, time\nos.environ['KERASTUNER_TUNER_ID'] == 'chief' "]
    kills[-1] += "and time.sleep(1000)\nos.kill(os.getpid(), 9)"
    with pytest.raises(WorkerError, match="Worker 0 was killed by SIGKILL. Its last lines"):
        km.tuning.launch_workers(kills, 1, max_restarts=2, directory=tmp_path)


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


@pytest.mark.parametrize("address", ["host", ":80", "host:", "host:0", "host:70000", "host:x"])
def test_an_address_has_a_port(address):
    with pytest.raises(ValueError, match="`join` must be ADDRESS:PORT"):
        workers.make_environment("a", "join", address)


def test_a_role_lasts_as_long_as_it_is_open(monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "mine")
    assert km.tuning.find_role() is None
    with workers.take_role(chief="0.0.0.0:9000") as role:
        assert role == km.tuning.find_role() == "chief"
    with workers.take_role(join="10.0.0.1:9000", worker_id="a") as role:
        assert (role, os.environ["KERASTUNER_TUNER_ID"]) == ("worker", "a")
        assert os.environ["KERASTUNER_ORACLE_IP"] == "10.0.0.1"
    assert km.tuning.find_role() is None
    assert os.environ["KERASTUNER_TUNER_ID"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"chief": "a:1", "join": "a:1"}, "`join` must be left out with `chief`"),
        ({"worker_id": "a"}, "`worker_id` must be .* be given with `join`"),
        ({"join": "a:1", "worker_id": "chief_1"}, "`worker_id` must be a name without 'chief'"),
    ],
    ids=str,
)
def test_a_contradiction_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words), workers.take_role(**arguments):
        pass


def test_workers_share_cores_and_gpus(monkeypatch):
    for name in workers.THREADS:
        monkeypatch.delenv(name, raising=False)

    def share(num_workers, num_cores, gpus):
        shares = [
            workers.share_devices(n, num_workers, num_cores, gpus) for n in range(num_workers)
        ]
        return [(one["TF_NUM_INTRAOP_THREADS"], one.get("CUDA_VISIBLE_DEVICES")) for one in shares]

    assert share(2, 2, []) == [("1", None)] * 2
    assert share(3, 2, []) == [("1", None)] * 3
    assert share(2, 9, ["0", "1", "2"]) == [("4", "0,2"), ("4", "1")]
    assert share(3, 6, ["a", "b"]) == [("2", "a"), ("2", "b"), ("2", "a")]
    assert "TF_FORCE_GPU_ALLOW_GROWTH" in workers.share_devices(0, 3, 6, ["a", "b"])
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert workers.share_devices(0, 2, 2, [])["OMP_NUM_THREADS"] == "7"
