"""Tests with two real processes: the numbers of one device, also when a worker dies."""

import pathlib
import pickle
import sys

import numpy as np
import pytest
import tensorflow as tf
import worker_program

import kerasmodes as km

PROGRAM = pathlib.Path(__file__).with_name("worker_program.py")


def run_on_two_workers(function, folder, max_restarts=0):
    path = folder / "numbers.pkl"
    km.launching.launch([sys.executable, PROGRAM, function, path], 2, max_restarts)
    return pickle.loads(path.read_bytes())


def assert_equal_numbers(numbers, expected, tolerance):
    for name, value in numbers.items():
        np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def found(folder):
    """The numbers of two workers, all from one launch."""
    return run_on_two_workers("train_all", folder)


ONE_DEVICE = tf.distribute.get_strategy()


@pytest.mark.parametrize(
    ("train", "names", "tolerance"),
    [
        (worker_program.train_sums, ("sums, graph", "sums, eager"), 1e-5),
        (worker_program.train_tutorial_gan, ("tutorial GAN",), 1e-4),
    ],
    ids=["sums", "GAN"],
)
def test_two_workers_have_the_numbers_of_one_device(found, train, names, tolerance, tmp_path):
    expected = train(ONE_DEVICE, tmp_path / "one.pkl")
    for name in names:
        assert set(found[name]) == set(expected)
        assert_equal_numbers(found[name], expected, tolerance)
        np.testing.assert_array_equal(found[name]["saved"], found[name]["weights"], err_msg=name)


def test_two_workers_share_averages_penalties_classes_and_clipping(found):
    expected = worker_program.train_default_gan(ONE_DEVICE)
    assert set(found["default GAN"]) == set(expected)
    assert_equal_numbers(found["default GAN"], expected, 1e-4)


@pytest.mark.usefixtures("found")
def test_workers_without_a_seed_stay_in_step(folder):
    first, second = (pickle.loads(path.read_bytes()) for path in folder.glob("own-*.pkl"))
    np.testing.assert_array_equal(first, second)


def test_a_job_whose_worker_was_killed_has_the_numbers_of_one_that_was_not(tmp_path, capsys):
    path = tmp_path / "one" / "numbers.pkl"
    expected = worker_program.train_with_a_killed_worker(ONE_DEVICE, path)
    found = run_on_two_workers("train_with_a_killed_worker", tmp_path, max_restarts=1)
    assert (tmp_path / "died").exists()
    assert "Worker 1 was killed by SIGKILL" in capsys.readouterr().out
    assert_equal_numbers(found, expected, 1e-5)


def test_workers_with_different_data_are_stopped(tmp_path):
    with pytest.raises(km.launching.WorkerError, match="must be given the same batches"):
        run_on_two_workers("train_on_different_data", tmp_path)


def test_a_worker_that_never_answers_is_an_error_after_the_timeout(tmp_path):
    program = tmp_path / "program.py"
    program.write_text('import kerasmodes as km\nkm.get_strategy("multi_worker", timeout=1)\n')
    ports = km.launching.find_free_ports(2)
    missing = f"127.0.0.1:{ports[1]}"
    cluster = km.launching.make_cluster(ports, 0)
    command = ["env", f"TF_CONFIG={cluster}", sys.executable, program]
    words = rf"answer within timeout=1 seconds. Found no answer from \['{missing}'\]"
    with pytest.raises(km.launching.WorkerError, match=words):
        km.launching.launch(command, num_workers=1)
