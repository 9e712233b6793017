"""Images and labels that a GAN is to learn, checked before they change a weight, in every mode.

What has a form is checked at once; the values in a stream, as its batches come. How labels look is
in `labels.py`.
"""

import contextlib
import functools
import re
import types
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import examples, finite_data
from kerasmodes.models.msg_gan import labels as image_labels
from kerasmodes.models.msg_gan import pixel_range

# What of TensorFlow's messages is for the user: from batches of Python, and from a data set.
RAISED = re.compile(r"^ValueError: ((?:Images|Labels) .*)$", re.MULTILINE)
ASSERTED = re.compile(r"assertion failed: \[((?:Images|Labels) .* from)\] \[(.*)\] \[to\] \[(.*)\]")
SCALING = "Scale bytes with x / 127.5 - 1."


def check_data(
    x: Any,
    y: Any,
    image_shape: tuple[int, int, int],
    num_classes: int | None,
    pixels: pixel_range.PixelRange | None = None,
):
    """Returns what `fit` was given: arrays checked, a stream of batches checking as it is read.

    Args:
        x: Images `[n, height, width, channels]`; or a `tf.data.Dataset`, a `keras.utils.PyDataset`
            or a generator of batches. Anything else passes to Keras.
        y: Labels, as in `labels.one_hot`, or `None`.
        image_shape: (height, width, channels).
        num_classes: Int, or `None`, which ignores labels.
        pixels: What notes the values of images, but for those of a `tf.data.Dataset`, or `None`.

    Raises:
        ValueError: If images or labels have another form, or arrays other values. A stream raises
            a `tf.errors.InvalidArgumentError` when it comes to such a batch; see
            `explain_bad_data`.
    """
    if isinstance(x, tf.data.Dataset):
        check_form(*_split_batch(x.element_spec), image_shape, num_classes)
        check = functools.partial(_check_lazily, num_classes=num_classes)
        # As it is: of what TensorFlow converts, it writes files, which a killed program leaves.
        return x.map(tf.autograph.experimental.do_not_convert(check)), y
    if isinstance(x, examples.Examples):
        check = functools.partial(
            _check_batch, image_shape=image_shape, num_classes=num_classes, pixels=pixels
        )
        return x.add_check(check), y
    if isinstance(x, keras.utils.PyDataset):
        return CheckedBatches(x, image_shape, num_classes, pixels), y
    if isinstance(x, types.GeneratorType):
        return (_check_batch(batch, image_shape, num_classes, pixels) for batch in x), y
    if x is None or not isinstance(x, (np.ndarray, list, tuple, dict)) and not _is_tensor(x):
        return x, y
    _check_arrays(x, y, image_shape, num_classes, pixels)
    return x, y


def unpack_batch(data: Any, image_shape: tuple[int, int, int], num_classes: int | None):
    """Returns the images of a step's batch, and its labels, one-hot, if there are classes.

    Raises:
        ValueError: If they have another form, or there are weights.
    """
    images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    refuse_weights("sample_weight", sample_weight)
    check_form(images, labels, image_shape, num_classes)
    return images, None if num_classes is None else image_labels.one_hot(labels, num_classes)


def check_form(
    images: Any, labels: Any, image_shape: tuple[int, int, int], num_classes: int | None
):
    """Raises a `ValueError` if a batch, or all examples, have another shape or dtype.

    Args:
        images, labels: Arrays, tensors or their specs; `None` for no labels.
        image_shape: (height, width, channels).
        num_classes: Int, or `None`, which ignores labels.
    """
    needed = f"Images must be floats in [-1, 1] with shape [batch, {str(list(image_shape))[1:]}"
    if not hasattr(images, "dtype") or not hasattr(images, "shape"):
        raise ValueError(f"{needed}, in one array. Received: a {type(images).__name__}")
    dtype, shape = tf.as_dtype(images.dtype), tf.TensorShape(images.shape)
    if not dtype.is_floating or not shape.is_compatible_with([None, *image_shape]):
        raise ValueError(
            f"{needed}, the model's `image_shape`. "
            f"Received: images of dtype={dtype.name} with shape={tuple(images.shape)}"
        )
    if num_classes is None:
        return
    if labels is None:
        raise ValueError(
            f"Data must be tuples of images and labels, since num_classes={num_classes}. "
            "Received: images alone. km.data.images(..., with_labels=True) makes such batches."
        )
    if hasattr(labels, "dtype"):
        image_labels.check_form(labels, num_classes)
    elif not isinstance(labels, list):
        raise ValueError(f"Labels must be in one array. Received: a {type(labels).__name__}")


def refuse_weights(name: str, weights: Any):
    """Raises a `ValueError` if there are weights of examples or classes, which a GAN has not."""
    if weights is None:
        return
    shape = getattr(weights, "shape", None)
    received = repr(weights) if shape is None else f"weights with shape={tuple(shape)}"
    raise ValueError(
        f"`{name}` must be None: MSGGAN counts each image once. Received: {name}={received}"
    )


class CheckedBatches(keras.utils.PyDataset):
    """The batches of a `keras.utils.PyDataset`, each checked when it is asked for."""

    def __init__(self, batches, image_shape, num_classes, pixels=None):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.batches = batches
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.pixels = pixels

    @property
    def num_batches(self):
        return self.batches.num_batches

    def __getitem__(self, index):
        batch = self.batches[index]
        return _check_batch(batch, self.image_shape, self.num_classes, self.pixels)

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()


@contextlib.contextmanager
def explain_bad_data():
    """Makes a `ValueError` of what a checked stream says, without the graph around it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raised, asserted = RAISED.search(error.message), ASSERTED.search(error.message)
        if raised:
            raise ValueError(raised[1]) from error
        if not asserted:
            raise
        words, least, most = asserted.groups()
        advice = f". {SCALING}" if words.startswith("Images") else ""
        raise ValueError(f"{words} {least} to {most}{advice}") from error


def _is_tensor(values):
    return keras.ops.is_tensor(values)


def _split_batch(batch):
    """Returns the images and the labels of a batch, or of its specs."""
    is_alone = isinstance(batch, (tuple, list)) and len(batch) == 1
    return keras.utils.unpack_x_y_sample_weight(batch[0] if is_alone else batch)[:2]


def _check_batch(batch, image_shape, num_classes, pixels):
    _check_arrays(*_split_batch(batch), image_shape, num_classes, pixels)
    return batch


def _check_arrays(images, labels, image_shape, num_classes, pixels):
    check_form(images, labels, image_shape, num_classes)
    images = np.asarray(images)
    if images.size:
        least, most = images.min(), images.max()
        if not -1 <= least <= most <= 1:
            finite_data.check_finite(x=images)
            raise ValueError(
                f"Images must be in [-1, 1]. Received: values from {least} to {most}. {SCALING}"
            )
        if pixels is not None:
            pixels.note(float(least), float(most))
    if num_classes is not None:
        image_labels.check(np.asarray(labels), num_classes)


def _check_lazily(*batch, num_classes):
    """Returns a batch of a data set, which cannot be had if it does not pass."""
    batch = batch[0] if len(batch) == 1 else batch
    images, labels = _split_batch(batch)
    checks = [_assert_within(images, -1, 1, "Images must be in [-1, 1]. Received: values from")]
    if num_classes is not None and not image_labels.is_one_hot(labels, num_classes):
        last = num_classes - 1
        words = f"Labels must be from 0 to {last}, since num_classes={num_classes}. Received: from"
        checks.append(_assert_within(tf.cast(labels, tf.int64), 0, last, words))
    elif num_classes is not None:
        words = "Labels that are one-hot must be from 0 to 1. Received: from"
        checks.append(_assert_within(labels, 0, 1, words))
    with tf.control_dependencies(checks):
        return tf.nest.map_structure(tf.identity, batch)


def _assert_within(values, low, high, words):
    least, most = tf.reduce_min(values), tf.reduce_max(values)
    is_within = (least >= tf.cast(low, values.dtype)) & (most <= tf.cast(high, values.dtype))
    return tf.debugging.Assert(is_within | (tf.size(values) == 0), [words, least, "to", most])
