"""Losses of Keras on several replicas: each replica returns its share of the true number.

Keras divides each replica's mean by their number, which is right only if all means are over equally
many values: not with masks or weights in the denominator, sums of whole batches, or functions of
the batch as a whole. What has no class of Keras is averaged in `averaging.py`.
"""

import keras
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import keras_private


def prepare(model):
    """Makes the losses of a built model, in its steps, return shares of the global batch's loss."""
    keras_private.keep_losses_apart(model)
    keras_private.reduce_losses_by(_reduce)
    compiled_loss = keras_private.compiled_loss(model)
    if compiled_loss is not None and compiled_loss.built:
        keras_private.replace_losses(
            compiled_loss, lambda loss: loss if isinstance(loss, SharedLoss) else SharedLoss(loss)
        )


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
        self._is_by_example = self._is_reduced and keras_private.is_by_example(loss)

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
        number = keras_private.sum_of_weights(sample_weight, mask, losses.dtype)
    else:
        number = tf.cast(tf.size(losses), losses.dtype)
        if mask is None:
            return number * num_replicas
        number *= tf.reduce_mean(tf.cast(mask, losses.dtype))  # Hidden values do not count.
    return (
        replicas.sum_over_replicas(number) if replicas.num_shards() > 1 else number * num_replicas
    )


def gather_batch(batch):
    """Returns nested tensors of the examples of all replicas, with the masks of Keras."""

    def gather(part):
        gathered = replicas.gather_examples(tf.convert_to_tensor(part))
        mask = keras_private.get_keras_mask(part)
        if mask is not None:
            gathered = tf.identity(gathered)  # The mask belongs to this tensor alone.
            keras_private.set_keras_mask(gathered, replicas.gather_examples(mask))
        return gathered

    return keras.tree.map_structure(lambda part: None if part is None else gather(part), batch)
