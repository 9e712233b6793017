"""A batch as named arrays, and as a file that any program with NumPy reads."""

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import atomic_files

PARTS = ("x", "y", "sample_weight")


def name_part(batch: Any, path: tuple) -> str:
    """Returns what a part of a batch is called: `"x"`, `"y"`, `"x/key"` and so on.

    Args:
        batch: Nested tensors as a step gets them.
        path: The part's path in it, from `keras.tree.flatten_with_path`.
    """
    is_tuple = isinstance(batch, (tuple, list)) and len(batch) <= len(PARTS)
    if is_tuple and path:
        path = (PARTS[path[0]], *path[1:])
    else:
        path = ("x", *path)
    return "/".join(map(str, path))


def list_arrays(batch: Any) -> dict[str, np.ndarray]:
    """Returns the arrays of a batch by name; of what is not dense, the tensors that it is made of.

    Args:
        batch: Nested tensors, with `None` for missing parts.
    """
    arrays = {}
    for path, part in keras.tree.flatten_with_path(batch):
        if part is None:
            continue
        tensors = tf.nest.flatten(part, expand_composites=True)
        name = name_part(batch, path)
        for place, tensor in enumerate(tensors):
            own_name = name if len(tensors) == 1 else f"{name}/{place}"
            arrays[own_name] = _convert(tensor)
    return arrays


def save(batch: Any, path: str | os.PathLike) -> None:
    """Writes a batch as an `.npz` file, which `numpy.load` reads without pickle.

    Args:
        batch: Nested tensors, with `None` for missing parts.
        path: Path of the file; its folder is made if missing.
    """
    with atomic_files.atomic_write(path) as temporary:
        np.savez(temporary, **list_arrays(batch))


def _convert(tensor):
    """Returns a tensor as an array of a dtype that a file holds without pickle."""
    array = np.asarray(tensor)
    if array.dtype == object:  # Strings
        return array.astype(bytes)
    return array.astype("float32") if array.dtype == tf.bfloat16.as_numpy_dtype else array
