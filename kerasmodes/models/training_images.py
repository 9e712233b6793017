"""Images and labels that a GAN is to learn, checked before they change a weight, in every mode.

Shapes and dtypes are checked where a step unpacks its batch, in `msg_gan.py`.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.models import labels as image_labels


def checked(x, y, num_classes):
    """Returns what `fit` was given: arrays and tensors checked, a data set checking as it is read.

    Args:
        x: Images `[n, height, width, channels]`, or a `tf.data.Dataset` of batches; anything else
            passes unchecked.
        y: Labels `[n]`, or `None`.
        num_classes: Int, or `None`, which ignores labels.

    Raises:
        ValueError: If values are not in [-1, 1], or labels are no classes. A data set raises a
            `tf.errors.InvalidArgumentError` when it comes to the batch that holds them.
    """
    if isinstance(x, tf.data.Dataset):
        return x.map(lambda *batch: _checking(batch, num_classes)), y
    if _is_array(x):
        _check_range(np.asarray(x))
    if num_classes is not None and _is_array(y):
        image_labels.check(np.asarray(y), num_classes)
    return x, y


def _is_array(values):
    return isinstance(values, np.ndarray) or keras.ops.is_tensor(values)


def _check_range(images):
    if images.size and not -1 <= images.min() <= images.max() <= 1:
        raise ValueError(
            f"Images must be in [-1, 1]. Received: values from {images.min()} to {images.max()}. "
            "Scale bytes with x / 127.5 - 1."
        )


def _checking(batch, num_classes):
    """Returns a batch of a data set, which cannot be had if it does not pass."""
    batch = batch[0] if len(batch) == 1 else batch
    images, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
    checks = []
    if isinstance(images, tf.Tensor) and images.dtype.is_floating:
        checks.append(_within(images, -1, 1, "Images must be in [-1, 1]. Received: values from"))
    if num_classes is not None and isinstance(labels, tf.Tensor) and labels.dtype.is_integer:
        last = num_classes - 1
        words = f"Labels must be from 0 to {last}, since num_classes={num_classes}. Received: from"
        checks.append(_within(tf.cast(labels, tf.int64), 0, last, words))
    with tf.control_dependencies(checks):
        return tf.nest.map_structure(tf.identity, batch)


def _within(values, low, high, words):
    least, most = tf.reduce_min(values), tf.reduce_max(values)
    is_within = (least >= tf.cast(low, values.dtype)) & (most <= tf.cast(high, values.dtype))
    return tf.debugging.Assert(is_within | (tf.size(values) == 0), [words, least, "to", most])
