"""Tests of `km.get_strategy`: one word, one place to run.

A fresh program that makes two CPU devices is in `tests/test_imports.py`; several workers, by
`TF_CONFIG` and SLURM's variables, are in `tests/test_workers.py`.
"""

import pytest
import tensorflow as tf

import kerasmodes as km


def test_single_is_one_device():
    strategy = km.get_strategy("single")
    assert strategy.num_replicas_in_sync == 1
    assert strategy is tf.distribute.get_strategy()


def test_auto_without_several_gpus_is_one_device():
    assert tf.config.list_physical_devices("GPU") == []
    assert km.get_strategy().num_replicas_in_sync == 1


@pytest.mark.parametrize("count", [1, 2])
def test_logical_cpu_devices_hold_a_replica_each(count):
    strategy = km.get_strategy(f"cpu:{count}")
    assert strategy.num_replicas_in_sync == count
    devices = strategy.extended.worker_devices
    assert [device[-5:] for device in devices] == [f"CPU:{index}" for index in range(count)]


def test_there_is_one_strategy_for_the_same_devices():
    assert km.get_strategy("cpu:2") is km.get_strategy("cpu:2")
    assert km.get_strategy("cpu:2") is not km.get_strategy("cpu:1")


@pytest.mark.slow
@pytest.mark.sweep
def test_models_under_strategies_got_one_by_one_do_not_disturb_each_other():
    for units in ((), (3,), (5, 2)):
        with km.get_strategy("cpu:2").scope():
            model = km.SumRegressor(units)
        model.compile("sgd", mode="graph")
        assert model.fit(*km.data.sums(num_samples=8), batch_size=4, verbose=0).history["loss"]


@pytest.mark.parametrize(
    ("name", "needed"), [("mirrored", "at least 1"), ("mirrored:1", "1"), ("mirrored:2", "2")]
)
def test_gpus_that_are_not_there_are_an_error(name, needed):
    words = f"'{name}' needs {needed} GPUs. Found: 0 GPUs. Use 'single', or 'cpu:2'"
    with pytest.raises(RuntimeError, match=words):
        km.get_strategy(name)


def test_more_cpu_devices_than_tensorflow_started_with_are_an_error():
    tf.constant(0)  # TensorFlow has run something, with the two devices of conftest.py
    with pytest.raises(RuntimeError, match=r"'cpu:3' must be asked for before .* with 2 CPU dev"):
        km.get_strategy("cpu:3")


@pytest.mark.parametrize(
    "name",
    ["gpu", "cpu", "cpu:0", "cpu:02", "cpu:two", "mirrored:0", None],
)
def test_an_unknown_name_is_refused(name):
    words = "`name` must be 'single', 'mirrored', .*'multi_worker' or 'auto'.*Received: name="
    with pytest.raises(ValueError, match=words):
        km.get_strategy(name)


def test_workers_need_to_be_named(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(RuntimeError, match="'multi_worker' needs TF_CONFIG, or SLURM's variables"):
        km.get_strategy("multi_worker")


@pytest.mark.parametrize("timeout", [0, -1, "300", True])
def test_a_timeout_must_be_positive(timeout):
    words = "`timeout` must be a positive number. Received: timeout="
    with pytest.raises(ValueError, match=words):
        km.get_strategy("multi_worker", timeout=timeout)


def test_one_device_is_its_own_chief():
    assert km.is_chief()
    with km.get_strategy("cpu:2").scope():
        assert km.is_chief()
