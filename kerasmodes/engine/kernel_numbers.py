"""What XLA settles in its own way: SELU at 0, ties in max pooling, small quantiles.

At 0 the kernel takes the slope of SELU from above, XLA that from below. Of equal numbers in a
window of max pooling both let the first one have the gradient. But where `padding="same"` adds
more behind an axis than before it, XLA:CPU of TensorFlow 2.21 counts in another order; once it is
padded before, it has the kernel's. The quantile of a normal distribution XLA takes from 2p - 1,
which for p = 1e-5 has three digits left in float32, and for p below 1e-8 none.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasmodes.engine import keras_private

SELU_SLOPE = 1.0507009873554805  # Klambauer et al. 2017, "Self-normalizing neural networks": λ.


def keep_numbers() -> None:
    """Lets XLA have the numbers of TensorFlow's kernels, in graphs that are traced for it."""
    keras_private.replace_operations(
        {
            "selu_grad": _find_selu_gradient,
            "max_pool_grad": _find_pool_gradient,
            "max_pool3d_grad": _find_pool_gradient,
            "ndtri": _find_quantile,
        }
    )


def _find_selu_gradient(kernel: Callable, gradients: Any, outputs: Any, name: str | None = None):
    found = kernel(gradients, outputs, name)
    if not keras_private.is_traced_for_xla():
        return found
    slope = tf.constant(SELU_SLOPE, gradients.dtype)
    return tf.where(tf.equal(outputs, 0), gradients * slope, found)


def _find_pool_gradient(kernel, orig_input, orig_output, grad, ksize, strides, padding, **kwargs):
    is_padded = tf.compat.as_str(padding) == "SAME" and keras_private.is_traced_for_xla()
    ends = _list_padding(orig_input.shape, ksize, strides) if is_padded else []
    if all(before == behind for before, behind in ends):
        return kernel(orig_input, orig_output, grad, ksize, strides, padding, **kwargs)
    lowest = tf.constant(float("-inf"), orig_input.dtype)
    padded = tf.pad(orig_input, ends, constant_values=lowest)
    found = kernel(padded, orig_output, grad, ksize, strides, "VALID", **kwargs)
    return tf.slice(found, [before for before, _ in ends], tf.shape(orig_input))


def _list_padding(shape, ksize, strides):
    """Returns what `padding="same"` adds before and behind each axis; nothing to unknown sizes."""
    ends = []
    for size, window, stride in zip(shape, ksize, strides, strict=True):
        steps = -(-(size or 0) // stride)
        missing = max((steps - 1) * stride + window - size, 0) if size else 0
        ends.append((missing // 2, missing - missing // 2))
    return ends


def _find_quantile(kernel: Callable, x: Any, name: str | None = None):
    """Returns quantiles of the normal distribution; those of p above 1e-13 are the kernel's."""
    if not keras_private.is_traced_for_xla():
        return kernel(x, name)
    return tf.cast(kernel(tf.cast(x, tf.float64), name), x.dtype)
