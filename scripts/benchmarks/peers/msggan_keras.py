"""`km.MSGGAN` through `fit` in mode graph, and the time of its convolutions alone.

The PyTorch twin is in `msggan_torch.py`.
"""

import time

import keras
import numpy as np
import tensorflow as tf

import kerasmodes as km
from peers.sum_in_keras import EpochTimer

BATCH_SIZE = 64
IMAGE_SHAPE = (28, 28, 1)
CONVOLUTIONS = {
    keras.layers.Conv2D: tf.nn.conv2d,
    keras.layers.Conv2DTranspose: tf.nn.conv2d_transpose,
}


def make_fit(policy, num_steps):
    """Returns a function that trains for an epoch of `num_steps` batches.

    Args:
        policy: `"float32"` or `"mixed_bfloat16"`.
        num_steps: Steps of one run.
    """
    gan = _make_gan(policy)
    gan.compile(mode="graph")
    shape = (num_steps * BATCH_SIZE, *IMAGE_SHAPE)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    timer = EpochTimer()

    def run():
        timer.seconds = []
        gan.fit(images, batch_size=BATCH_SIZE, epochs=1, verbose=0, callbacks=[timer])
        return {"samples": [1e3 * seconds / num_steps for seconds in timer.seconds]}

    gan.fit(images[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    return run


def make_convolutions(policy, calls=3):
    """Returns a function that times each convolution's forward pass and both its gradients.

    A convolution of the generator counts once per step. One of the discriminator counts twice, for
    real and fake images. Everything else is left out, for example the discriminator's third
    gradient, the one of the generator's loss at the images.
    """
    gan = _make_gan(policy)
    layers = {}
    for network, count in ((gan.generator, 1), (gan.discriminator, 2)):
        for layer in network.layers:
            if type(layer) in CONVOLUTIONS:
                name, function = _isolate_convolution(layer)
                layers.setdefault(name, [function, 0])[1] += count

    def run():
        milliseconds = {}
        for name, (function, count) in layers.items():
            start = time.perf_counter()
            for _ in range(calls):
                outputs = function()
            outputs[-1][0, 0, 0, 0].numpy()
            milliseconds[name] = 1e3 * count * (time.perf_counter() - start) / calls
        return {"samples": [sum(milliseconds.values())], "layers": milliseconds}

    run()
    return run


def _make_gan(policy):
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return km.MSGGAN.from_preset("tutorial", image_shape=IMAGE_SHAPE)
    finally:
        keras.config.set_dtype_policy(before)


def _isolate_convolution(layer):
    """Returns a name, and a function that runs the layer's convolution with its gradients."""
    input_shape = (BATCH_SIZE, *layer.input.shape[1:])
    output_shape = (BATCH_SIZE, *layer.output.shape[1:])
    x = tf.cast(tf.random.stateless_normal(input_shape, [0, 0]), layer.compute_dtype)
    kernel = tf.cast(layer.kernel, layer.compute_dtype)
    upstream = tf.cast(tf.random.stateless_normal(output_shape, [0, 1]), layer.compute_dtype)
    convolution = CONVOLUTIONS[type(layer)]
    is_transposed = convolution is tf.nn.conv2d_transpose
    sizes = {"output_shape": output_shape} if is_transposed else {}

    @tf.function
    def function():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolution(x, kernel, strides=layer.strides, padding="SAME", **sizes)
        return [y, *tape.gradient(y, [x, kernel], upstream)]

    side = f"{input_shape[1]}→{output_shape[1]}"
    width = f"{input_shape[-1]}→{output_shape[-1]}"
    kind = " transposed" if is_transposed else ""
    return f"{side}{kind} {layer.kernel_size[0]}×{layer.kernel_size[0]} {width}", function
