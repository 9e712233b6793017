"""Labels of images, for models that generate by class: checked, and made one-hot.

What a network does with them is in the `networks/`.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


def one_hot(labels: Any, num_classes: int | None):
    """Returns one-hot labels, float32 `[batch, num_classes]`.

    An integer that is no class becomes a row of NaN: in a compiled step it could not raise, and the
    losses show it at once.

    Args:
        labels: Int tensor `[batch]`, or one-hot already, which only changes its dtype.
        num_classes: Positive int.

    Raises:
        ValueError: If the shape or dtype is another.
    """
    labels = tf.convert_to_tensor(labels)
    check_form(labels, num_classes)
    if is_one_hot(labels, num_classes):
        return tf.cast(labels, tf.float32)
    labels = tf.reshape(labels, [-1])
    labels = tf.cast(labels, tf.int64)  # A narrow dtype may not hold `num_classes`.
    is_class = (labels >= 0) & (labels < num_classes)
    missing = tf.where(is_class, 0.0, float("nan"))[:, tf.newaxis]
    return tf.one_hot(labels, num_classes) + missing


def check_form(labels: Any, num_classes: int | None):
    """Raises a `ValueError` if labels have another shape or dtype than `one_hot` takes.

    Args:
        labels: Array, tensor or spec of one.
        num_classes: Positive int.
    """
    dtype, shape = tf.as_dtype(labels.dtype), tf.TensorShape(labels.shape)
    is_row = shape.is_compatible_with([None]) or shape.is_compatible_with([None, 1])
    if not is_one_hot(labels, num_classes) and not (is_row and dtype.is_integer):
        raise ValueError(
            f"Labels must be integers with shape [batch], or one-hot [batch, {num_classes}]. "
            f"Received: dtype={dtype.name} with shape={tuple(labels.shape)}"
        )


def is_one_hot(labels: Any, num_classes: int | None):
    """Returns whether labels (array, tensor or spec) have the form of one-hot ones."""
    shape = tf.TensorShape(labels.shape)
    is_column = shape[1:] == [1] and tf.as_dtype(labels.dtype).is_integer
    return shape.rank == 2 and shape[1] == num_classes and not is_column


def make_one_hot(labels: Any, num_classes: int):
    """Returns one-hot labels of symbolic ones `[batch]`, in operations that each format knows.

    As in `one_hot`, an integer that is no class becomes a row of NaN.
    """
    is_class = keras.ops.logical_and(labels >= 0, labels < num_classes)
    is_class = keras.ops.expand_dims(is_class, -1)
    return keras.ops.where(is_class, keras.ops.one_hot(labels, num_classes), float("nan"))


def append_labels(inputs: Any, labels: Any, num_classes: int | None):
    """Returns a network's list of inputs, with the labels one-hot behind them if it has classes."""
    return inputs if num_classes is None else [*inputs, one_hot(labels, num_classes)]


def check(labels: Any, num_classes: int | None) -> None:
    """Raises a `ValueError` if an array of labels holds one that is no class, or is not one-hot."""
    if labels.dtype.kind not in "iufb":
        raise ValueError(
            f"Labels must be integers from 0 to {num_classes - 1}. "
            f"Received: dtype={labels.dtype} with shape={labels.shape}"
        )
    if labels.size and is_one_hot(labels, num_classes):
        if not 0 <= labels.min() <= labels.max() <= 1:
            raise ValueError(
                "Labels that are one-hot must be from 0 to 1. "
                f"Received: labels from {labels.min()} to {labels.max()}"
            )
    elif labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1}, since num_classes={num_classes}. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )


def expand_labels(num_images: int, labels: Any, num_classes: int | None):
    """Returns an int array with a label for each image to generate.

    Args:
        num_images: Positive int.
        labels: An int for all images, one an image, or `None` for the classes in turn.
        num_classes: Positive int.

    Raises:
        ValueError: If they are not classes, or not as many as images.
    """
    labels = np.arange(num_images) % num_classes if labels is None else np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((), (num_images,)):
        raise ValueError(
            f"`labels` must be an integer, or one for each of the {num_images} images. "
            f"Received: labels={labels.tolist()!r}"
        )
    labels = np.broadcast_to(labels, num_images)
    check(labels, num_classes)
    return labels
