"""A step of training before a search: it finds what every trial would fail for."""

import contextlib
import copy
import difflib
import warnings
from collections.abc import Collection
from typing import Any

import keras
import keras_tuner

from kerasmodes.tuning import search_arguments
from kerasmodes.tuning.trial_batches import TrialBatches

# Configurations tried: the defaults, then some that are drawn. A search whose data or arguments are
# wrong fails for all of them.
DRAWS = 3
# Configurations in which a hyperparameter that the user has given is looked for.
MOST_DRAWS = 12


class _Requests(keras_tuner.HyperParameters):
    """Hyperparameters that know which names a model was built and fitted with."""

    def __init__(self):
        super().__init__()
        self.names = set()  # Shared by copies.

    def _retrieve(self, hp):
        self.names.add(hp.name)
        return super()._retrieve(hp)

    def get(self, name):
        self.names.add(self._get_name(name))
        return super().get(name)


def rehearse(
    tuner: keras_tuner.Tuner,
    fit_arguments: dict[str, Any],
    has_further_logs: bool,
    given: Collection[str] = (),
) -> None:
    """Trains one step of a model of the search without callbacks; in eager mode on one device.

    A hypermodel's own `fit` that calls no `fit` is left out: it could not be ended after a step.

    Args:
        tuner: The tuner, before its search.
        fit_arguments: Arguments of `fit`.
        has_further_logs: Whether the objective may be a log of a callback.
        given: Names of the hyperparameters that the user has given.

    Raises:
        Exception: The error of the default configuration, if some drawn ones have errors, too.
        ValueError: If the objective is not in the logs, or a hyperparameter that is given was not
            asked for in several configurations.
    """
    # keras-tuner, too, always gives a list of callbacks.
    arguments = {**fit_arguments, "callbacks": [], "epochs": 1, "verbose": 0}
    batches = TrialBatches(fit_arguments)
    arguments |= batches.copies
    first_error, has_run, asked = None, False, set()
    for draw in range(MOST_DRAWS):
        hp = _draw(tuner.oracle.get_space(), draw)
        try:
            model = _build(tuner, hp)
            if not tuner.hypermodel.calls_fit:
                return
            logs = _run_step(tuner, hp, model, arguments)
            if not has_run:
                tuner.rehearse_promotion(model, _build(tuner, hp), batches)
        except Exception as error:
            first_error = first_error or error
            if draw + 1 >= DRAWS and not has_run:
                raise first_error from None
            continue
        _check_objective(tuner.oracle.objective, logs, has_further_logs)
        has_run, asked = True, asked | hp.names
        if asked.issuperset(given):
            return
    _refuse_unknown(given, asked)


def _refuse_unknown(given, asked):
    unknown = next(name for name in given if name not in asked)
    close = difflib.get_close_matches(unknown, asked, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"`hyperparameters` must be among those that the model asks for: {', '.join(sorted(asked))}"
        f". Received: {unknown!r}, which none of {MOST_DRAWS} configurations asked for.{hint}"
    )


def _draw(space, draw):
    """Returns hyperparameters with their defaults, or drawn ones."""
    space = _Requests.from_config(space.get_config())
    if draw:
        for hp in space.space:
            if space.is_active(hp):
                space.values[hp.name] = hp.random_sample(seed=draw)
        space.ensure_active_values()
    return space


def _build(tuner, hp):
    tuner.hypermodel.declare_hyperparameters(copy.copy(hp))
    # Its own `_build_hypermodel` would look for the trial that Hyperband promotes.
    scope = tuner.distribution_strategy.scope if tuner.distribution_strategy else None
    with scope() if scope else contextlib.nullcontext():
        model = tuner.hypermodel.build(copy.copy(hp))
    if not isinstance(model, keras.Model):
        raise TypeError(f"`hypermodel` must build a Keras model. Received: {model!r}")
    tuner._override_compile_args(model)
    return model


def _run_step(tuner, hp, model, arguments):
    if tuner.distribution_strategy is None:  # Some strategies warn of eager steps.
        model.run_eagerly = True
    with _limit_fit():
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
    if not isinstance(logs, dict) or has_further_logs:
        return
    missing, words = search_arguments.find_missing_log(objective, logs)
    if missing is not None:
        is_unvalidated = missing.startswith("val_") and not any(n[:4] == "val_" for n in logs)
        hint = ". Give `validation_data` or `validation_split`" if is_unvalidated else ""
        raise ValueError(words + hint)
