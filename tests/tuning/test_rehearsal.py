"""Tests of the step before a search: hyperparameters that no model asks for."""

import keras
import keras_tuner
import pytest
import tensorflow as tf
from tiny_searches import list_statuses, make_space, make_sums, search_sums

import kerasmodes as km


def test_a_hyperparameter_that_the_model_does_not_ask_for_is_named(tmp_path):
    def build(hp):
        model = km.SumRegressor(())
        rate = hp.Float("learning_rate", 0.1, 0.2)
        model.compile(keras.optimizers.SGD(rate), "mse", mode="eager")
        return model

    words = "among those that the model asks for.*'learning_rat'.*mean 'learning_rate'"
    space = make_space(learning_rat=0.1)
    x, y = km.data.sums(4, 3)
    with pytest.raises(ValueError, match=words):
        km.tuning.search(
            build, hyperparameters=space, objective="loss", directory=tmp_path, x=x, y=y
        )
    assert not list(tmp_path.glob("*/trial_*"))


class Deep(keras_tuner.HyperModel):
    """Asks for a width in some configurations only, and for a number in `fit`."""

    def declare_hyperparameters(self, hp):
        hp.Fixed("note", "declared")

    def build(self, hp):
        widths = [hp.Int(f"units_{layer}", 2, 3) for layer in range(hp.Int("layers", 1, 3))]
        model = km.SumRegressor(widths)
        model.compile("sgd", "mse", mode="eager")
        return model

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, shuffle=hp.Boolean("is_shuffled"), **kwargs)


def test_a_hyperparameter_that_some_models_ask_for_is_accepted(tmp_path):
    space = make_space(units_2=3, is_shuffled=False, note="own")
    arguments = {"max_trials": 1, "epochs": 1, "directory": tmp_path, "seed": 0, **make_sums()}
    tuner = km.tuning.search(Deep(), hyperparameters=space, **arguments)
    assert list_statuses(tuner) == ["COMPLETED"]


def test_a_fit_of_ones_own_has_a_list_of_callbacks(tmp_path):
    """As in keras-tuner's guide to training loops of one's own."""

    class Own(keras_tuner.HyperModel):
        def build(self, hp):
            return keras.Sequential([keras.Input((1,)), keras.layers.Dense(hp.Int("units", 1, 2))])

        def fit(self, hp, model, callbacks=None, **kwargs):
            for callback in callbacks:
                callback.set_model(model)
            fits.append(len(callbacks))
            return hp["units"]

    fits = []
    arguments = {"max_trials": 2, "epochs": 1, "verbose": 0}
    tuner = km.tuning.search(Own(), "grid", directory=tmp_path, **arguments)
    assert [trial.score for trial in tuner.oracle.trials.values()] == [1, 2]
    # A loop of one's own cannot be ended after a step: it is not rehearsed.
    assert len(fits) == 2


@pytest.mark.slow
def test_on_replicas_nothing_is_warned_of(two_replicas, tmp_path, caplog):
    space = make_space(optimizer="sgd", batch_size=4)
    arguments = {"max_trials": 1, "epochs": 1, "hyperparameters": space, "mode": "graph"}
    arguments |= {"objective": "loss", "validation_split": 0.0}  # One program to trace, not two.
    tuner = search_sums(tmp_path, distribution_strategy=two_replicas, **arguments)
    assert list_statuses(tuner) == ["COMPLETED"]
    assert "eagerly" not in caplog.text


@pytest.mark.slow
def test_models_that_choose_their_mode_are_rehearsed(tmp_path):
    tuner = search_sums(tmp_path, mode="auto", max_trials=1, epochs=1)
    assert list_statuses(tuner) == ["COMPLETED"]


def test_a_model_that_hyperband_cannot_continue_is_refused(tmp_path):
    class Own(km.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units)
            self.own_optimizer = keras.optimizers.SGD()

        def call(self, inputs):
            return self.dense(inputs)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x) - y))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.own_optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    def build(hp):
        model = Own(hp.Int("units", 1, 2))
        model.compile(optimizer=None, loss="mse")
        return model

    settings = {"objective": "loss", "directory": tmp_path, **make_sums()}
    with pytest.raises(ValueError, match="'own_optimizer'.* not built. Make each by km.build_opt"):
        km.tuning.search(build, "hyperband", **settings)
    assert not list(tmp_path.glob("*/trial_*"))
