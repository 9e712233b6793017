"""Tests of the end of a trial: another model continues from it."""

import os
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.tuning import last_epochs
from kerasmodes.tuning.trial_batches import TrialBatches

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


class Draws(keras.callbacks.Callback):
    """Draws random numbers as epochs begin."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_epoch_begin(self, epoch, logs=None):
        self.drawn.append((random.random(), np.random.random(), float(keras.random.uniform(()))))


@pytest.mark.slow
def test_callbacks_draw_what_they_would_have_drawn_and_the_next_trial_other_numbers(tmp_path):
    batches, found, ends = TrialBatches({}), [], []
    for epochs in ((0, 3), (0, 1), (1, 3)):
        keras.utils.set_random_seed(epochs[0])
        model = add_layers(km.Model)()
        model.compile("sgd", "mse", run_eagerly=True)
        draws, last = Draws(), last_epochs.SaveLastEpoch(tmp_path, batches)
        callbacks = [draws, last]
        if epochs[0]:
            callbacks.insert(0, last_epochs.ContinueLastEpoch(tmp_path, batches, epochs[0]))
        fit_arguments = {"initial_epoch": epochs[0], "epochs": epochs[1], "callbacks": callbacks}
        model.fit(X, X, shuffle=False, verbose=0, **fit_arguments)
        found.append(draws.drawn)
        ends.append((random.random(), np.random.random()))
    assert found[1] + found[2] == found[0]
    assert not set(ends[2]) & set(ends[0])


def test_a_trial_of_an_older_search_is_named(tmp_path):
    first = last_epochs.ContinueLastEpoch(tmp_path, TrialBatches({}), 1)
    with pytest.raises(ValueError, match="must have ended with this version.*Received: .*without"):
        first.on_epoch_begin(1)


class Program:
    """A pickle of it would make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_runs_nothing(tmp_path):
    program = np.array([Program(tmp_path / "made")], object)
    np.savez(tmp_path / last_epochs.SURROUNDINGS, **{"0": program})
    first = last_epochs.ContinueLastEpoch(tmp_path, TrialBatches({}), 1)
    with pytest.raises(ValueError, match="allow_pickle"):
        first.on_epoch_begin(1)
    assert not (tmp_path / "made").exists()
