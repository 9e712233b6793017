"""Keras's own layers, with the same weights and the same results, computed faster on a CPU.

What a layer means and its arguments are Keras's and not described here; nor are the networks.
A class in place of one layer is named as it, since the names of the weights in a file follow.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import plain_models

# Which of 3 weights in a row add up to each of 4, last one first, as transposed convolutions have
# them; and which of 3x3 to each of 4x4.
SUMS_OF_A_ROW = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], "float32")
SUMS_OF_WEIGHTS = np.kron(SUMS_OF_A_ROW, SUMS_OF_A_ROW)  # [16, 9]


@keras.saving.register_keras_serializable(package="kerasmodes")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` in a third of the time on a CPU, with the same weights.

    Keras computes moments and outputs by eleven elementwise operations, in bfloat16 on a float32
    copy of the inputs; TensorFlow's kernel reads the inputs as they are, keeps the moments in
    float32 and rounds once. Synchronized replicas exchange all they need in one message, where
    Keras sends three. Masks, renormalization and inference go Keras's way.

    Args:
        **kwargs: As in `keras.layers.BatchNormalization`.

    Example:

    ```python
    y = BatchNormalization(momentum=0.9)(tf.ones((8, 4, 4, 3)), training=True)
    ```
    """

    def call(self, inputs, training=None, mask=None):
        if not training or mask is not None or not self._fits_the_kernel(inputs):
            return super().call(inputs, training=training, mask=mask)
        replica = tf.distribute.get_replica_context()
        is_alone = replica is None or replica.num_replicas_in_sync == 1
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        if is_alone or not self.synchronized:
            outputs, mean, variance = self._normalize(inputs)
            variance *= (count - 1) / count  # Keras's is biased.
        else:
            outputs, mean, variance = self._normalize_with(replica, inputs, count)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance)
        return outputs

    def _normalize(self, inputs):
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs if inputs.shape.rank == 4 else inputs[:, tf.newaxis, tf.newaxis],
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            epsilon=self.epsilon,
        )
        return tf.reshape(outputs, tf.shape(inputs)), mean, variance

    def _normalize_with(self, replica, inputs, count):
        x = inputs if inputs.shape.rank == 4 else inputs[:, tf.newaxis, tf.newaxis]
        scale, offset = tf.cast(self.gamma, tf.float32), tf.cast(self.beta, tf.float32)
        outputs, mean, variance = _normalize_over(replica, x, scale, offset, count, self.epsilon)
        return tf.reshape(outputs, tf.shape(inputs)), mean, variance

    def _fits_the_kernel(self, inputs):
        return (
            self.trainable
            and self.scale
            and self.center
            and not getattr(self, "renorm", False)  # Keras has it from 3.14 on.
            and self.epsilon > 1.001e-5  # the kernel's least
            and inputs.dtype in (tf.float32, tf.bfloat16)
            and inputs.shape.rank in (2, 4)
            and self.axis in (-1, inputs.shape.rank - 1)
        )

    def make_plain(self):
        """Returns Keras's layer for `km.to_keras`, of one replica: other backends have no other."""
        config = {**self.get_config(), "synchronized": False}
        return plain_models.make_copy(self, keras.layers.BatchNormalization, config)

    def _follow(self, moving, value):
        moving.assign(moving * self.momentum + value * (1 - self.momentum))


def _normalize_over(replica, x, scale, offset, count, epsilon):
    """Returns `x` after batch norm over all replicas, their mean and their biased variance.

    One message carries the sums of each replica's examples forward, one those of their gradients
    back, in which each replica's share of `scale`'s and `offset`'s gradient is. Four passes over
    the inputs, each by a kernel of TensorFlow; written as sums and products, they would be eleven.

    Args:
        replica: `tf.distribute.ReplicaContext`.
        x: Tensor `[batch, height, width, channels]`, this replica's.
        scale, offset: Float32 tensors `[channels]`.
        count: Float32 scalar, values of a channel in `x`.
        epsilon: Float.
    """
    width = x.shape[-1]

    @tf.custom_gradient
    def normalized(x, scale, offset):
        _, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, scale, offset, epsilon=epsilon)
        # The kernel's variance is that of a sample.
        square = variance * (count - 1) / count + tf.square(mean)
        sums = tf.concat((mean * count, square * count, count[tf.newaxis]), axis=0)
        sums, total = tf.split(replica.all_reduce("sum", sums), (2 * width, 1))
        mean, square = tf.split(sums / total, 2)
        variance = tf.maximum(square - tf.square(mean), 0.0)
        outputs = _by_moments(x, scale, offset, mean, variance, epsilon)

        def gradient(slope, *_):
            slope_x, own_scale, own_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=slope,
                x=x,
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros([0]),
                epsilon=epsilon,
                is_training=False,
            )
            sums = replica.all_reduce("sum", tf.concat((own_scale, own_offset), axis=0))
            # Through the moments: Ioffe and Szegedy 2015 (arXiv 1502.03167), section 3.
            through = -tf.math.rsqrt(variance + epsilon) * scale / total
            for_scale, for_offset = tf.split(sums, 2)
            moved = _by_moments(
                x, through * for_scale, through * for_offset, mean, variance, epsilon
            )
            return slope_x + moved, own_scale, own_offset

        return (outputs, tf.stop_gradient(mean), tf.stop_gradient(variance)), gradient

    return normalized(x, scale, offset)


def _by_moments(x, scale, offset, mean, variance, epsilon):
    outputs, *_ = tf.compat.v1.nn.fused_batch_norm(
        x, scale, offset, mean, variance, epsilon, is_training=False
    )
    return outputs


@keras.saving.register_keras_serializable(package="kerasmodes")
class UpSamplingConv2D(keras.layers.Conv2D):
    """`keras.layers.UpSampling2D` and a 3x3 `keras.layers.Conv2D` in one, in half of their time.

    Up-sampling repeats each pixel in a block of 2x2, so of the nine products for a pixel of the
    result several have the same factor. Their kernels are added first: one transposed convolution
    with a kernel of 4x4 and stride 2 has 16 products for each pixel of the input, where a 3x3
    convolution of the larger image has 36. The padding is "same".

    Args:
        filters, **kwargs: As in `keras.layers.Conv2D`, without kernel size, strides and padding.

    Example:

    ```python
    y = UpSamplingConv2D(16)(tf.ones((8, 7, 7, 32)))  # [8, 14, 14, 16]
    ```
    """

    def __init__(self, filters, **kwargs):
        super().__init__(filters, 3, padding="same", **kwargs)

    def convolution_op(self, inputs, kernel):
        *_, channels, filters = kernel.shape
        kernel = tf.reshape(tf.cast(kernel, tf.float32), (9, channels * filters))
        kernel = tf.reshape(tf.matmul(SUMS_OF_WEIGHTS, kernel), (4, 4, channels, filters))
        kernel = tf.cast(tf.transpose(kernel, (0, 1, 3, 2)), inputs.dtype)
        batch_size, height, width, _ = keras.ops.shape(inputs)
        shape = (batch_size, 2 * height, 2 * width, filters)
        return tf.nn.conv2d_transpose(inputs, kernel, shape, strides=2, padding="SAME")

    def compute_output_shape(self, input_shape):
        batch_size, *sizes, _ = input_shape
        return (batch_size, *(None if size is None else 2 * size for size in sizes), self.filters)

    def get_config(self):
        config = super().get_config()
        return {name: config[name] for name in config if name not in ("kernel_size", "padding")}

    def make_plain(self):
        """Returns Keras's two layers for `km.to_keras`."""
        size = {"kernel_size": 3, "padding": "same"}
        plain = keras.Sequential(
            [
                keras.Input(self.get_build_config()["input_shape"][1:]),
                keras.layers.UpSampling2D(),
                keras.layers.Conv2D.from_config({**self.get_config(), **size}),
            ],
            name=self.name,
        )
        plain.set_weights(self.get_weights())
        return plain


@keras.saving.register_keras_serializable(package="kerasmodes")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` for few filters (say, RGB), stride 1 and the padding "same".

    A kernel for one filter leaves most of a vector register idle. Here a matrix product computes
    what each pixel sends to each of its neighbours, and a small convolution adds up what arrives:
    a third of the time. The product is taken in the dtype of the inputs, the rest, with the
    activation, in the dtype of the policy; so give `dtype="float32", autocast=False`.

    Args:
        **kwargs: As in `keras.layers.Conv2DTranspose`, without strides.

    Example:

    ```python
    y = Conv2DTranspose(1, 5, padding="same", activation="tanh")(tf.ones((8, 4, 4, 128)))
    ```
    """

    def call(self, inputs):
        *size, filters, channels = self.kernel.shape
        rays = math.prod(size) * filters
        kernel = tf.reshape(self.kernel, (1, 1, rays, channels))
        kernel = tf.cast(tf.transpose(kernel, (0, 1, 3, 2)), inputs.dtype)
        sent = tf.cast(tf.nn.conv2d(inputs, kernel, 1, "SAME"), self.compute_dtype)
        receivers = tf.reshape(tf.eye(rays, dtype=sent.dtype), (*size, filters, rays))
        shape = tf.concat([tf.shape(inputs)[:-1], [filters]], axis=0)
        outputs = tf.nn.conv2d_transpose(sent, receivers, shape, 1) + self.bias
        return self.activation(outputs)

    def make_plain(self):
        """Returns Keras's layer for `km.to_keras`."""
        return plain_models.make_copy(self, keras.layers.Conv2DTranspose, self.get_config())
