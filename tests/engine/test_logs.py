"""Tests of what a step of one's own returns: it reaches the history, whatever metrics there are."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes import averaging

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
ONE_DEVICE = tf.distribute.get_strategy()
WAYS = [("eager", 1), ("graph", 2), ("fused", 2)]
WAYS += [pytest.param(mode, 1, marks=pytest.mark.sweep) for mode in ("graph", "xla")]


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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep)])
def test_a_value_of_the_step_is_not_replaced_on_replicas(two_replicas, mode):
    expected = {"loss": Y[8:].mean(), "other": 2 * Y[8:].mean()}
    for logs in logs_of(two_replicas, mode):
        assert logs == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep), "fused"])
def test_a_metric_that_the_step_uses_is_logged_over_the_epoch(mode):
    for logs in logs_of(ONE_DEVICE, mode, tracks=True):
        assert logs == pytest.approx({"loss": Y.mean(), "other": Y.mean()}, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("eager", marks=pytest.mark.sweep)])
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


def make_model_of_the_guide(base):
    """Returns a model with the step of Keras's guide: the result of each metric by its name."""

    class Guide(base):
        def test_step(self, data):
            x, y = data
            predicted = self(x)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(self.compute_loss(x, y, predicted))
                else:
                    metric.update_state(y, predicted)
            return {metric.name: metric.result() for metric in self.metrics}

        train_step = test_step

    layer = keras.layers.Dense(1, kernel_initializer="zeros")
    return Guide(inputs := keras.Input((3,)), layer(inputs))


@functools.cache
def logs_of_the_guide(base, **arguments):
    model = make_model_of_the_guide(base)
    model.compile(optimizer=None, loss="mse", metrics=["mae"], **arguments)
    test = (X[:4], Y[:4] + 1.0)
    history = model.fit(X, Y, shuffle=False, validation_data=test, batch_size=4, verbose=0).history
    values = model.evaluate(X, Y, batch_size=4, verbose=0)
    return history, values, model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    ["fused"]
    + [
        pytest.param(mode, marks=pytest.mark.sweep)
        for mode in (None, "eager", "graph", "xla", "auto")
    ],
)
def test_logs_within_the_logs_of_a_step_are_logged_as_in_keras(mode):
    expected = logs_of_the_guide(keras.Model, run_eagerly=True)
    history, values, logs = logs_of_the_guide(km.Model, mode=mode)
    assert set(history) == {"loss", "mae", "val_loss", "val_mae"}
    assert history["mae"] != history["val_mae"]
    assert history["val_mae"] == pytest.approx(expected[0]["val_mae"], rel=1e-4)
    assert history["val_loss"] == pytest.approx(expected[0]["val_loss"], rel=1e-4)
    assert history["mae"] == [pytest.approx(logs["mae"], rel=1e-4)]
    assert values == pytest.approx(expected[1], rel=1e-4)
    assert logs == pytest.approx(expected[2], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["graph", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "fused"))]
)
def test_a_metric_with_an_array_of_one_value_is_logged_as_in_keras(mode):
    def evaluate(base, **arguments):
        layer = keras.layers.Dense(1, kernel_initializer="ones")
        model = base(inputs := keras.Input((3,)), layer(inputs))
        f1_score = keras.metrics.F1Score(threshold=0.5, name="f1")
        model.compile(loss="mse", metrics=[f1_score], **arguments)
        return model.evaluate(X, np.round(Y > 1.0), verbose=0, return_dict=True)["f1"]

    found, expected = evaluate(km.Model, mode=mode), evaluate(keras.Model, run_eagerly=True)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_example_of_the_class_logs_its_loss():
    source = inspect.getdoc(km.Model).split("```python")[1].split("```")[0]
    program = {"km": km, "tf": tf, "keras": keras}
    exec(source, program)
    layer = keras.layers.Dense(1)
    model = program["MyModel"](inputs := keras.Input((3,)), layer(inputs))
    model.compile(keras.optimizers.SGD(0.0), mode="graph")
    for targets in (Y, Y[:, 0]):
        losses = model.fit(X, targets, batch_size=4, verbose=0).history["loss"]
        expected = np.mean(np.square(model.predict(X, verbose=0) - Y))
        assert losses == [pytest.approx(expected, rel=1e-4)]
