"""`measure_importance`: how much of a search's objective each hyperparameter explains.

A random forest predicts the objective of trials that it has not seen; what it loses when the values
of a hyperparameter are shuffled is the importance. The picture of it is in `pictures.py`.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras_tuner
import numpy as np

from kerasmodes.tuning import trials as trial_records

MIN_TRIALS = 10
NUM_FOLDS = 5
NUM_REPEATS = 5
NUM_SHUFFLES = 10
NUM_TREES = 100
DECADES_OF_LOG_SCALE = 2


def measure_importance(
    tuner: keras_tuner.Tuner,
) -> tuple[dict[str, tuple[float, float]], float]:
    """Returns the importance of each hyperparameter, and how good the model is that measures it.

    The model is a random forest (Breiman 2001, "Random forests", section 10: importance by
    permutation) of the hyperparameters. It predicts the objective, or its logarithm if that is
    positive and spans more than two decades. In each of 5 repeats, the trials are cut into 5 folds,
    and each fold is predicted from the others. Trials with the same hyperparameters, as Hyperband's
    promoted ones, are in one fold.

    Importance is what R² of a held-out fold loses when the values of one hyperparameter are
    replaced by those of other trials: 0 is none. The sum over hyperparameters may exceed R², for
    some matter together. A value whose condition is not met is set to the middle of its range, so
    that what decides about the condition gets the importance of it.

    Args:
        tuner: A keras-tuner tuner, during its search or after it.

    Returns:
        A dict from the names of hyperparameters that vary to (mean, spread), most important first,
        and R² of held-out trials, the mean over repeats. Spread is the standard error over the 25
        folds, corrected for what they share (Nadeau and Bengio 2003, "Inference for the
        generalization error", section 3). If R² is not above 0, the importance means nothing.

    Raises:
        RuntimeError: If fewer than 10 completed trials have different hyperparameters.

    Example: `importance, r_squared = km.tuning.measure_importance(tuner)`, after that of `search`.
    """
    trials = trial_records.list_scored_trials(tuner)
    names = trial_records.list_tuned_names(tuner)
    num_different = count_different_trials(tuner)
    if num_different < MIN_TRIALS:
        raise RuntimeError(
            f"`tuner` must have at least {MIN_TRIALS} completed trials of different "
            f"hyperparameters. Received: {num_different} of them"
        )
    groups = _number_groups(trials)
    scores = np.array([trial.score for trial in trials])
    target = np.log10(scores) if has_log_scale(scores) else scores
    if target.var() == 0:  # Nothing is to be explained.
        return dict.fromkeys(names, (0.0, 0.0)), 0.0
    columns = [encode_column(tuner, name) for name in names]
    r_squared, losses = _measure_repeats(columns, target, groups)
    means = np.mean(losses, axis=0)
    # Folds share training trials: a plain standard error would be too small.
    share = 1 / (NUM_FOLDS - 1)
    spreads = np.std(losses, axis=0, ddof=1) * math.sqrt(1 / len(losses) + share)
    order = np.argsort(-means, kind="stable")
    importance = {names[n]: (float(means[n]), float(spreads[n])) for n in order}
    return importance, float(np.mean(r_squared))


def count_different_trials(tuner: keras_tuner.Tuner) -> int:
    """Returns how many scored trials have different hyperparameters, apart from Hyperband's own."""
    return len(set(_number_groups(trial_records.list_scored_trials(tuner))))


def has_log_scale(scores: Sequence[float]) -> bool:
    """Returns whether scores are all positive and span more than two decades."""
    low, high = min(scores), max(scores)
    return low > 0 and high / low > 10**DECADES_OF_LOG_SCALE


def encode_column(tuner: keras_tuner.Tuner, name: str) -> np.ndarray:
    """Returns a hyperparameter of the scored trials as numbers of 0 to 1, `[trials, width]`.

    Unordered choices have one number a choice, others have one.
    """
    values = [
        trial_records.find_values(t).get(name) for t in trial_records.list_scored_trials(tuner)
    ]
    known = [value for value in values if value is not None]
    parameter = find_parameter(tuner, name)
    if is_number(known) and getattr(parameter, "ordered", True):
        is_log = getattr(parameter, "sampling", None) == "log"
        numbers = np.array([math.nan if v is None else float(v) for v in values])
        numbers = np.log(numbers) if is_log else numbers
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        scaled = (numbers - low) / (high - low or 1.0)
        return np.nan_to_num(scaled, nan=0.5)[:, None]
    choices = list(dict.fromkeys(known))
    matches = np.array([[value == choice for choice in choices] for value in values], float)
    matches[[value is None for value in values]] = 1 / len(choices)
    return matches


def find_parameter(
    tuner: keras_tuner.Tuner, name: str
) -> keras_tuner.engine.hyperparameters.HyperParameter | None:
    """Returns the first hyperparameter of the space with this name; `None` for Hyperband's own."""
    space = tuner.oracle.get_space().space
    return next((parameter for parameter in space if parameter.name == name), None)


def is_number(values: Sequence[Any]) -> bool:
    """Returns whether all values are numbers, and none a bool."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _number_groups(trials):
    """Returns the place of each trial's hyperparameters among the different ones, an array."""
    owns = []
    for trial in trials:
        values = trial_records.find_values(trial).items()
        owns.append(str(sorted((n, v) for n, v in values if not n.startswith("tuner/"))))
    places = {own: place for place, own in enumerate(dict.fromkeys(owns))}
    return np.array([places[own] for own in owns], int)


def _measure_repeats(columns, target, groups):
    """Returns R² of each repeat, and what each fold of each loses for each shuffled column."""
    generator = np.random.default_rng(0)  # The same trials give the same numbers.
    variance = target.var()
    r_squared, losses = [], []
    for _ in range(NUM_REPEATS):
        error = 0.0
        fold_of_group = generator.permutation(groups.max() + 1) % NUM_FOLDS
        for fold in range(NUM_FOLDS):
            is_held_out = fold_of_group[groups] == fold
            own_error, increases = _measure_fold(columns, target, is_held_out, generator)
            error += own_error * is_held_out.sum()
            losses.append(increases / variance)
        r_squared.append(1 - error / len(target) / variance)
    return r_squared, losses


def _measure_fold(columns, target, is_held_out, generator):
    """Returns the mean squared error of a fold, and its increase for each shuffled column."""
    from sklearn.ensemble import RandomForestRegressor

    held_out, num_trials = np.flatnonzero(is_held_out), len(target)
    inputs = np.concatenate(columns, axis=1)
    forest = RandomForestRegressor(NUM_TREES, random_state=int(generator.integers(2**31)))
    forest.fit(inputs[~is_held_out], target[~is_held_out])

    # One prediction for all shuffles: a call of a forest costs more than its rows.
    variants = [inputs[held_out]]
    for place in range(len(columns)):
        for _ in range(NUM_SHUFFLES):
            rows = generator.integers(num_trials, size=len(held_out))
            parts = [c[rows] if p == place else c[held_out] for p, c in enumerate(columns)]
            variants.append(np.concatenate(parts, axis=1))
    predicted = forest.predict(np.concatenate(variants)).reshape(len(variants), -1)
    errors = np.mean((predicted - target[held_out]) ** 2, axis=1)
    shuffled = errors[1:].reshape(len(columns), NUM_SHUFFLES).mean(axis=1)
    return errors[0], shuffled - errors[0]
