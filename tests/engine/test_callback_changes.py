"""Tests of callbacks that change, batch by batch, what the steps of one execution read."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km

X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
FACTOR = tf.Variable(1.0, trainable=False)


class RateOfBatch(keras.callbacks.Callback):
    """Lets the learning rate grow in each batch, as many callbacks of books do."""

    def on_batch_end(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.model.optimizer.learning_rate * 1.1


class Teacher(keras.callbacks.Callback):
    """Sets a weight before each batch."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.layers[-1].bias.assign([1.0])


class Annealing(keras.callbacks.Callback):
    """Sets a variable of the program, which the loss reads."""

    def on_train_batch_end(self, batch, logs=None):
        FACTOR.assign(0.5)


class Counter(keras.callbacks.Callback):
    """Has a variable of its own, and sets the rate once an epoch."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0)

    def on_train_batch_end(self, batch, logs=None):
        self.count.assign_add(1)
        self.model.reset_metrics()

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.01 / (1 + epoch)


@functools.cache
def make_model():
    model = km.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", lambda y, outputs: FACTOR * (y - outputs) ** 2, mode="fused")
    return model


def fit(callback, **arguments):
    set_seed(0)
    model = make_model()
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[callback], **arguments)
    return model


@pytest.mark.parametrize(
    ("callback", "line"),
    [
        pytest.param(RateOfBatch(), "learning_rate = self.model.optimizer", id="rate"),
        pytest.param(Teacher(), r"bias.assign\(\[1.0\]\)", id="weight"),
        pytest.param(Annealing(), "FACTOR.assign", id="variable of the program"),
        pytest.param(
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: setattr(
                    make_model().optimizer, "learning_rate", 0.1
                )
            ),
            "setattr",
            id="lambda",
        ),
    ],
)
def test_a_change_in_each_batch_is_refused_where_steps_are_joined(callback, line):
    make_model().set_mode("fused")
    with pytest.raises(
        ValueError, match=f"steps_per_execution` must be 1 .*mode='fused'.*4 steps.*{line}"
    ):
        fit(callback)


def test_a_change_in_each_batch_is_made_with_single_steps():
    make_model().set_mode("fused", steps_per_execution=1)
    make_model().optimizer.learning_rate = 0.01
    model = fit(RateOfBatch())
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01 * 1.1**8)


def test_a_change_of_what_no_step_reads_is_not_refused():
    make_model().set_mode("fused")
    counter = Counter()
    fit(counter)
    assert int(counter.count) == 2
