"""Tests of which models have outputs that no loss takes; how they are watched: `NaNGuard`'s."""

import keras
import numpy as np
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
    watch = output_watch.OutputWatch(output_watch.Watched(has_outputs=True))

    def call(x):
        outputs = model(x)
        return {"loss": outputs[0]}

    run = output_watch.watch_run(call, model, watch.watched)
    watch.take_logs(run(tf.constant([[1.0, 2.0]])))
    assert watch.take_broken() == {}
    watch.take_logs(run(tf.constant([[1.0, float("inf")]])))
    (outputs,) = watch.take_broken().values()
    assert len(outputs) == 2 and not any(map(finite_data.is_finite, outputs))
    assert watch.take_broken() == {} and "call" not in vars(model)


GOOD = {"a": 1.0, "b": {"c": [1.0, -0.0]}, "d": 3, "e": -0.0}
BAD = {"a": float("inf"), "b": {"c": [float("nan"), 2.0]}, "d": 4, "e": 5.0}


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_log_that_was_broken_stays_so_and_no_other_loses_a_bit(is_compiled):
    dtypes = {"a": tf.float32, "c": tf.float64, "d": tf.int32, "e": tf.float32}

    def make(logs):
        made = {name: tf.constant(logs[name], dtypes[name]) for name in ("a", "d", "e")}
        logs = {**made, "b": {"c": tf.constant(logs["b"]["c"], tf.float64)}}
        return output_watch.WatchedLogs(logs, [])

    def merge(before, now, ignored=()):
        watched = output_watch.Watched(False, ignored)
        merge_logs = output_watch.merge_logs
        if is_compiled:
            merge_logs = tf.function(merge_logs, autograph=False)
        return merge_logs(make(before), make(now), watched).logs

    merged = merge(GOOD, GOOD)
    for one, expected in zip(tf.nest.flatten(merged), tf.nest.flatten(make(GOOD)), strict=True):
        assert one.numpy().tobytes() == expected.numpy().tobytes()
    merged = merge(BAD, GOOD)
    assert not np.isfinite(merged["a"]) and not np.isfinite(merged["b"]["c"]).all()
    assert merged["d"] == 3 and merged["e"] == 0
    assert merge(BAD, GOOD, ("a",))["a"] == 1


class Branches(km.Model):
    """A model whose outputs only a call tells."""

    def __init__(self):
        super().__init__()
        self.dense = DENSE(1)

    def call(self, x):
        return {"a": self.dense(x), "b": tf.math.log(x)}


def test_outputs_that_only_a_call_tells_may_have_no_loss():
    model = Branches()
    model.compile("sgd", {"a": "mse"}, mode="graph")
    assert output_watch.has_outputs_without_loss(model)


@pytest.mark.parametrize(("num_losses", "num_watched"), [(1, 2), (2, 0)])
def test_outputs_are_looked_at_if_there_are_more_of_them_than_losses(num_losses, num_watched):
    watched = output_watch.Watched(True, num_losses=num_losses)
    model = Branches()
    run = output_watch.watch_run(model, model, watched)
    assert len(run(tf.ones([1, 2])).outputs) == num_watched


class Last(keras.metrics.Metric):
    """A metric that forgets."""

    def __init__(self):
        super().__init__(name="last")
        self.number = self.add_weight(name="number", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.number.assign(tf.reduce_min(tf.math.log(y_true)))

    def result(self):
        return self.number + 0.0


class OwnResults(km.Model):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {"ratio": 1.0}


@pytest.mark.parametrize(
    ("cls", "metrics", "expected"),
    [
        (OwnStep, None, True),
        (OwnResults, None, True),
        (km.Model, {"a": [Last()]}, True),
        (km.Model, {"a": ["mae", keras.metrics.MeanSquaredError()]}, False),
    ],
    ids=["step", "results", "metric", "none"],
)
def test_logs_of_the_users_own(cls, metrics, expected):
    model = make_model(["mse", "mse"], cls)
    model.compile("sgd", ["mse", "mse"], metrics=metrics)
    assert output_watch.has_own_logs(model) == expected
