"""Searches of a formula instead of a model: 25 trials in a second, for tests of what they give."""

import math

import keras_tuner
from keras_tuner.errors import FailedTrialError


class FormulaTuner(keras_tuner.RandomSearch):
    """Scores hyperparameters by `score(hp)`, which may raise."""

    def __init__(self, score, **kwargs):
        self.score = score
        super().__init__(**kwargs)

    def run_trial(self, trial, **kwargs):
        return self.score(trial.hyperparameters)


def score_valley(hp):
    """Returns a loss over four decades: the rate matters, the shape and the width hardly."""
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    shape = hp.Choice("shape", ["flat", "round", "a name that is very long indeed"])
    hp.Int("depth", 1, 3)
    with hp.conditional_scope("depth", [2, 3]):
        width = hp.Int("width", 8, 64, step=8) or 8
    return 10 ** ((math.log10(rate) + 2) ** 2 + 0.01 * len(shape) + 0.001 * width - 2)


def search_formula(directory, score=score_valley, max_trials=25, fails=(), verbose=0, **kwargs):
    """Runs a random search; trials whose places are in `fails` fail.

    Args:
        directory: A folder for the search.
        score: A function of hyperparameters that returns the objective.
        max_trials: Positive int.
        fails: Places of trials that raise an error of two lines.
        verbose: Passed to the search; times are known if it is not 0.
        **kwargs: Passed to the tuner.
    """
    num_calls = 0

    def score_or_fail(hp):
        nonlocal num_calls
        num_calls += 1
        result = score(hp)
        if num_calls - 1 in fails:
            raise FailedTrialError("It diverged: loss=inf.\nA second line.")
        return result

    arguments = {"objective": keras_tuner.Objective("val_loss", "min"), "seed": 1, **kwargs}
    tuner = FormulaTuner(
        score_or_fail, hypermodel=None, directory=directory, max_trials=max_trials, **arguments
    )
    tuner.search(verbose=verbose)
    return tuner
