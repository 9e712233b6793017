"""How optimizers add up the replicas' gradients; on several, what they decide by, is the sums.

Keras adds them up last, after each replica has clipped its own, and asks only the first one whether
they are finite. Checked with Keras 3.15.1; the hooks are named in `keras_private.py`.
"""

import functools
import types
from typing import Any

import tensorflow as tf

from kerasmodes.engine import keras_private


def check_dtype(gradient_dtype: str | None) -> None:
    """Raises a `ValueError` if gradients cannot be added up in a dtype.

    Not float16: numbers above 65,504 would be infinite, also where the loss is not scaled.
    """
    if gradient_dtype not in (None, "bfloat16"):
        raise ValueError(
            "`gradient_dtype` must be 'bfloat16', or None for the gradients' own. "
            f"Received: gradient_dtype={gradient_dtype!r}"
        )


def prepare(
    optimizers: dict[str, Any], gradient_dtype: str | None = None, is_eager: bool = False
) -> None:
    """Makes optimizers clip the sums of gradients, and skip a step on all replicas or on none.

    Args:
        optimizers: Dictionary of Keras optimizers by name.
        gradient_dtype: That of the messages, or `None` for the gradients' own.
        is_eager: Whether steps run line by line.

    Raises:
        ValueError: If one does what Keras cannot do on replicas: accumulates gradients, or, in a
            graph, overwrites weights with their averages.
    """
    for name, optimizer in optimizers.items():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner.gradient_accumulation_steps:
            raise ValueError(
                "`gradient_accumulation_steps` must be None on several replicas. Received: "
                f"gradient_accumulation_steps={inner.gradient_accumulation_steps} of {name!r}. "
                "Use larger batches."
            )
        overwrites = inner.use_ema and inner.ema_overwrite_frequency
        if overwrites and not is_eager:  # Keras sends its messages within a `tf.cond`.
            raise ValueError(
                "`ema_overwrite_frequency` must be None on several replicas but for mode='eager'. "
                f"Received: ema_overwrite_frequency={inner.ema_overwrite_frequency} of {name!r}. "
                "Leave it out: with use_ema=True alone, `fit` ends with the averages."
            )
        if inner is not optimizer:
            optimizer.check_finite = types.MethodType(_find_all_finite, optimizer)
        sum_gradients = functools.partial(_sum_in, gradient_dtype)
        if inner.clipnorm or inner.global_clipnorm or inner.clipvalue:
            keras_private.set_clipping(inner, functools.partial(_clip_sums, sum_gradients))
            keras_private.set_sum_of_gradients(inner, _keep_gradients)
        else:
            keras_private.set_sum_of_gradients(inner, sum_gradients)


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


def _clip_sums(sum_gradients, optimizer, gradients):
    pairs = sum_gradients(optimizer, [(gradient, None) for gradient in gradients])
    return keras_private.clip(optimizer, [total for total, _ in pairs])


def _sum_in(dtype, optimizer, pairs):
    """Returns pairs of gradient and variable, added up over the replicas in a dtype."""
    if dtype is None:
        return keras_private.sum_over_replicas(optimizer, pairs)
    rounded = [(_round(one, dtype), variable) for one, variable in pairs]
    sums = keras_private.sum_over_replicas(optimizer, rounded)
    return [
        (total if total is None else tf.cast(total, one.dtype), variable)
        for (total, variable), (one, _) in zip(sums, pairs, strict=True)
    ]


def _round(gradient, dtype):
    """Returns a gradient in a shorter dtype, if that makes it shorter.

    Slices of an embedding stay: they are gathered, which TensorFlow cannot do in bfloat16.
    """
    is_long = isinstance(gradient, tf.Tensor) and gradient.dtype in (tf.float32, tf.float64)
    return tf.cast(gradient, dtype) if is_long else gradient


def _keep_gradients(optimizer, gradients_and_variables):
    return gradients_and_variables
