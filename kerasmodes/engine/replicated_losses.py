"""Losses of Keras on several replicas: each replica returns its share of the true number.

Keras divides each replica's mean by their number, which is right only if all means are over equally
many values: not with masks or weights in the denominator, sums of whole batches, or functions of
the batch as a whole. What has no class of Keras is averaged in `averaging.py`.
"""

import contextlib
import threading
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import additive_states, keras_private

_SUMS_OVER_EXAMPLES = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)


def prepare(model: keras.Model) -> None:
    """Makes the losses of a built model, in its steps, return shares of the global batch's loss."""
    for layer in keras_private.find_layers(model):
        if not isinstance(keras_private.find_added_losses(layer), ThreadLosses):
            keras_private.set_added_losses(layer, ThreadLosses())
    keras_private.reduce_losses_by(_reduce)
    loss = keras_private.find_compiled_loss(model)
    if loss is not None and loss.built:
        loss.replace_losses(lambda one: one if isinstance(one, SharedLoss) else SharedLoss(one))


class ThreadLosses(threading.local):
    """A layer's list of what `add_loss` was given, one for each thread, hence for each replica.

    It has the methods that Keras uses.
    """

    def __init__(self):
        self._items = []

    def extend(self, items: Any):
        self._items.extend(items)

    def clear(self):
        self._items.clear()

    def __getitem__(self, key):
        return self._items[key]

    def __len__(self):
        return len(self._items)


class SharedLoss:
    """A loss that was given to `compile`, of the examples of all replicas where it needs them.

    Of what is not Keras's own, nothing is known: it is computed of the global batch, on each
    replica.

    Args:
        loss: A `keras.losses.Loss`.
    """

    def __init__(self, loss):
        self._loss = loss
        self._is_reduced = loss.reduction not in (None, "none")
        self._is_by_example = self._is_reduced and additive_states.has_example_values(loss)

    def __call__(self, y_true, y_pred, sample_weight=None):
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return self._loss(y_true, y_pred, sample_weight)
        # Of one dimension, an example is a number: Keras's functions average over all of them.
        if self._is_by_example and y_pred.shape.rank > 1:
            return self._loss(y_true, y_pred, sample_weight)
        batch = gather_batch((y_true, y_pred, sample_weight))
        with replicas.shard_scope(0, 1):
            loss = self._loss(*batch)
        return loss if self._is_reduced else loss / replica.num_replicas_in_sync


@contextlib.contextmanager
def share_activity_penalties(model: keras.Model):
    """While open, the activity regularizers of a model's layers return shares of their penalties.

    Not for good: a layer's config tells of its regularizer.
    """
    given = [(layer, layer.activity_regularizer) for layer in keras_private.find_layers(model)]
    given = [(layer, regularizer) for layer, regularizer in given if regularizer is not None]
    for layer, regularizer in given:
        layer.activity_regularizer = SharedPenalty(regularizer)
    try:
        yield
    finally:
        for layer, regularizer in given:
            layer.activity_regularizer = regularizer


class SharedPenalty:
    """An activity regularizer, of the outputs for the examples of all replicas where it needs them.

    Keras divides its number by that of a replica's examples, from 3.14 on, and by that of the
    replicas: the mean of a sum over the examples is right then. Keras 3.13 divides by the latter
    alone, unless the number is marked as a share. What is not Keras's own need not be a sum.

    Args:
        regularizer: A `keras.regularizers.Regularizer`, or a function.
    """

    def __init__(self, regularizer):
        self._regularizer = regularizer
        self._is_sum_over_examples = type(regularizer) in _SUMS_OVER_EXAMPLES

    def __call__(self, outputs):
        if self._is_sum_over_examples:
            share = self._regularizer(outputs)
        else:
            penalty = self._regularizer(replicas.gather_examples(outputs))
            share = tf.reduce_sum(penalty) / replicas.num_shards()
        if replicas.num_shards() == 1 or keras_private.divides_activity_penalties():
            return share
        return replicas.mark_share(share)


def _reduce(keras_reduce, values, sample_weight=None, mask=None, reduction=None, dtype=None):
    """Reduces the values of a loss of Keras to this replica's share.

    Args:
        keras_reduce: What Keras reduces by.
        values, sample_weight, mask, reduction, dtype: The arguments of Keras's.
    """
    if not replicas.has_shard() or reduction in (None, "none"):
        return keras_reduce(values, sample_weight, mask, reduction, dtype)
    losses = tf.convert_to_tensor(keras_reduce(values, sample_weight, mask, None, dtype))
    loss = tf.reduce_sum(losses)
    if reduction != "sum":
        loss = tf.math.divide_no_nan(loss, _denominator(losses, sample_weight, mask, reduction))
    elif replicas.num_shards() == 1:
        loss /= tf.distribute.get_replica_context().num_replicas_in_sync
    return replicas.mark_share(loss)


def _denominator(losses, sample_weight, mask, reduction):
    """Returns what a sum is divided by to be this replica's share of a mean."""
    num_replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    is_weighted = sample_weight is not None or mask is not None
    if reduction == "mean_with_sample_weight" and is_weighted:
        number = keras_private.sum_weights(sample_weight, mask, losses.dtype)
    else:
        number = tf.cast(tf.size(losses), losses.dtype)
        if mask is None:
            return number * num_replicas
        number *= tf.reduce_mean(tf.cast(mask, losses.dtype))  # Hidden values do not count.
    return (
        replicas.sum_over_replicas(number) if replicas.num_shards() > 1 else number * num_replicas
    )


def gather_batch(batch: Any):
    """Returns nested tensors of the examples of all replicas, with the masks of Keras."""

    def gather(part):
        gathered = replicas.gather_examples(tf.convert_to_tensor(part))
        attached = keras_private.find_attached(part)
        if any(one is not None for one in attached):
            gathered = tf.identity(gathered)  # What is attached belongs to this tensor alone.
            attached = [one if one is None else replicas.gather_examples(one) for one in attached]
            keras_private.attach(gathered, attached)
        return gathered

    return keras.tree.map_structure(lambda part: None if part is None else gather(part), batch)
