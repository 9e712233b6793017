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


def test_two_workers_have_the_numbers_of_one_device(tmp_path):
    one_device = tf.distribute.get_strategy()
    expected = worker_program.both_models(one_device, tmp_path / "one.pkl", [("graph", 1)])
    found = run_on_two_workers("both_models", tmp_path)
    assert len(found) == 2 * len(worker_program.WAYS)
    for (model, *way), numbers in found.items():
        tolerance = {"train_sums": 1e-5, "train_gan": 1e-4}[model]
        assert_equal_numbers(numbers, expected[model, "graph", 1], tolerance)
        np.testing.assert_array_equal(numbers["saved"], numbers["weights"], err_msg=str(way))


def test_two_workers_share_averages_penalties_classes_and_clipping(tmp_path):
    one_device = tf.distribute.get_strategy()
    expected = worker_program.default_gan(one_device, tmp_path / "one.pkl")
    found = run_on_two_workers("default_gan", tmp_path)
    assert set(found) == set(expected)
    assert_equal_numbers(found, expected, 1e-4)


def test_a_job_whose_worker_was_killed_ends_as_if_nothing_had_happened(tmp_path, capsys):
    one_device = tf.distribute.get_strategy()
    expected = worker_program.killed_in_mid_epoch(one_device, tmp_path / "one" / "numbers.pkl")
    found = run_on_two_workers("killed_in_mid_epoch", tmp_path, max_restarts=1)
    assert (tmp_path / "died").exists()
    assert "Worker 1 was killed by SIGKILL" in capsys.readouterr().out
    assert_equal_numbers(found, expected, 1e-5)


def test_workers_that_see_other_data_are_stopped(tmp_path):
    with pytest.raises(km.launching.WorkerError, match="must be given the same batches"):
        run_on_two_workers("other_data_on_each_worker", tmp_path)


def test_workers_without_a_seed_stay_in_step(tmp_path):
    run_on_two_workers("no_seed", tmp_path)
    first, second = (pickle.loads(path.read_bytes()) for path in tmp_path.glob("own-*.pkl"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_never_comes_up_is_an_error_after_the_stated_time(tmp_path, index):
    program = tmp_path / "program.py"
    program.write_text('import kerasmodes as km\nkm.get_strategy("multi_worker", timeout=1)\n')
    ports = km.launching.find_free_ports(2)
    missing = f"127.0.0.1:{ports[1 - index]}"
    cluster = km.launching.make_cluster(ports, index)
    command = ["env", f"TF_CONFIG={cluster}", sys.executable, program]
    words = rf"answer within timeout=1 seconds. Found no answer from \['{missing}'\]"
    with pytest.raises(km.launching.WorkerError, match=words):
        km.launching.launch(command, num_workers=1)
