"""Layers of Karras et al. 2018 (arXiv 1710.10196), of which the paper's networks are made.

How they are put together is in `paper.py`.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasmodes import replicas
from kerasmodes.engine import plain_models

GROUP_SIZE = 4
RELU_GAIN = math.sqrt(2)  # Keeps the variance through a leaky ReLU.


def _normal():
    return keras.initializers.RandomNormal(stddev=1.0)


def _scale_kernel(layer, scale):
    """Returns the weights of a layer, the first of which is its kernel, with that multiplied."""
    kernel, *others = layer.get_weights()
    return [kernel * np.asarray(scale, kernel.dtype), *others]


def _normalize_pixels(inputs):
    square = ops.mean(ops.square(ops.cast(inputs, "float32")), axis=-1, keepdims=True)
    return inputs * ops.cast(ops.rsqrt(square + 1e-8), inputs.dtype)


@keras.saving.register_keras_serializable(package="kerasmodes")
class EqualizedDense(keras.layers.Dense):
    """`keras.layers.Dense` with an equalised learning rate.

    The kernel starts as standard normal numbers and is multiplied by gain / sqrt(inputs) when used,
    so that optimizers move all kernels at one rate. Source: Karras et al. 2018, section 4.1.

    Args:
        units: Width of the outputs.
        gain: Float.
        **kwargs: As in `keras.layers.Dense`.
    """

    def __init__(self, units, gain=RELU_GAIN, **kwargs):
        super().__init__(units, **{"kernel_initializer": _normal(), **kwargs})
        self.gain = gain

    def call(self, inputs, training=None):
        kernel = tf.cast(self.kernel, inputs.dtype) * (self.gain / math.sqrt(self.kernel.shape[0]))
        outputs = tf.matmul(inputs, kernel)
        if self.use_bias:
            outputs += tf.cast(self.bias, inputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}

    def make_plain(self):
        """Returns Keras's layer for `km.to_keras`, whose kernel is multiplied already."""
        scale = self.gain / math.sqrt(self.kernel.shape[0])
        weights = _scale_kernel(self, scale)
        return plain_models.make_copy(self, keras.layers.Dense, super().get_config(), weights)


@keras.saving.register_keras_serializable(package="kerasmodes")
class EqualizedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with an equalised learning rate: see `EqualizedDense`.

    Args:
        filters, kernel_size: As in `keras.layers.Conv2D`.
        gain: Float.
        **kwargs: As there.
    """

    def __init__(self, filters, kernel_size, gain=RELU_GAIN, **kwargs):
        super().__init__(filters, kernel_size, **{"kernel_initializer": _normal(), **kwargs})
        self.gain = gain

    def convolution_op(self, inputs: Any, kernel):
        scale = self.gain / math.sqrt(math.prod(kernel.shape[:-1]))
        return super().convolution_op(inputs, tf.cast(kernel, inputs.dtype) * scale)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}

    def make_plain(self):
        """Returns Keras's layer for `km.to_keras`, whose kernel is multiplied already."""
        scale = self.gain / math.sqrt(math.prod(self.kernel.shape[:-1]))
        weights = _scale_kernel(self, scale)
        return plain_models.make_copy(self, keras.layers.Conv2D, super().get_config(), weights)


@keras.saving.register_keras_serializable(package="kerasmodes")
class PixelNormalization(keras.layers.Layer):
    """Divides each pixel's channels by the root of their mean square. Source: section 4.2.

    On latents `[batch, latent_dim]` it is the projection to the hypersphere of radius
    sqrt(latent_dim).
    """

    def call(self, inputs):
        square = tf.reduce_mean(tf.square(tf.cast(inputs, tf.float32)), axis=-1, keepdims=True)
        return inputs * tf.cast(tf.math.rsqrt(square + 1e-8), inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def make_plain(self):
        """Returns the same formula in operations of Keras, for `km.to_keras`."""
        return _normalize_pixels


@keras.saving.register_keras_serializable(package="kerasmodes")
class MinibatchStandardDeviation(keras.layers.Layer):
    """Appends a channel: how much neighbours in the batch differ, on average.

    Examples are taken in groups of four that lie beside each other, as one device and as replicas
    hold them; a batch that four does not divide is one group. Source: section 3, with groups as in
    Karras et al. 2020 (arXiv 1912.04958).
    """

    def call(self, inputs):
        is_whole = replicas.num_shards() == 1 or (inputs.shape[0] or 1) % GROUP_SIZE == 0
        if is_whole:
            deviation = _deviations(inputs)
        else:  # Groups reach over replicas.
            everyone = tf.distribute.get_replica_context().all_gather(inputs, axis=0)
            everyone = tf.ensure_shape(everyone, (None, *inputs.shape[1:]))
            first = replicas.shard_index() * tf.shape(inputs)[0]
            deviation = _deviations(everyone)[first : first + tf.shape(inputs)[0]]
        deviation = tf.cast(tf.reshape(deviation, [-1, 1, 1, 1]), inputs.dtype)
        return tf.concat([inputs, tf.ones_like(inputs[..., :1]) * deviation], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)


def _deviations(inputs):
    """Returns the mean standard deviation within its group for each example, float32 `[batch]`."""
    size = tf.shape(inputs)[0]
    group = tf.where(size % GROUP_SIZE == 0, GROUP_SIZE, size)
    x = tf.reshape(tf.cast(inputs, tf.float32), tf.concat([[-1, group], inputs.shape[1:]], 0))
    variance = tf.reduce_mean(tf.square(x - tf.reduce_mean(x, 1, keepdims=True)), axis=1)
    deviations = tf.reduce_mean(tf.sqrt(variance + 1e-8), axis=(1, 2, 3))
    return tf.repeat(deviations, tf.fill([size // group], group))
