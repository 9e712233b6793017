"""Tests of which models have outputs that no loss takes; how they are watched: `NaNGuard`'s."""

import keras
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import finite_data, output_watch

DENSE = keras.layers.Dense


class OwnStep(km.Model):
    def train_step(self, data):
        return {}


def make_model(losses, cls=km.Model):
    inputs = keras.Input((2,))
    model = cls(inputs, [DENSE(1, name="a")(inputs), DENSE(1, name="b")(inputs)])
    model.compile("sgd", losses, mode="graph")
    return model


@pytest.mark.parametrize(
    ("losses", "expected"),
    [(["mse", None], True), (None, True), (["mse", "mae"], False), ({"a": "mse"}, True)],
)
def test_outputs_without_a_loss(losses, expected):
    assert output_watch.has_outputs_without_loss(make_model(losses)) == expected


def test_of_a_step_of_the_users_own_nothing_is_known():
    assert not output_watch.has_outputs_without_loss(make_model(None, OwnStep))


def test_broken_outputs_are_told_once_and_the_model_keeps_its_call():
    model = make_model(["mse", None])
    watch = output_watch.OutputWatch(model)
    step = watch.watch(lambda x: model(x))
    step(tf.constant([[1.0, 2.0]]))
    assert watch.take_broken() == {}
    step(tf.constant([[1.0, float("inf")]]))
    (outputs,) = watch.take_broken().values()
    assert len(outputs) == 2 and not any(map(finite_data.is_finite, outputs))
    assert watch.take_broken() == {} and "call" not in vars(model)


def test_logs_of_all_kinds_are_watched():
    watch = output_watch.OutputWatch(make_model(None), (output_watch.LOGS,))
    step = watch.watch(lambda logs: logs)
    logs = {"a": tf.constant(1.0), "b": {"c": tf.constant([1.0, 2.0], tf.float64)}, "d": 3}
    step(logs)
    assert watch.take_broken() == {}
    step({**logs, "b": {"c": tf.constant([float("nan"), 2.0], tf.float64)}})
    step(logs)
    assert list(watch.take_broken()) == ["c"]
    step(logs)
    assert watch.take_broken() == {}
