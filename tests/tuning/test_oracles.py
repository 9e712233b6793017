"""Tests of what draws the trials of a search."""

import keras
import keras_tuner
import pytest

import kerasmodes as km


class Squares(keras_tuner.HyperModel):
    """Six configurations, of which one is best."""

    def build(self, hp):
        hp.Choice("one", [1, 2])
        hp.Choice("other", [1, 2, 3])
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, **kwargs):
        return (hp["one"] - 2) ** 2 + (hp["other"] - 3) ** 2


@pytest.mark.slow
def test_bayesian_search_tries_each_configuration_once(tmp_path):
    arguments = {"max_trials": 8, "epochs": 1, "seed": 0, "verbose": 0}
    tuner = km.tuning.search(Squares(), "bayesian", directory=tmp_path, **arguments)
    tried = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    assert len(tried) == len({(one["one"], one["other"]) for one in tried}) == 6
