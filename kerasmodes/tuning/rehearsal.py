"""A step of training before a search: it finds what every trial would fail for."""

import contextlib
import copy
import warnings
from typing import Any

import keras
import keras_tuner

# Configurations tried: the defaults, then some that are drawn. A search whose data or arguments are
# wrong fails for all of them.
DRAWS = 3


def rehearse(
    tuner: keras_tuner.Tuner, fit_arguments: dict[str, Any], has_further_logs: bool
) -> None:
    """Trains one step of a model of the search, in eager mode and without callbacks.

    Args:
        tuner: The tuner, before its search.
        fit_arguments: Arguments of `fit`.
        has_further_logs: Whether the objective may be a log of a callback.

    Raises:
        Exception: The error of the default configuration, if some drawn ones have errors, too.
        ValueError: If the objective is not in the logs.
    """
    arguments = {name: value for name, value in fit_arguments.items() if name != "callbacks"}
    arguments |= {"epochs": 1, "verbose": 0}
    first_error = None
    for draw in range(DRAWS):
        hp = _draw(tuner.oracle.get_space(), draw)
        try:
            logs = _run_step(tuner, hp, arguments)
        except Exception as error:
            first_error = first_error or error
            continue
        _check_objective(tuner.oracle.objective, logs, has_further_logs)
        return
    raise first_error


def _draw(space, draw):
    """Returns hyperparameters with their defaults, or drawn ones."""
    if draw:
        for hp in space.space:
            if space.is_active(hp):
                space.values[hp.name] = hp.random_sample(seed=draw)
        space.ensure_active_values()
    return space


def _run_step(tuner, hp, arguments):
    with _limit_fit():
        # Its own `_build_hypermodel` would look for the trial that Hyperband promotes.
        scope = tuner.distribution_strategy.scope if tuner.distribution_strategy else None
        with scope() if scope else contextlib.nullcontext():
            model = tuner.hypermodel.build(copy.copy(hp))
        if not isinstance(model, keras.Model):
            raise TypeError(f"`hypermodel` must build a Keras model. Received: {model!r}")
        model.run_eagerly = True
        results = tuner.hypermodel.fit(hp, model, **arguments)
    return getattr(results, "history", results)


@contextlib.contextmanager
def _limit_fit():
    """While open, each fit ends after one epoch of one step: Keras's switches for a dry run."""
    before = keras.config.max_epochs(), keras.config.max_steps_per_epoch()
    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Limiting (epochs|steps_per_epoch) to")
            yield
    finally:
        keras.config.set_max_epochs(before[0])
        keras.config.set_max_steps_per_epoch(before[1])


def _check_objective(objective, logs, has_further_logs):
    is_found = not isinstance(logs, dict) or objective.has_value(logs)
    if not is_found and not has_further_logs:
        raise ValueError(
            f"`objective` must be one of {', '.join(logs)}. Received: objective={objective.name!r}"
        )
