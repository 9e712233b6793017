"""One dropout layer, forward and backward, in a `tf.function`: kerasmodes' or Keras's."""

import time

import keras
import tensorflow as tf

import kerasmodes as km

LIBRARIES = {"keras.layers": keras.layers, "km.random": km.random}


def make(library, shape, calls=50):
    """Returns a function that times `calls` calls.

    Args:
        library: `"keras.layers"` or `"km.random"`.
        shape: Shape of the input.
        calls: Calls in a run.
    """
    layer = LIBRARIES[library].Dropout(0.3, seed=0)
    x = tf.random.stateless_normal(shape, [0, 0])

    @tf.function
    def forward_and_backward(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, x)

    def run():
        start = time.perf_counter()
        for _ in range(calls):
            outputs = forward_and_backward(x)
        outputs[1].numpy()
        return {"samples": [1e6 * (time.perf_counter() - start) / calls]}

    run()
    return run
