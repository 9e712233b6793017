"""Tests of eager steps: the user's lines run in Python, Keras's own parts compiled."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)


class Noting(km.SumRegressor):
    """Notes whether each hook of the user's ran in Python, on values that can be looked at."""

    def __init__(self):
        super().__init__(units=())
        self.noted = set()

    def note(self, hook, tensor):
        assert tf.executing_eagerly()
        tensor.numpy()
        self.noted.add(hook)

    def call(self, x):
        outputs = super().call(x)
        self.note("call", outputs) if tf.executing_eagerly() else None
        return outputs

    def train_step(self, data):
        self.note("train_step", data[0])
        return super().train_step(data)

    def test_step(self, data):
        self.note("test_step", data[0])
        return super().test_step(data)

    def predict_step(self, data):
        self.note("predict_step", data[0])
        return super().predict_step(data)

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        self.note("compute_loss", y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def fit(model, **arguments):
    return model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, **arguments)


def test_every_hook_of_the_user_runs_in_python():
    model = Noting()
    model.compile("sgd", mode="eager")
    fit(model, epochs=2, validation_data=(X, Y))
    model.predict(X, verbose=0)
    assert model.noted == {"train_step", "test_step", "predict_step", "call", "compute_loss"}


def test_a_loss_and_a_metric_of_the_user_run_in_python():
    seen = []

    def own_loss(y_true, y_pred):
        seen.append(tf.executing_eagerly())
        return tf.square(y_true - y_pred)

    def own_metric(y_true, y_pred):
        seen.append(tf.executing_eagerly())
        return tf.abs(y_true - y_pred)

    model = km.SumRegressor(units=())
    model.compile("sgd", own_loss, metrics=[own_metric], mode="eager")
    fit(model, epochs=2)
    assert seen == [True] * 12


def test_an_optimizer_of_the_user_runs_in_python():
    seen = []

    class Own(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            seen.append(tf.executing_eagerly())
            super().update_step(gradient, variable, learning_rate)

    model = km.SumRegressor(units=())
    model.compile(Own(0.1), mode="eager")
    fit(model)
    assert seen == [True] * 6


def test_the_update_of_keras_is_traced_once():
    traces = []
    optimizer = keras.optimizers.Adam()
    model = km.SumRegressor(units=())
    model.compile(optimizer, mode="eager")
    fit(model)
    assert not hasattr(optimizer, "__dict__") or "apply" not in vars(optimizer)
    update_step = optimizer.update_step
    optimizer.update_step = lambda *args: traces.append(1) or update_step(*args)
    fit(model, epochs=3)
    assert not traces


def test_a_learning_rate_set_between_epochs_counts():
    model = km.SumRegressor(units=())
    model.compile(keras.optimizers.SGD(0.1), mode="eager")
    fit(model)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    fit(model)
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_error_in_a_step_leaves_the_parts_as_they_were():
    class Failing(km.SumRegressor):
        def train_step(self, data):
            logs = super().train_step(data)
            if int(self.optimizer.iterations.numpy()) == 2:
                raise RuntimeError("stop here")
            return logs

    model = Failing(units=())
    model.compile("sgd", mode="eager")
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model)
    assert "apply" not in vars(model.optimizer)


def test_a_number_given_to_a_metric_counts_anew_in_each_step():
    class Counting(km.Model):
        def __init__(self):
            super().__init__()
            self.mean = keras.metrics.Mean(name="mean")
            self.steps = 0

        def train_step(self, data):
            self.steps += 1
            self.mean.update_state(float(self.steps))
            return {"mean": self.mean.result()}

    model = Counting()
    model.compile(mode="eager")
    assert fit(model).history["mean"] == [2.0]


def test_several_steps_an_execution():
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager", steps_per_execution=2)
    fit(model)
    assert int(model.optimizer.iterations.numpy()) == 3
