"""Data that are to be finite: the first number that is not, found and named."""

import cmath
from typing import Any

import keras
import numpy as np
import tensorflow as tf

ROWS = 1024  # So many are looked through at once.
BFLOAT16 = tf.bfloat16.as_numpy_dtype

ADVICE = "Remove such examples, or replace the numbers."


def check_finite(advice: str = ADVICE, **arguments: Any) -> None:
    """Raises if arrays of numbers hold NaN or infinity.

    A sum is finite only if all its terms are, so arrays without a fault are read once, at the speed
    of memory, and never copied.

    Args:
        advice: Sentence with the fix.
        **arguments: Nested NumPy arrays or dense eager tensors by the argument's name; what is
            neither, and what holds no floats, is not looked at.

    Raises:
        ValueError: If a number is not finite; the first one is named.

    Example:

    ```python
    check_finite(x=np.ones((4, 2)))
    ```
    """
    for name, arrays in arguments.items():
        for path, array in keras.tree.flatten_with_path(arrays):
            place = find_first(array) if isinstance(array, (np.ndarray, tf.Tensor)) else None
            if place is not None:
                label = name + "".join(f"[{key!r}]" for key in path)
                raise ValueError(
                    f"`{name}` must be finite. Received: {label}{list(place)}="
                    f"{np.asarray(array)[place]}. {advice}"
                )


def find_first(array: Any) -> tuple[int, ...] | None:
    """Returns the place of the first number that is not finite, or `None` if there is none.

    Args:
        array: NumPy array or eager tensor `[examples, ...]`, dense, ragged or sparse; of anything
            else, `None` is returned.
    """
    values = as_floats(array)
    if values is None or _has_finite_sum(values):
        return None
    rows = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    for start in range(0, len(rows), ROWS):  # No mask as large as the array.
        is_bad = ~np.isfinite(rows[start : start + ROWS])
        if is_bad.any():
            flat = start * rows.shape[1] + int(is_bad.argmax())
            place = np.unravel_index(flat, values.shape)
            return _place_in(array, tuple(int(index) for index in place))
    return None


def is_finite(array: Any) -> bool:
    """Returns whether all numbers of an array or eager tensor are finite, or no floats."""
    values = as_floats(array)
    return values is None or _has_finite_sum(values) or bool(np.isfinite(values).all())


def is_all_finite(value: Any) -> bool:
    """Returns whether a number, or all numbers in nested dictionaries, lists and arrays are finite.

    What is no number, such as text, is.
    """
    try:
        return cmath.isfinite(value)
    except (TypeError, ValueError, OverflowError):  # No single number, or a large integer.
        parts = value.values() if isinstance(value, dict) else value
        is_nested = isinstance(value, (dict, list, tuple))
        return all(map(is_all_finite, parts)) if is_nested else is_finite(value)


def has_nan(array: Any) -> bool:
    """Returns whether an array or eager tensor of floats holds NaN."""
    values = as_floats(array)
    return values is not None and bool(np.isnan(values).any())


def _has_finite_sum(values):
    with np.errstate(all="ignore"):
        return np.isfinite(values.sum())


def _place_in(array, place):
    """Returns the place in a ragged or sparse tensor of what is at a place of its values."""
    if isinstance(array, tf.SparseTensor):
        return tuple(int(index) for index in array.indices.numpy()[place[0]])
    if isinstance(array, tf.RaggedTensor):
        for splits in reversed(array.nested_row_splits):
            row = int(np.searchsorted(splits.numpy(), place[0], side="right")) - 1
            place = (row, place[0] - int(splits[row]), *place[1:])
    return place


def as_floats(array: Any) -> np.ndarray | None:
    """Returns the NumPy array behind an array or eager tensor of floats, otherwise `None`.

    Of a ragged or sparse tensor, it is that of its values.
    """
    if isinstance(array, (tf.RaggedTensor, tf.SparseTensor)):
        array = array.flat_values if isinstance(array, tf.RaggedTensor) else array.values
    if isinstance(array, tf.Tensor):
        is_float = array.dtype.is_floating or array.dtype.is_complex
        # `numpy()` would copy.
        return np.asarray(array) if is_float and hasattr(array, "numpy") else None
    is_array = isinstance(array, np.ndarray)
    return array if is_array and (array.dtype.kind in "fc" or array.dtype == BFLOAT16) else None
