"""Checks of arguments that many parts of the package share."""

import numbers


def is_integer(value, least):
    """Returns whether a value is an integer, NumPy's included, of that size at least."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least


def check_positive_integers(**arguments):
    """Raises a `ValueError` that names the first argument which is not a positive integer."""
    for name, value in arguments.items():
        if not is_integer(value, 1):
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_seed(seed):
    """Raises a `ValueError` unless a seed is an integer, at least 0."""
    if not is_integer(seed, 0):
        raise ValueError(f"`seed` must be a non-negative integer. Received: seed={seed!r}")
