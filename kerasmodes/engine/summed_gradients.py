"""How optimizers add up the replicas' gradients; on several, what they decide by, is the sums.

Keras adds them up last, after each replica has clipped its own, and asks only the first one whether
they are finite. Checked with Keras 3.15.1; the hooks are named in `keras_private.py`.
"""

import types
from typing import Any

import tensorflow as tf

from kerasmodes.engine import keras_private


def prepare(optimizers: dict[str, Any]) -> None:
    """Makes optimizers clip the sums of gradients, and skip a step on all replicas or on none.

    Args:
        optimizers: Dictionary of Keras optimizers by name.

    Raises:
        ValueError: If one accumulates gradients, which Keras cannot do on replicas.
    """
    for name, optimizer in optimizers.items():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner.gradient_accumulation_steps:
            raise ValueError(
                "`gradient_accumulation_steps` must be None on several replicas. Received: "
                f"gradient_accumulation_steps={inner.gradient_accumulation_steps} of {name!r}. "
                "Use larger batches."
            )
        if inner is not optimizer:
            optimizer.check_finite = types.MethodType(_find_all_finite, optimizer)
        if inner.clipnorm or inner.global_clipnorm or inner.clipvalue:
            keras_private.set_clipping(inner, _clip_sums)
            keras_private.set_sum_of_gradients(inner, _keep_gradients)


def skip_sums(optimizers: dict[str, Any]) -> None:
    """Makes optimizers of a model on one replica leave its gradients as they are.

    TensorFlow keeps the graph of each sum over replicas for good, even over one: it registers a
    gradient for it, 3 MB of a small model.

    Args:
        optimizers: Dictionary of Keras optimizers by name.
    """
    for optimizer in optimizers.values():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        keras_private.set_sum_of_gradients(inner, _sum_over_several)


def _sum_over_several(optimizer, gradients_and_variables):
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return gradients_and_variables
    return keras_private.sum_over_replicas(optimizer, gradients_and_variables)


def _find_all_finite(optimizer, gradients):
    is_finite = type(optimizer).check_finite(optimizer, gradients)
    replica = tf.distribute.get_replica_context()
    return replica.all_reduce("sum", 1.0 - tf.cast(is_finite, tf.float32)) == 0


def _clip_sums(optimizer, gradients):
    return keras_private.clip(optimizer, _sum_over_replicas(optimizer, gradients))


def _sum_over_replicas(optimizer, gradients):
    pairs = [(gradient, None) for gradient in gradients]
    return [total for total, _ in keras_private.sum_over_replicas(optimizer, pairs)]


def _keep_gradients(optimizer, gradients_and_variables):
    return gradients_and_variables
