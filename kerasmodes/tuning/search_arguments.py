"""Checks of what `search` is given, before anything is built or written."""

import copy
import difflib
import inspect
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import keras
import keras_tuner
from keras_tuner.src.engine import metrics_tracking
from keras_tuner.src.engine import objective as objective_module

from kerasmodes.metrics import image_evaluator
from kerasmodes.tuning.checked_hypermodel import CheckedHyperModel
from kerasmodes.tuning.trial_batches import TrialBatches

# What `GenerationMetrics` logs: keras-tuner cannot guess in which direction it is better.
DIRECTIONS = {f"val_{name}": which for name, which in image_evaluator.DIRECTIONS.items()}
OF_SEARCH = ("epochs", "initial_epoch")  # What `fit` takes, but is not given.
# What keras-tuner's tuners take and `search` does not, with what to do.
OF_KERAS_TUNER = {
    "max_epochs": "It is `epochs` here",
    "project_name": "Each search has its own `directory` here",
    "logger": "keras-tuner itself ignores it: pass `callbacks`",
}
OF_ITS_TUNERS = (
    "allow_new_entries",
    "alpha",
    "beta",
    "factor",
    "hyperband_iterations",
    "num_initial_points",
    "tuner_id",
)


def resolve_objective(
    objective: Any, hypermodel: Any
) -> keras_tuner.Objective | list[keras_tuner.Objective]:
    """Returns an objective, or a list of them, with directions.

    Args:
        objective: That of `search`.
        hypermodel: That of `search`, which may have one.

    Raises:
        ValueError: If a direction is wrong, or cannot be told.
    """
    if objective is None:
        objective = getattr(hypermodel, "objective", "val_loss")
    if isinstance(objective, (list, tuple)):
        if not objective:
            raise ValueError(f"`objective` must be one or more logs. Received: {objective=}")
        return [resolve_objective(one, hypermodel) for one in objective]
    if isinstance(objective, str) and objective in DIRECTIONS:
        return keras_tuner.Objective(objective, DIRECTIONS[objective])
    try:
        found = objective_module.create_objective(objective)
    except ValueError as error:
        raise ValueError(
            "`objective` must be a log of which it is known whether less is better, such as "
            f"'val_loss', or a keras_tuner.Objective. Received: objective={objective!r}"
        ) from error
    known = DIRECTIONS.get(found.name) or metrics_tracking.infer_metric_direction(found.name)
    if found.direction not in ((known,) if known else ("min", "max")):
        raise ValueError(
            f"`objective` must have the direction {repr(known) if known else 'min or max'}. "
            f"Received: objective={found.name!r} with direction={found.direction!r}"
        )
    return found


def find_missing_log(
    objective: keras_tuner.Objective, logs: Collection[str]
) -> tuple[str | None, str]:
    """Returns the log of an objective that is not among the logs, or `None`, and what is wrong.

    Args:
        objective: One or several logs, as keras-tuner keeps them.
        logs: Names of the logs of an epoch.
    """
    names = getattr(objective, "name_to_direction", [objective.name])  # Of several.
    missing = next((name for name in names if name not in logs), None)
    return missing, f"`objective` must be one of {', '.join(logs)}. Received: objective={missing!r}"


def check_fit_arguments(
    hypermodel: Any, fit_arguments: dict[str, Any], own_names: Iterable[str] = ()
) -> None:
    """Checks the hypermodel, and what `search` passes to `fit`.

    Args:
        hypermodel: That of `search`.
        fit_arguments: The arguments by their names.
        own_names: Names of the arguments of `search` itself.

    Raises:
        ValueError: If a name is unknown, `x` is missing, or some epochs are not validated.
        TypeError: If `hypermodel` is none, data can be read only once, or `callbacks` are no
            callbacks or cannot be copied.
    """
    if isinstance(hypermodel, keras.Model) or not (
        callable(hypermodel) or isinstance(hypermodel, keras_tuner.HyperModel)
    ):
        raise TypeError(
            "`hypermodel` must be a keras_tuner.HyperModel, or a function that makes a model of "
            f"hyperparameters. Received: a {type(hypermodel).__name__}"
        )
    known = set(inspect.signature(keras.Model().fit).parameters) - set(OF_SEARCH)
    known |= set(inspect.signature(getattr(hypermodel, "fit", hypermodel)).parameters)
    for name, value in fit_arguments.items():
        if name not in known:
            raise ValueError(
                "Arguments must be those of `search` or of `fit`. "
                f"Received: {name}={type(value).__name__}{_suggest(name, {*known, *own_names})}"
            )
    is_checked = isinstance(hypermodel, CheckedHyperModel)
    is_own = (hypermodel if is_checked else CheckedHyperModel(hypermodel)).has_own_results
    if fit_arguments.get("x") is None and not is_own:
        raise ValueError("`x` must be the data of the search. Received: x=None")
    for name in ("x", "validation_data"):
        if isinstance(fit_arguments.get(name), Iterator):
            raise TypeError(
                f"`{name}` must be data that each trial reads from the beginning. Received: a "
                f"{type(fit_arguments[name]).__name__}. Make a data set of the function that makes "
                "it, by tf.data.Dataset.from_generator."
            )
    if fit_arguments.get("validation_freq", 1) != 1 and not is_own:
        raise ValueError(
            "`validation_freq` must be 1: each epoch of a trial is scored. "
            f"Received: validation_freq={fit_arguments['validation_freq']!r}"
        )
    callbacks = fit_arguments.get("callbacks") or ()
    is_list = isinstance(callbacks, (list, tuple))
    if not is_list or not all(isinstance(one, keras.callbacks.Callback) for one in callbacks):
        raise TypeError(
            "`callbacks` must be a list of Keras callbacks. "
            f"Received: callbacks={fit_arguments['callbacks']!r}"
        )
    for callback in callbacks:
        try:
            copy.deepcopy(callback)
        except Exception as error:
            raise TypeError(
                "`callbacks` must be such that `copy.deepcopy` can copy them: each trial has "
                f"copies of its own. Received: {type(callback).__name__}, {error}"
            ) from error


def check_batches(fit_arguments: dict[str, Any], continues: bool) -> None:
    """Checks that each trial can have a `PyDataset` of its own, if the data are one.

    Args:
        fit_arguments: The arguments of `fit` by their names.
        continues: Whether trials continue where others ended.

    Raises:
        ValueError: If an epoch may end in the midst of a pass, and a trial is to continue there.
        TypeError: If it cannot be copied, or a file cannot hold where it stands.
    """
    batches = TrialBatches(fit_arguments)
    if not continues:
        return
    steps = fit_arguments.get("steps_per_epoch")
    x = batches.copies.get("x")
    if x is not None and steps is not None and steps != x.num_batches:
        length = "" if x.num_batches is None else f", or {x.num_batches}, its batches"
        raise ValueError(
            f"`steps_per_epoch` must be None{length}, with a PyDataset in a search by Hyperband: a "
            "promoted trial begins where a pass begins. "
            f"Received: steps_per_epoch={steps!r}. Give it as many batches as an epoch is to have, "
            "or choose another tuner."
        )
    batches.find_changes()


def _suggest(name, known):
    if name in OF_KERAS_TUNER:
        return f". {OF_KERAS_TUNER[name]}."
    if name in OF_ITS_TUNERS:
        return ". keras-tuner's own tuners take it, and the same hypermodels."
    close = difflib.get_close_matches(name, known, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
