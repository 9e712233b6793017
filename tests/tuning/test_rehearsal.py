"""Tests of the step before a search: hyperparameters that no model asks for."""

import keras_tuner
import pytest
from tiny_searches import list_statuses, make_space, make_sums, search_sums

import kerasmodes as km


def test_a_hyperparameter_that_the_model_does_not_ask_for_is_named(tmp_path):
    space = make_space(optimizer="sgd", learning_rat=0.1)
    words = "among those that the model asks for.*'learning_rat'.*mean 'learning_rate'"
    with pytest.raises(ValueError, match=words):
        search_sums(tmp_path, hyperparameters=space)
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
