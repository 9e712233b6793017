"""A warning of images that seem to be scaled to [0, 1], where black is -1.

Of a stream, the numbers are noted while its batches pass: nothing is read twice, or held back.
"""

import math
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import fit_watchers

KEYS = ("-least", "most")  # Of numbers that grow, so that batches may come in any order.


class PixelRange:
    """The least and the largest pixel of the batches that were read so far, and a warning, once."""

    def __init__(self) -> None:
        self._table = None  # What a data set writes to; only then is it made.
        self._found = -math.inf, -math.inf
        self._has_warned = False

    def note(self, least: float, most: float) -> None:
        """Notes a batch of Python's."""
        self._found = max(self._found[0], -least), max(self._found[1], most)

    def note_in_graph(self, least: tf.Tensor, most: tf.Tensor) -> tf.Operation:
        """Returns the operation that notes a batch of a data set.

        A table is what a data set may write to and still have the place of its iterator saved.
        """
        if self._table is None:
            with tf.init_scope():
                self._table = tf.lookup.experimental.MutableHashTable(
                    tf.string, tf.float32, -math.inf
                )
        found, keys = tf.cast(tf.stack([-least, most]), tf.float32), tf.constant(KEYS)
        return self._table.insert(keys, tf.maximum(self._table.lookup(keys), found))

    def warn(self) -> None:
        """Warns if no pixel is below 0 and none above 1: a scaling to [0, 1] is common."""
        negative_least, most = self._found
        if self._table is not None:
            noted = self._table.lookup(tf.constant(KEYS)).numpy()
            negative_least, most = np.maximum(noted, self._found)
        if self._has_warned or not 0 <= -negative_least < most <= 1:
            return
        self._has_warned = True
        warnings.warn(
            f"Images must be in [-1, 1], where -1 is black. Received: values from "
            f"{-negative_least + 0.0:.3g} to {most:.3g}, none below 0. If they are scaled to "
            "[0, 1], use 2 * x - 1.",
            UserWarning,
            stacklevel=3,
        )


class UnitRangeWatcher(fit_watchers.FitWatcher):
    """Lets a `PixelRange` warn after the first execution of a fit.

    Args:
        pixels: The `PixelRange` of its data.
    """

    def __init__(self, pixels: PixelRange) -> None:
        super().__init__()
        self._pixels = pixels

    def end_execution(self, logs: dict[str, Any]) -> None:
        if self._pixels is not None:
            pixels, self._pixels = self._pixels, None
            pixels.warn()


def add_watcher(callbacks: Any, pixels: PixelRange) -> Any:
    """Returns the argument `callbacks` of `fit` with a `UnitRangeWatcher`."""
    watcher = UnitRangeWatcher(pixels)
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(watcher)
        return callbacks
    return [*([] if callbacks is None else keras.tree.flatten(callbacks)), watcher]
