"""Optimizers on several replicas: what they decide by the gradients, they decide by their sums.

Keras adds up the replicas' gradients last, after each replica has clipped its own, and asks only
the first one whether they are finite. Checked with Keras 3.15.1; the hooks are named in
`keras_private.py`.
"""

import types

import tensorflow as tf


def prepare(optimizers):
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
            optimizer.check_finite = types.MethodType(_are_finite_everywhere, optimizer)
        if inner.clipnorm or inner.global_clipnorm or inner.clipvalue:
            inner._clip_gradients = types.MethodType(_clipped_sums, inner)
            inner._all_reduce_sum_gradients = types.MethodType(_as_they_are, inner)


def _are_finite_everywhere(optimizer, gradients):
    is_finite = type(optimizer).check_finite(optimizer, gradients)
    replica = tf.distribute.get_replica_context()
    return replica.all_reduce("sum", 1.0 - tf.cast(is_finite, tf.float32)) == 0


def _clipped_sums(optimizer, gradients):
    pairs = [(gradient, None) for gradient in gradients]
    pairs = type(optimizer)._all_reduce_sum_gradients(optimizer, pairs)
    return type(optimizer)._clip_gradients(optimizer, [gradient for gradient, _ in pairs])


def _as_they_are(optimizer, gradients_and_variables):
    return gradients_and_variables
