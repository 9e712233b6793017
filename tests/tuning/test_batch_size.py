"""Tests of the batch size that a tuner draws: how data are batched, and when a trial fails."""

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from tiny_searches import NUM_FEATURES, list_statuses, make_space, make_sums

import kerasmodes as km


class Batches(keras.callbacks.Callback):
    """Counts the batches of training and of validation."""

    train = test = 0

    def on_train_batch_end(self, batch, logs=None):
        self.train = batch + 1

    def on_test_batch_end(self, batch, logs=None):
        self.test = batch + 1


def fit_sums(drawn, **arguments):
    """Fits with the batch size that was drawn."""
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")
    hp = make_space(batch_size=drawn)
    return hypermodel.fit(hp, hypermodel.build(hp), verbose=0, **arguments)


@pytest.mark.slow
def test_an_array_is_batched_as_drawn():
    batches = Batches()
    x, y = km.data.sums(24, NUM_FEATURES)
    fit_sums(4, x=x, y=y, callbacks=[batches])
    assert batches.train == 6


@pytest.mark.slow
def test_a_data_set_is_batched_as_drawn_and_its_validation_is_not():
    batches = Batches()
    x, y = km.data.sums(24, NUM_FEATURES)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(6, drop_remainder=True)
    arguments = {"x": data, "validation_data": data, "callbacks": [batches]}
    fit_sums(5, **arguments)
    assert (batches.train, batches.test) == (5, 4)  # 24 / 5, rounded up, and 24 / 6


def make_shuffled_sums(length):
    sums = make_sums()
    data = tf.data.Dataset.from_tensor_slices((sums["x"], sums["y"])).shuffle(16, seed=1)
    data = data if length == "known length" else data.filter(lambda x, y: True)
    return data.batch(16)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize(
    ("length", "mode"),
    [
        ("known length", "eager"),
        pytest.param("known length", "fused", marks=pytest.mark.sweep),
        pytest.param("unknown length", "graph", marks=pytest.mark.sweep),
    ],
)
def test_a_promoted_trial_sees_the_orders_of_an_uninterrupted_one(length, mode):
    fixed = {"batch_size": 4, "hidden_layers": 1, "units_1": 8, "optimizer": "sgd"}
    fixed["learning_rate"] = 0.03  # Another order changes the weights by 1e-2.
    hp, hypermodel = make_space(**fixed), km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode=mode)
    model = hypermodel.build(hp)
    start = model.get_weights()

    def fit(hypermodel, x, epochs, initial_epoch=0, weights=start):
        model.set_weights(weights)
        hypermodel.fit(hp, model, x=x, epochs=epochs, initial_epoch=initial_epoch, verbose=0)
        return model.get_weights()

    keras.utils.set_random_seed(0)
    data = make_shuffled_sums(length)
    uninterrupted = fit(hypermodel, data, 4)
    keras.utils.set_random_seed(0)
    first = fit(hypermodel, data, 2)
    fit(hypermodel, data, 1)  # another trial between
    in_this_program = fit(hypermodel, data, 4, 2, first)
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode=mode)
    in_a_new_program = fit(hypermodel, make_shuffled_sums(length), 4, 2, first)
    for promoted in (in_this_program, in_a_new_program):
        for one, other in zip(promoted, uninterrupted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_batch_size_of_the_user_is_refused():
    x, y = km.data.sums(8, NUM_FEATURES)
    with pytest.raises(ValueError, match="`batch_size` must be left.* Received: batch_size=32"):
        fit_sums(4, x=x, y=y, batch_size=32)


def test_a_generator_is_refused():
    x, y = km.data.sums(8, NUM_FEATURES)
    with pytest.raises(
        TypeError, match="`x` must be arrays or a tf.data.Dataset, .* Received: x=generator"
    ):
        fit_sums(4, x=((x, y) for _ in range(2)))


@pytest.mark.slow
@pytest.mark.parametrize("drop_remainder", [False, pytest.param(True, marks=pytest.mark.sweep)])
def test_no_example_of_a_data_set_is_dropped(drop_remainder):
    seen = []

    class Count(km.SumRegressor):
        def train_step(self, data):
            seen.append(len(data[0]))
            return super().train_step(data)

    def build(hp):
        model = Count(())
        model.compile("sgd", "mse", mode="eager")
        return model

    x, y = km.data.sums(8, NUM_FEATURES)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4, drop_remainder=drop_remainder)
    hypermodel, hp = km.tuning.BatchSize(build, choices=(3,)), keras_tuner.HyperParameters()
    hypermodel.fit(hp, hypermodel.build(hp), x=data, verbose=0)
    assert seen == [3, 3, 2]


@pytest.mark.slow
def test_one_line_adds_batch_size_and_mode_to_a_model_of_ones_own(tmp_path):
    def build(hp):
        model = km.SumRegressor(())
        model.compile(keras.optimizers.SGD(hp.Choice("rate", [0.1])), "mse", mode="eager")
        return model

    hypermodel = km.tuning.BatchSize(build, choices=(4, 12), modes=("eager", "graph"))
    x, y = km.data.sums(16, NUM_FEATURES)
    arguments = {"x": x, "y": y, "epochs": 1, "directory": tmp_path, "verbose": 0}
    tuner = km.tuning.search(hypermodel, "grid", "loss", max_trials=8, **arguments)
    values = [t.hyperparameters.values for t in tuner.oracle.trials.values()]
    drawn = {(one["rate"], one["batch_size"], one["mode"]) for one in values}
    assert len(drawn) == 4
    assert list_statuses(tuner) == ["COMPLETED"] * 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"choices": (0,)}, "choices"), ({"choices": ()}, "choices"), ({"modes": ("jax",)}, "modes")],
)
def test_impossible_choices_are_named(arguments, words):
    with pytest.raises(ValueError, match=f"`{words}` must be .*Received: {words}="):
        km.tuning.BatchSize(lambda hp: None, **arguments)


def make_batches(batch_size):
    x, y = km.data.sums(16, NUM_FEATURES, seed=0)
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(16, seed=1).batch(batch_size, True)


@pytest.mark.slow
def test_a_function_makes_the_data_set_of_each_trial():
    """Each trial, also a promoted one, sees the orders of a fit of its own data set."""
    fixed = {"batch_size": 6, "hidden_layers": 1, "units_1": 8, "optimizer": "sgd"}
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")

    model = hypermodel.build(make_space(**fixed, learning_rate=0.03))
    start = model.get_weights()

    def fit(model, **arguments):
        hp = make_space(**fixed)
        return hypermodel.fit(hp, model, x=make_batches, verbose=0, **arguments).history["loss"]

    losses = model.fit(make_batches(6), epochs=3, verbose=0, shuffle=False).history["loss"]
    model.set_weights(start)
    assert fit(model, epochs=1) + fit(model, initial_epoch=1, epochs=3) == losses


def test_a_function_that_makes_no_data_set_is_named():
    with pytest.raises(
        TypeError, match="`x`, a function of `batch_size`, must return.*Received: a"
    ):
        fit_sums(4, x=lambda batch_size: np.zeros((batch_size, NUM_FEATURES)))


@pytest.mark.parametrize("kind", ["arrays", pytest.param("data set", marks=pytest.mark.sweep)])
def test_batch_sizes_whose_trials_would_be_equal_are_refused(kind):
    x, y = km.data.sums(20, NUM_FEATURES)
    arguments = {"x": x, "y": y, "validation_split": 0.25}
    if kind == "data set":
        arguments = {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(4).take(4)}
    count = 15 if kind == "arrays" else 16
    with pytest.raises(ValueError, match=f"one choice of {count} or more.*choices=.8, 16, 32."):
        fit_sums([8, 16, 32], **arguments)
    fit_sums([8, 16], **arguments)


def test_a_model_without_modes_is_refused_with_what_gives_it_some(tmp_path):
    def build(hp):
        model = keras.Sequential([keras.Input((NUM_FEATURES,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    hypermodel = km.tuning.BatchSize(build, choices=(4,), modes=("graph", "fused"))
    words = "`modes` needs a model with modes: .*km.with_modes.*Received: a Sequential"
    with pytest.raises(TypeError, match=words):
        km.tuning.search(hypermodel, directory=tmp_path, **make_sums())
