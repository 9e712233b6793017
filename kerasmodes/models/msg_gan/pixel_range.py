"""A warning of images that seem to be scaled to [0, 1], where black is -1.

Of a stream, the numbers are noted while its batches pass: nothing is read twice, or held back.
"""

import itertools
import math
import warnings
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import datasets, fit_watchers, super_batches


class PixelRange:
    """The least and the largest pixel of the batches that were read so far, and a warning, once."""

    def __init__(self) -> None:
        self._least, self._most = math.inf, -math.inf
        self._has_warned = False

    def note(self, least: float, most: float) -> None:
        """Notes the least and the largest pixel of a batch."""
        self._least, self._most = min(self._least, least), max(self._most, most)

    def warn(self) -> None:
        """Warns if no pixel is below 0 and none above 1: a scaling to [0, 1] is common."""
        if self._has_warned or not 0 <= self._least < self._most <= 1:
            return
        self._has_warned = True
        warnings.warn(
            f"Images must be in [-1, 1], where -1 is black. Received: values from {self._least:.3g}"
            f" to {self._most:.3g}, none below 0. If they are scaled to [0, 1], use 2 * x - 1.",
            UserWarning,
            stacklevel=3,
        )


class UnitRangeWatcher(fit_watchers.FitWatcher):
    """Lets a `PixelRange` warn after the first execution of a fit.

    Args:
        pixels: The `PixelRange` of its data.
        is_dataset: Whether these are a `tf.data.Dataset`, of which nobody has noted a batch.
    """

    def __init__(self, pixels: PixelRange, is_dataset: bool) -> None:
        super().__init__()
        self._pixels = pixels
        self._has_to_look = is_dataset

    def begin_execution(self, batches: Any) -> Any:
        if self._has_to_look:
            self._has_to_look = False
            batch, batches = _peek(batches, self.model.run_eagerly)
            images = tf.nest.flatten(batch)[:1]
            if images and images[0] is not None and tf.size(images[0]):
                least, most = tf.reduce_min(images[0]), tf.reduce_max(images[0])
                self._pixels.note(float(least), float(most))
        return batches

    def end_execution(self, logs: dict[str, Any]) -> None:
        if self._pixels is not None:
            pixels, self._pixels = self._pixels, None
            pixels.warn()


def add_watcher(callbacks: Any, watcher: UnitRangeWatcher, model: keras.Model) -> Any:
    """Returns the argument `callbacks` of `fit` with one more."""
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        return [*([] if callbacks is None else keras.tree.flatten(callbacks)), watcher]
    watcher.set_model(model)
    callbacks.callbacks.append(watcher)
    return callbacks


def _peek(batches, runs_eagerly):
    """Returns the first batch of an execution, and what is to run in the place of `batches`.

    The first step takes its batch from an iterator of the same kind, so that nothing is traced
    again.
    """
    if isinstance(batches, tf.distribute.DistributedIterator):
        return None, batches
    if isinstance(batches, list):
        return next(super_batches.iterate_batches(batches)), batches
    try:
        batch = next(batches)
    except (StopIteration, tf.errors.OutOfRangeError):  # The executor will notice.
        return None, batches
    if runs_eagerly or not isinstance(batches, tf.data.Iterator):
        return batch, itertools.chain([batch], batches)
    shapes = tf.nest.map_structure(lambda spec: spec.shape, batches.element_spec)
    first = tf.data.Dataset.from_tensors(batch).map(lambda *parts: _relax(parts, shapes))
    return batch, iter(datasets.disable_autotuner(first))


def _relax(parts, shapes):
    """Returns a batch whose shape is known as far as that of others is."""
    batch = parts if isinstance(shapes, tuple) else parts[0]
    flat = zip(tf.nest.flatten(batch), tf.nest.flatten(shapes), strict=True)
    relaxed = [tf.compat.v1.placeholder_with_default(part, shape) for part, shape in flat]
    return tf.nest.pack_sequence_as(batch, relaxed)
