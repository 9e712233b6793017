"""Tests with two real processes: the numbers of one device, also when a worker dies."""

import contextlib
import functools
import io
import pathlib
import pickle
import socket
import sys

import numpy as np
import pytest
import tensorflow as tf
import worker_program

import kerasmodes as km

PROGRAM = pathlib.Path(__file__).with_name("worker_program.py")


def assert_equal_numbers(numbers, expected, tolerance):
    for name, value in numbers.items():
        np.testing.assert_allclose(value, expected[name], atol=tolerance, err_msg=name)


def read_pickle(path):
    return pickle.loads(path.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def found(folder):
    """The numbers of two workers, all from one launch, and what it has printed."""
    path, printed = folder / "numbers.pkl", io.StringIO()
    with contextlib.redirect_stdout(printed), socket.socket() as other_job:
        # TensorFlow's own choice of ports under SLURM begins here, and Jupyter's.
        with contextlib.suppress(OSError):
            other_job.bind(("", 8888))
            other_job.listen()
        km.launching.launch([sys.executable, PROGRAM, "train_all", path], 2, max_restarts=1)
    return {**pickle.loads(path.read_bytes()), "printed": printed.getvalue()}


ONE_DEVICE = tf.distribute.get_strategy()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "num_examples"), [("graph", 20), ("eager", 7)])
def test_two_workers_have_the_numbers_of_one_device(found, mode, num_examples, tmp_path):
    train = functools.partial(worker_program.train_sums, mode="eager", num_examples=num_examples)
    assert_same_program(found[f"sums, {mode}"], train, tmp_path, 1e-5)


@pytest.mark.sweep
@pytest.mark.parametrize(("name", "tolerance"), [("train_gan", 1e-4), ("train_in_xla", 1e-5)])
def test_two_workers_run_a_program_of_one_device(name, tolerance, tmp_path):
    path = tmp_path / "numbers.pkl"
    km.launching.launch([sys.executable, PROGRAM, name, path], 2)
    found = pickle.loads(path.read_bytes())
    assert_same_program(found, getattr(worker_program, name), tmp_path, tolerance)


def assert_same_program(found, train, folder, tolerance):
    expected = train(ONE_DEVICE, folder / "one.pkl")
    assert set(found) == set(expected)
    assert_equal_numbers(found, expected, tolerance)
    np.testing.assert_array_equal(found["saved"], found["weights"])


@pytest.mark.slow
@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("name", ["slurm", "tf_config"])
def test_workers_find_each_other_by_the_variables_of_slurm_and_by_tf_config(folder, name):
    for is_chief in (True, False):
        assert (folder / f"{name}-{is_chief}.txt").read_text() == "2"


@pytest.mark.slow
@pytest.mark.usefixtures("found")
def test_workers_without_a_seed_stay_in_step(folder):
    first, second = map(read_pickle, folder.glob("own-*.pkl"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_a_job_whose_worker_was_killed_has_the_numbers_of_one_that_was_not(found, tmp_path):
    expected = worker_program.train_with_a_killed_worker(ONE_DEVICE, tmp_path / "numbers.pkl")
    assert found["printed"].count("Worker 1 was killed by SIGKILL") == 1
    assert_equal_numbers(found["killed"], expected, 1e-5)


@pytest.mark.slow
def test_each_worker_prepares_its_own_examples_only(found, folder, tmp_path):
    expected = worker_program.train_on_prepared(ONE_DEVICE, tmp_path / "one.pkl")
    assert_equal_numbers(found["prepared"], expected, 1e-6)
    (alone,) = map(read_pickle, tmp_path.glob("prepared-*.pkl"))
    both = list(map(read_pickle, folder.glob("prepared-*.pkl")))
    assert len(alone) == 2 * 11
    # 8 examples are shared out, and the last batch of three is prepared by both, in both epochs.
    assert [len(own) for own in both] == 2 * [2 * (8 // 2 + 3)]
    assert set(sum(both, [])) == set(range(11))


@pytest.mark.slow
def test_each_worker_reads_its_own_examples_of_a_source_only(found, folder, tmp_path):
    expected = worker_program.train_on_source(ONE_DEVICE, tmp_path / "one.pkl")
    assert_equal_numbers(found["source"], expected, 1e-6)
    (alone,) = map(read_pickle, tmp_path.glob("source-*.pkl"))
    assert [len(read) for read in alone] == [1 + 2 * 11, 1 + 3 * 8]
    # The first example tells what they are like. Of 11, 8 are shared out, and three are read by
    # both; of 8, all are shared out, in two validations and a prediction.
    first, second = map(read_pickle, folder.glob("source-*.pkl"))
    for own in (first, second):
        assert [len(read) for read in own] == [1 + 2 * (8 // 2 + 3), 1 + 3 * 8 // 2]
    assert set(first[0]) | set(second[0]) == set(range(11))
    assert sorted(first[1][1:] + second[1][1:]) == sorted(3 * [*range(8)])


@pytest.mark.slow
def test_gradients_added_up_in_bfloat16_are_those_of_two_replicas(found, two_replicas):
    expected = worker_program.train_with_short_gradients(two_replicas)
    np.testing.assert_array_equal(found["bfloat16"]["weights"], expected["weights"])


@pytest.mark.slow
@pytest.mark.usefixtures("found")
def test_workers_with_different_data_are_stopped(folder):
    errors = {path.name: path.read_text() for path in folder.glob("error-*.txt")}
    sources = [errors.pop(name) for name in sorted(errors) if "source" in name]
    assert len(errors) == 4
    assert all("must be given the same batches" in error for error in errors.values())
    assert len(sources) == 2
    assert all("`source` must have the same examples on each" in error for error in sources)
    assert all(r"sources of [8, 12] examples" in error for error in sources)


@pytest.mark.slow
def test_workers_train_where_nothing_heavy_can_be_imported(found):
    # Keras imports matplotlib itself where it can, so whether it is loaded tells nothing.
    assert tuple(found["missing"]) == worker_program.HEAVY


def test_a_worker_that_never_answers_is_an_error_after_the_timeout(monkeypatch):
    ports = km.launching.find_free_ports(2)
    monkeypatch.setenv("TF_CONFIG", km.launching.make_cluster(ports, 0))
    missing = f"127.0.0.1:{ports[1]}"
    words = rf"answer within timeout=0.1 seconds. Found no answer from \['{missing}'\]"
    with pytest.raises(RuntimeError, match=words):
        km.get_strategy("multi_worker", timeout=0.1)
