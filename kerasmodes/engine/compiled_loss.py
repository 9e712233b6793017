"""The loss that `compile` makes: averaged by one rule in all modes, by output too.

What replicas do with it is in `replicated_losses.py`.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import keras_private


def replace_compiled_loss(model: keras.Model) -> None:
    """Gives a model that Keras has compiled the loss that is averaged by one rule in all modes."""
    loss = keras_private.find_compiled_loss(model)
    if loss is not None and not isinstance(loss, CompileLoss):
        keras_private.set_compiled_loss(model, CompileLoss(loss))


class CompileLoss(keras_private.CompileLoss):
    """What Keras's `compile` makes of the losses, with means over the examples for each output.

    Keras weights a batch by the size that is known before it comes. In a graph for batches of any
    size that is none, and a smaller last batch counts as much there as the others do.

    Args:
        given: The loss that Keras's `compile` has made.
    """

    def __init__(self, given):
        losses, weights = keras_private.find_given_losses(given)
        super().__init__(losses, weights, output_names=given.output_names)

    def build(self, y_true, y_pred):
        super().build(y_true, y_pred)
        # A single loss has no metric; `loss` itself is its mean.
        self._metrics[:] = [MeanOfLoss(name=metric.name) for metric in self._metrics]
        if self._metrics:
            self._flat_losses = [
                keras_private.replace_loss(one, TrackedLoss(one.loss, metric))
                for one, metric in zip(self._flat_losses, self._metrics, strict=True)
            ]

    def call(self, y_true, y_pred, sample_weight=None):
        # Keras sorts targets by name where outputs are a list, but not their weights.
        names = self.output_names or ()
        is_named = isinstance(sample_weight, dict) and set(sample_weight) == set(names)
        if is_named and isinstance(y_pred, (list, tuple)):
            sample_weight = [sample_weight[name] for name in names]
        return super().call(y_true, y_pred, sample_weight)

    def replace_losses(self, replace: Callable) -> None:
        """Puts what a function makes of it in the place of each loss that `compile` was given."""
        for place, one in enumerate(self._flat_losses):
            if isinstance(one.loss, TrackedLoss):
                one.loss.loss = replace(one.loss.loss)
            else:
                self._flat_losses[place] = keras_private.replace_loss(one, replace(one.loss))


def _undo_division(loss):
    """Returns a loss that Keras has divided by the number of replicas, not divided."""
    return loss * tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)


class TrackedLoss:
    """A loss of one output that adds itself to its mean."""

    def __init__(self, loss, mean):
        self.loss, self._mean = loss, mean

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = self.loss(y_true, y_pred, sample_weight)
        num_examples = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        self._mean.add_batch(_undo_division(loss), num_examples)
        return loss


class MeanOfLoss(keras.metrics.Mean):
    """The mean of the losses of one output."""

    def add_batch(self, loss: Any, num_examples: Any):
        number = tf.cast(num_examples, self.dtype)
        if replicas.has_shard() and replicas.num_shards() == 1:
            number /= tf.distribute.get_replica_context().num_replicas_in_sync  # Each holds all.
        super().update_state(loss, sample_weight=number)

    def update_state(self, values, sample_weight=None):
        """Keras's own call for a batch, which the loss has added already."""
