"""Ranges and choices of a search space: how they are given, and how a trial draws from them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras_tuner

from kerasmodes import arguments


def read_range(name: str, value: Any, is_valid: Callable[[object], bool]) -> tuple:
    """Returns the least and the most of a range; one number alone is both.

    Args:
        name: Name of the argument.
        value: The argument: two numbers, or one that is fixed, in a sequence or not.
        is_valid: `is_positive_integer` or `is_positive_number`: what each must be.

    Raises:
        ValueError: If it is no range.
    """
    found = _list_values(value)
    found = found * 2 if len(found) == 1 else found
    if len(found) != 2 or not all(map(is_valid, found)) or found[0] > found[1]:
        kind = "integers" if is_valid is arguments.is_positive_integer else "numbers"
        raise ValueError(
            f"`{name}` must be two positive {kind}, the least and the most, or one that is fixed. "
            f"Received: {name}={value!r}"
        )
    return found


def read_choices(name: str, value: Any, is_valid: Callable[[object], bool], expected: str) -> tuple:
    """Returns a tuple of what to choose from; one value alone is the only choice.

    Args:
        name: Name of the argument.
        value: The argument.
        is_valid: Function that says whether something is a choice.
        expected: What each must be, for the error: `"positive integers"`.

    Raises:
        ValueError: If there is no choice, or a wrong one.
    """
    found = _list_values(value)
    if not found or not all(map(is_valid, found)):
        raise ValueError(f"`{name}` must be one or more {expected}. Received: {name}={value!r}")
    return found


def read_sizes(name: str, value: Any) -> tuple[int, ...]:
    """Returns a tuple of positive integers to choose from; see `read_choices`."""
    return read_choices(name, value, arguments.is_positive_integer, "positive integers")


def read_names(name: str, value: Any, known: Iterable[str]) -> tuple[str, ...]:
    """Returns a tuple of names to choose from, each of which must be known; see `read_choices`."""
    known = list(known)
    return read_choices(name, value, known.__contains__, f"of {', '.join(map(repr, known))}")


def _list_values(value):
    is_one = isinstance(value, str) or not isinstance(value, Iterable)
    return (value,) if is_one else tuple(value)


def choose(
    hp: keras_tuner.HyperParameters, name: str, choices: Sequence, default: Any = None
) -> Any:
    """Returns one of the choices; of a single one, no hyperparameter is made.

    Args:
        hp: The hyperparameters of a trial.
        name: Name of the hyperparameter.
        choices: What to choose from.
        default: Its default, if it is one of the choices.
    """
    if len(choices) == 1:
        return choices[0]
    return hp.Choice(name, list(choices), default=default if default in choices else None)


def draw(hp: keras_tuner.HyperParameters, name: str, bounds: tuple, default: float) -> float | None:
    """Returns a number, drawn evenly by its logarithm; of a fixed one, no hyperparameter is made.

    Args:
        hp: The hyperparameters of a trial.
        name: Name of the hyperparameter.
        bounds: The least and the most.
        default: Its default, if it is within them; an int draws ints.
    """
    least, most = bounds
    if least == most:
        return least
    make = hp.Int if isinstance(default, int) else hp.Float
    default = default if least <= default <= most else None
    return make(name, least, most, sampling="log", default=default)
