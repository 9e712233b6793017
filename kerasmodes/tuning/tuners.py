"""`search`: one call that runs a search, or resumes it, with one of keras-tuner's tuners.

Search spaces are in `sum_regressor.py` and `msg_gan.py`; what a finished search gives is in
`best_trials.py`.
"""

import os
from collections.abc import Callable

import keras
import keras_tuner
from keras_tuner.errors import FatalValueError

from kerasmodes import arguments

# keras-tuner's default is 3, which a few unlucky draws reach.
MAX_CONSECUTIVE_FAILURES = 10


class _SeededTuner:
    """What `search` adds to a tuner: seeded trials, and errors that name the wrong argument.

    Args:
        asked: Dict of the arguments that a resumed search must repeat.
    """

    def __init__(self, *args, asked, **kwargs):
        self.asked = asked  # First: keras-tuner compares it while it loads a search.
        super().__init__(*args, **kwargs)

    def run_trial(self, trial, *args, **kwargs):
        if self.asked["seed"] is not None:
            keras.utils.set_random_seed(self.asked["seed"])
        results = super().run_trial(trial, *args, **kwargs)
        for logs in (result.history for result in results if hasattr(result, "history")):
            if not self.oracle.objective.has_value(logs):
                objective, found = self.oracle.objective.name, ", ".join(logs)
                raise FatalValueError(f"`objective` must be one of {found}. Received: {objective=}")
        return results

    def get_state(self):
        return self.asked

    def set_state(self, state):
        if state != self.asked:
            raise ValueError(
                f"Arguments must be {state} in this `directory`. Received: {self.asked}"
            )


class _RandomSearch(_SeededTuner, keras_tuner.RandomSearch):
    pass


class _Hyperband(_SeededTuner, keras_tuner.Hyperband):
    pass


class _BayesianOptimization(_SeededTuner, keras_tuner.BayesianOptimization):
    pass


TUNERS = {
    "random": _RandomSearch,
    "hyperband": _Hyperband,
    "bayesian": _BayesianOptimization,
}


def search(
    hypermodel: keras_tuner.HyperModel | Callable,
    tuner: str = "random",
    objective: str | keras_tuner.Objective = "val_loss",
    max_trials: int = 10,
    epochs: int = 8,
    directory: str | os.PathLike = "tuning",
    seed: int | None = None,
    **fit_arguments,
) -> keras_tuner.Tuner:
    """Runs a search, or resumes the one in `directory`, and returns its tuner.

    Args:
        hypermodel: A `keras_tuner.HyperModel`, or a function that makes a model of hyperparameters.
        tuner: `"random"`, `"hyperband"` (Li et al. 2018, arXiv 1603.06560: short trials, the best
            promoted to longer ones, which count as new trials; the first promotion is after 5
            trials when `epochs` is 8) or `"bayesian"` (a third of the trials is random).
        objective: A log whose direction Keras knows, or a `keras_tuner.Objective`.
        max_trials: Positive int, trials in all; fewer only if the search space has no more.
        epochs: Positive int, epochs of a trial; with Hyperband, of its longest trials.
        directory: Folder of the search; each kind of tuner has its own in it.
        seed: Int, at least 0, set by `keras.utils.set_random_seed` before each trial, or `None`.
        **fit_arguments: Passed to the model's `fit`: `x`, `y`, `validation_data`, `verbose`...

    Returns:
        A `keras_tuner.Tuner`, after its search.

    Raises:
        ValueError: If an argument is out of range, differs from that of the search in
            `directory`, or is refused by `fit`; if the objective is not in the logs.
        RuntimeError: If all trials, or 10 in a row, fail. Fewer do not end the search.

    Example:

    ```python
    x, y = km.data.sums(1_000)
    hypermodel = km.tuning.SumRegressorHyperModel(mode="fused")
    tuner = km.tuning.search(hypermodel, "hyperband", x=x, y=y, validation_split=0.1)
    ```
    """
    _check_arguments(tuner, max_trials, epochs, seed)
    options = {
        "hyperband": {"max_epochs": epochs, "hyperband_iterations": None},  # None: without end.
        # keras-tuner's three for each hyperparameter would leave a short search all random.
        "bayesian": {"num_initial_points": max(2, max_trials // 3)},
    }.get(tuner, {})
    asked = {"hypermodel": type(hypermodel).__name__, "epochs": epochs, "seed": seed}
    asked["objective"] = keras.tree.map_structure(str, objective)
    trials = TUNERS[tuner](
        hypermodel,
        asked=asked,
        objective=objective,
        seed=None if seed is None else seed + 1,  # keras-tuner takes 0 for None.
        max_consecutive_failed_trials=min(max_trials, MAX_CONSECUTIVE_FAILURES),
        directory=directory,
        project_name=tuner,
        **options,
    )
    trials.oracle.max_trials = max_trials  # All oracles obey it; Hyperband's does not take it.
    trials.search(epochs=epochs, **fit_arguments)
    return trials


def _check_arguments(tuner, max_trials, epochs, seed):
    arguments.check_choice("tuner", tuner, TUNERS)
    arguments.check_positive_integers(max_trials=max_trials, epochs=epochs)
    arguments.check_seed(seed, can_be_none=True)
