"""Tests of what a step of one's own returns: it reaches the history, whatever metrics there are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes import averaging

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
ONE_DEVICE = tf.distribute.get_strategy()
WAYS = [("eager", 1), ("graph", 1), ("graph", 2), ("xla", 1), ("fused", 2)]


class Numbering(km.Model):
    """Returns the sum of the targets, under names that metrics of its own have too."""

    def __init__(self, tracks=False):
        super().__init__()
        self.tracks = tracks
        self.other = keras.metrics.Mean(name="other")
        self.built = True

    def train_step(self, data):
        total = averaging.global_mean(data[1])
        if self.tracks:
            self.track_loss(km.average_loss(data[1]), tf.shape(data[1])[0])
            self.other.update_state(data[1])
        return {"loss": total, "other": 2.0 * total}

    test_step = train_step


def logs_of(strategy, mode, steps_per_execution=1, tracks=False):
    with strategy.scope():
        model = Numbering(tracks)
        model.compile(optimizer=None, mode=mode, steps_per_execution=steps_per_execution)
    arguments = {"batch_size": 4, "verbose": 0}
    logs = model.fit(X, Y, shuffle=False, **arguments).history
    logs = {name: values[-1] for name, values in logs.items()}
    return logs, model.evaluate(X, Y, return_dict=True, **arguments)


@pytest.mark.parametrize(("mode", "steps_per_execution"), WAYS)
def test_a_value_of_the_step_is_not_replaced_by_an_unused_metric(mode, steps_per_execution):
    expected = {"loss": Y[8:].mean(), "other": 2 * Y[8:].mean()}
    for logs in logs_of(ONE_DEVICE, mode, steps_per_execution):
        assert logs == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_value_of_the_step_is_not_replaced_on_replicas(two_replicas, mode):
    expected = {"loss": Y[8:].mean(), "other": 2 * Y[8:].mean()}
    for logs in logs_of(two_replicas, mode):
        assert logs == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["eager", "graph", "fused"])
def test_a_metric_that_the_step_uses_is_logged_over_the_epoch(mode):
    for logs in logs_of(ONE_DEVICE, mode, tracks=True):
        assert logs == pytest.approx({"loss": Y.mean(), "other": Y.mean()}, rel=1e-5)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_metric_that_the_step_uses_is_logged_over_the_epoch_on_replicas(two_replicas, mode):
    for logs in logs_of(two_replicas, mode, tracks=True):
        assert logs == pytest.approx({"loss": Y.mean(), "other": Y.mean()}, rel=1e-5)


def test_a_used_metric_whose_result_is_zero_is_logged():
    class Counting(km.Model):
        def __init__(self):
            super().__init__()
            self.mean = keras.metrics.Mean(name="loss")
            self.built = True

        def train_step(self, data):
            self.mean.update_state(0.0 * data[1])
            return {"loss": self.mean.result()}

    model = Counting()
    model.compile(optimizer=None, mode="graph")
    assert model.fit(X, Y, batch_size=4, verbose=0).history == {"loss": [0.0]}


def test_the_example_of_the_class_logs_its_loss():
    source = km.Model.__doc__.split("```python")[1].split("```")[0]
    program = {"km": km, "tf": tf, "keras": keras}
    exec("\n".join(line.removeprefix("    ") for line in source.splitlines()), program)
    layer = keras.layers.Dense(1)
    model = program["MyModel"](inputs := keras.Input((3,)), layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), mode="graph")
    for targets in (Y, Y[:, 0]):
        losses = model.fit(X, targets, batch_size=4, verbose=0).history["loss"]
        expected = np.mean(np.square(model.predict(X, verbose=0) - Y))
        assert losses == [pytest.approx(expected, rel=1e-4)]
