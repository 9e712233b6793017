"""The one rule by which a loss is averaged over the global batch, on one replica or on many.

How gradients are summed over the replicas is Keras's optimizers' business, not done here.
"""

from typing import Any

import tensorflow as tf

from kerasmodes import replicas


def average_loss(per_example_loss: tf.Tensor, sample_weight: Any = None):
    """Returns this replica's share of the loss's mean over the global batch.

    On one device this is the plain mean. Under a strategy gradients are *summed* over the
    replicas, so each replica must contribute (sum over its examples) / (examples in the global
    batch): the shares of all replicas add up to what one device would compute, also when the
    replicas hold different numbers of examples.

    To log the mean, give the per-example losses themselves to a `keras.metrics.Mean`, not the
    shares: a mean of shares is too small by the number of replicas. A penalty on the weights is one
    number for all examples: add it to their losses before they are averaged.

    Args:
        per_example_loss: Float tensor `[batch, ...]`; dimensions after the first are averaged.
        sample_weight: Float tensor `[batch]` that multiplies the losses, or `None`. As in Keras,
            the sum is divided by the number of examples, not by the sum of the weights.

    Returns:
        A scalar tensor of the same dtype.

    Raises:
        ValueError: If `per_example_loss` is a scalar, which cannot be averaged over examples.

    Example:

    ```python
    loss = km.average_loss(keras.losses.mean_squared_error(y, y_pred))
    ```
    """
    per_example_loss = tf.convert_to_tensor(per_example_loss)
    if per_example_loss.shape.rank == 0:
        raise ValueError(
            "`per_example_loss` must have one value an example, with shape [batch, ...]. "
            f"Received: per_example_loss with shape={per_example_loss.shape}. "
            "Average over the examples with km.average_loss alone."
        )
    if sample_weight is not None:
        weight = tf.cast(sample_weight, per_example_loss.dtype)
        if not weight.shape[:1].is_compatible_with(per_example_loss.shape[:1]):
            raise ValueError(
                "`sample_weight` must have one value an example. Received: sample_weight with "
                f"shape={weight.shape} for losses with shape={per_example_loss.shape}"
            )
        ones = tf.ones(per_example_loss.shape.rank - 1, tf.int32)
        per_example_loss *= tf.reshape(weight, tf.concat([[-1], ones], axis=0))
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return tf.reduce_mean(per_example_loss)
    if replicas.has_shard():
        share = tf.reduce_mean(per_example_loss) / replica.num_replicas_in_sync
        return replicas.mark_share(share)
    num_examples = tf.cast(tf.size(per_example_loss), per_example_loss.dtype)
    return tf.reduce_sum(per_example_loss) / replica.all_reduce("sum", num_examples)


def global_mean(values: list):
    """Returns the mean over the global batch, the same number on each replica.

    For what is *in* a loss or a decision; a loss itself is averaged by `average_loss`. Gradients
    flow through it to the values on all replicas.

    Args:
        values: Float tensor `[batch, ...]`, averaged over all dimensions.

    Returns:
        A scalar tensor of the same dtype.

    Example:

    ```python
    scores = tf.constant([0.5, 1.5])  # one value an example
    centred = scores - km.global_mean(scores)
    ```
    """
    share = average_loss(values)
    replica = tf.distribute.get_replica_context()
    is_alone = replica is None or replica.num_replicas_in_sync == 1
    return share if is_alone else replica.all_reduce("sum", share)
