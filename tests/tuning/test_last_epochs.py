"""Tests of the end of a trial: another model continues from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.tuning import last_epochs

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")


def add_layers(cls):
    """Returns a subclass without a `build` of its own."""

    class Layers(cls):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

    return Layers


class Parts(km.Model):
    """Its step calls its parts; nothing calls the model itself."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.network(x) - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


@pytest.mark.parametrize("cls", [add_layers(keras.Model), add_layers(km.Model), Parts])
def test_a_model_continues_where_another_ended(cls, tmp_path):
    models = cls(), cls()
    for model in models:
        model.compile("adam", "mse", run_eagerly=True)
    models[0].fit(X, X, batch_size=4, verbose=0)
    last_epochs.save_last_epoch(models[0], tmp_path)
    last_epochs.restore_last_epoch(models[1], tmp_path, models[0].get_build_config())
    expected, found = ([*model.weights, *model.optimizer.variables] for model in models)
    assert len(found) == len(expected) > 4
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
