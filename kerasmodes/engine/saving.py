"""Files that a model saves: written aside, and put in their place when they are complete.

`load_model` finds the classes in them after `import kerasmodes` only ("Could not locate class").
For a program without it there is `plain_models.py`.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import atomic_files


def can_replace(filepath: Any, overwrite: bool) -> bool:
    """Returns whether a file can be written aside, and put in its place without a question."""
    if not isinstance(filepath, (str, os.PathLike)) or "://" in str(filepath):
        return False
    path = pathlib.Path(filepath)
    is_model = path.name.endswith((".keras", ".h5", ".hdf5"))
    return is_model and path.parent.is_dir() and (overwrite or not path.exists())


def replace_file(save: Callable, filepath: str | os.PathLike) -> None:
    """Saves a model so that an older file stays as it is until the new one is complete."""
    with atomic_files.atomic_write(os.path.realpath(filepath)) as temporary:
        save(temporary)


@contextlib.contextmanager
def treat_as_built(model: keras.Model, has_all_weights: bool = True) -> Iterator[None]:
    """While open, Keras saves and loads a model that has no `call`, and is never built therefore.

    A GAN whose step calls its networks is such a model.

    Args:
        model: The model.
        has_all_weights: Whether it has; otherwise nothing changes.
    """
    before, model.built = model.built, model.built or has_all_weights
    try:
        yield
    finally:
        model.built = before


def find_broken_weight(model: keras.Model) -> str | None:
    """Returns the path of a weight that holds NaN, or infinity if it is trained; or `None`.

    A mask, which is not trained, may hold infinity on purpose.
    """
    trained = {id(weight) for weight in model.trainable_weights}
    for weight in model.weights:
        value = weight.value
        if not value.dtype.is_floating:
            continue
        is_good = tf.math.is_finite(value) if id(weight) in trained else ~tf.math.is_nan(value)
        if not bool(tf.reduce_all(is_good)):
            return weight.path
    return None
