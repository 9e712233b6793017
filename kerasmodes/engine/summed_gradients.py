"""Optimizers on several replicas: what they decide by the gradients, they decide by their sums.

Keras adds up the replicas' gradients last, after each replica has clipped its own, and asks only
the first one whether they are finite. Checked with Keras 3.15.1; the hooks are named in
`keras_private.py`.
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
            keras_private.set_gradient_hooks(inner, _clip_sums, _keep_gradients)


def _find_all_finite(optimizer, gradients):
    is_finite = type(optimizer).check_finite(optimizer, gradients)
    replica = tf.distribute.get_replica_context()
    return replica.all_reduce("sum", 1.0 - tf.cast(is_finite, tf.float32)) == 0


def _clip_sums(optimizer, gradients):
    return keras_private.clip(optimizer, keras_private.sum_over_replicas(optimizer, gradients))


def _keep_gradients(optimizer, gradients_and_variables):
    return gradients_and_variables
