"""Tests of what a `fit` of one's own may return."""

import keras
import keras_tuner
import numpy as np
import pytest
from tiny_searches import NUM_FEATURES, make_sums

import kerasmodes as km
from kerasmodes.tuning import checked_hypermodel


@pytest.mark.slow
def test_a_cross_validation_returns_a_list_of_histories(tmp_path):
    class Folds(keras_tuner.HyperModel):
        def build(self, hp):
            model = km.SumRegressor(())
            model.compile(keras.optimizers.SGD(hp.Float("rate", 0.1, 0.2)), "mse", mode="eager")
            return model

        def fit(self, hp, model, x, y, **kwargs):
            folds = np.arange(len(x)) % 2
            found = []
            for fold in range(2):
                test = x[folds == fold], y[folds == fold]
                rest = x[folds != fold], y[folds != fold]
                found.append(self.build(hp).fit(*rest, validation_data=test, **kwargs))
            losses.append([history.history["val_loss"][0] for history in found])
            return found

    losses, sums = [], make_sums()
    tuner = km.tuning.search(
        Folds(), max_trials=1, epochs=1, directory=tmp_path, x=sums["x"], y=sums["y"], verbose=0
    )
    assert tuner.oracle.trials["0"].score == pytest.approx(np.mean(losses[-1]))


@pytest.mark.slow
def test_a_subclass_may_score_what_is_no_log(tmp_path):
    class Sizes(km.tuning.SumRegressorHyperModel):
        def fit(self, hp, model, *args, **kwargs):
            super().fit(hp, model, *args, **kwargs)
            return {"size": model.count_params()}

    hypermodel = Sizes(NUM_FEATURES, mode="eager", optimizers=("sgd",), batch_sizes=8)
    objective = keras_tuner.Objective("size", "min")
    arguments = {"max_trials": 1, "epochs": 1, "directory": tmp_path, **make_sums()}
    tuner = km.tuning.search(hypermodel, objective=objective, **arguments)
    assert tuner.oracle.trials["0"].score == tuner.get_best_models()[0].count_params()


def test_a_number_of_a_list_that_is_not_finite_fails_its_trial():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    results = [{"val_loss": 1.0}, {"val_loss": np.nan}]
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="Received: val_loss=nan"):
        checked_hypermodel.check_finite(results, model)
