"""Small searches that the tests of `kerasmodes.tuning` share: 16 sums, 8 images, three trials."""

import keras
import keras_tuner
import numpy as np

import kerasmodes as km

NUM_FEATURES = 4
BATCH_SIZES = (1, 8, 32)
G_LOSS = keras_tuner.Objective("g_loss", "min")
HYPERBAND = {"max_epochs": 2, "factor": 2}  # The third trial is a promotion.


def make_sums():
    x, y = km.data.sums(16, NUM_FEATURES, seed=0)
    return {"x": x, "y": y, "validation_split": 0.25, "verbose": 0}


def make_images(num_images=8):
    return np.random.default_rng(0).uniform(-1, 1, (num_images, 4, 4, 1)).astype("float32")


def search_sums(directory, tuner="random", mode="eager", **arguments):
    """Runs `km.tuning.search` on small sum regressors."""
    small = {
        "hidden_layers": 1,
        "units": (2, 8),
        "optimizers": ("sgd",),
        "batch_sizes": (4, 12),
    }
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode=mode, **small)
    defaults = {"max_trials": 3, "epochs": 2, "seed": 0, **make_sums()}
    return km.tuning.search(hypermodel, tuner, directory=directory, **{**defaults, **arguments})


class Formula(keras_tuner.HyperModel):
    """Scores a width instead of training; for tests of what a search does besides."""

    def __init__(self):
        super().__init__()
        self.callbacks = []  # Of each fit.

    def build(self, hp):
        hp.Int("width", 1, 100)
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def fit(self, hp, model, callbacks, **kwargs):
        self.callbacks.append(callbacks)
        return float(hp["width"])


def make_space(**values):
    """Returns hyperparameters that replace a hypermodel's own of the same names."""
    hp = keras_tuner.HyperParameters()
    for name, value in values.items():
        hp.Choice(name, value) if isinstance(value, list) else hp.Fixed(name, value)
    return hp


def make_tuner(tuner, hypermodel, directory, hyperparameters, objective="val_loss", **options):
    tuner = tuner(
        hypermodel,
        objective,
        hyperparameters=hyperparameters,
        directory=directory,
        seed=1,
        **options,
    )
    tuner.oracle.max_trials = 3
    return tuner


def make_sum_tuner(directory, **values):
    """Returns a random search of one network."""
    space = make_space(hidden_layers=1, optimizer="sgd", **values)
    with space.conditional_scope("hidden_layers", [1, 2, 3]):
        space.Fixed("units_1", 8)
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, "eager", batch_sizes=BATCH_SIZES)
    return make_tuner(keras_tuner.RandomSearch, hypermodel, directory, space)


def list_statuses(tuner):
    return [trial.status for trial in tuner.oracle.trials.values()]


def list_scores(tuner):
    """Returns the scores, best first."""
    return [trial.score for trial in tuner.oracle.get_best_trials(10)]
