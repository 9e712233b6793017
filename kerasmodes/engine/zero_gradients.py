"""What roots and reciprocals hand back where a gradient of 0 meets an infinite slope.

TensorFlow's kernels hand back 0, XLA NaN. So the cosine of an output without a direction, or a
distance of 0 that a mask takes away, would train in a graph and make all weights NaN in XLA.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasmodes.engine import keras_private

STEEP = ("sqrt_grad", "rsqrt_grad", "reciprocal_grad")


def keep_zeros() -> None:
    """Lets a gradient of 0 stay 0 in all graphs of the program: XLA may compile any of them."""
    keras_private.replace_operations(dict.fromkeys(STEEP, _find_gradient))


def _find_gradient(kernel: Callable, output: Any, gradient: Any, name: str | None = None):
    found = kernel(output, gradient, name)
    if tf.executing_eagerly():
        return found
    # Only NaN is replaced: elsewhere, a gradient of the gradient goes through the kernel's.
    is_lost = tf.equal(gradient, 0) & tf.not_equal(found, found)
    return tf.where(is_lost, tf.zeros_like(found), found)
