"""Nested numbers, strings and arrays, as JSON and a file of arrays: nothing of it can be code."""

import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

ARRAY = "__array__"  # The key of a dictionary that stands for an array.


def pack(value: Any, arrays: list, name: str = "state") -> Any:
    """Returns a nested structure with its arrays replaced by what `unpack` finds them by.

    Args:
        value: Dictionaries, lists and tuples of numbers, strings, `None` and arrays or tensors.
        arrays: List to which the arrays are added.
        name: What an error calls it.

    Raises:
        TypeError: If there is anything else in it.
    """
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: pack(one, arrays, f"{name}[{key!r}]") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(one, arrays, f"{name}[{place}]") for place, one in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if isinstance(value, (np.ndarray, tf.Tensor, tf.Variable, keras.Variable)) and is_plain(value):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(value))
        arrays.append(array)
        shape = np.shape(value)
        return {ARRAY: len(arrays) - 1, "dtype": array.dtype.name, "shape": list(shape)}
    raise TypeError(
        "A checkpoint must be made of numbers, strings and arrays of numbers, in lists or in "
        f"dictionaries with strings as keys. Received: {name}={value!r}"
    )


def is_plain(value: Any) -> bool:
    """Returns whether an array holds numbers that TensorFlow knows too, as this machine does."""
    if not getattr(value.dtype, "isnative", True):
        return False
    try:
        dtype = tf.as_dtype(value.dtype)
    except TypeError:
        return False
    return dtype not in (tf.string, tf.resource, tf.variant)


def unpack(value: Any, arrays: list) -> Any:
    """Returns the structure that `pack` was given; a tuple comes as a list."""
    if isinstance(value, dict) and ARRAY in value:
        dtype = tf.as_dtype(value["dtype"]).as_numpy_dtype
        return arrays[value[ARRAY]].view(dtype).reshape(value["shape"])
    if isinstance(value, dict):
        return {key: unpack(one, arrays) for key, one in value.items()}
    if isinstance(value, list):
        return [unpack(one, arrays) for one in value]
    return value


def write_arrays(path: pathlib.Path, arrays: list) -> None:
    """Writes arrays to a `.npz` file, as bytes: not all types have a name in such files."""
    flat = {str(place): np.frombuffer(one.tobytes(), np.uint8) for place, one in enumerate(arrays)}
    np.savez(path, **flat)


def read_arrays(path: pathlib.Path) -> list:
    """Returns the bytes of the arrays in a file; `unpack` gives them their types."""
    with np.load(path, allow_pickle=False) as file:
        return [file[str(place)] for place in range(len(file.files))]
