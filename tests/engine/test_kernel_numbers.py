"""Tests of what XLA settles in its own way: SELU at 0, ties in max pooling, small quantiles."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import kernel_numbers
from kerasmodes.engine.executors import traced_steps

GENERATOR = np.random.default_rng(0)


def differentiate(function, points, for_xla):
    """Returns the gradient of a weighted sum of a function's values."""
    kernel_numbers.keep_numbers()

    @tf.function(autograph=False, jit_compile=for_xla or None)
    def find_gradient(points):
        with tf.GradientTape() as tape:
            tape.watch(points)
            values = tf.reshape(function(points), [-1])
            total = tf.tensordot(values, tf.range(1.0, 1.0 + values.shape[0]), 1)
        return tape.gradient(total, points)

    if not for_xla:
        return find_gradient(points).numpy()

    @tf.function(autograph=False)
    def find_for_xla(points):
        with traced_steps.open_xla_context():
            return find_gradient(points)

    return find_for_xla(points).numpy()


def check_gradient(function, points):
    expected = differentiate(function, points, for_xla=False)
    np.testing.assert_allclose(differentiate(function, points, for_xla=True), expected, rtol=1e-5)


def test_selu_has_its_slope_from_above_at_0():
    check_gradient(tf.nn.selu, tf.constant([0.0, -0.0, 1.0, -1.0]))


def test_quantiles_of_small_probabilities_and_their_gradients_are_right():
    probabilities = tf.constant([1e-10, 1e-7, 1e-5, 0.02, 0.5, 0.999])
    check_gradient(tf.math.ndtri, probabilities)
    check_gradient(tf.math.erfcinv, probabilities)


@pytest.mark.parametrize(
    ("size", "window", "stride"),
    [
        (6, 3, 2),
        *(pytest.param(*sizes, marks=pytest.mark.sweep) for sizes in ((5, 2, 2), (7, 3, 2))),
    ],
)
def test_the_first_of_equal_numbers_has_the_gradient_of_a_pool(size, window, stride):
    images = tf.constant(GENERATOR.integers(0, 3, (4, size, size, 2)).astype("float32"))
    check_gradient(lambda x: tf.nn.max_pool2d(x, window, stride, "SAME"), images)


@pytest.mark.sweep
def test_pools_of_other_ranks_too():
    lines = tf.constant(GENERATOR.integers(0, 3, (4, 6, 2)).astype("float32"))
    check_gradient(lambda x: tf.nn.max_pool1d(x, 3, 2, "SAME"), lines)
    volumes = tf.constant(GENERATOR.integers(0, 3, (2, 4, 4, 4, 2)).astype("float32"))
    check_gradient(lambda x: tf.nn.max_pool3d(x, 3, 2, "SAME"), volumes)


class Offsets(keras.layers.Layer):
    """Adds a number to each pixel."""

    def build(self, shape):
        self.offsets = self.add_weight(shape=shape[1:], initializer="zeros")

    def call(self, x):
        return x + self.offsets


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_a_network_trains_as_in_a_graph(mode):
    images = GENERATOR.integers(0, 2, (2, 6, 6, 1)).astype("float32") - 1

    def train(mode):
        pool = keras.layers.MaxPooling2D(3, 2, padding="same")
        model = km.Sequential([keras.Input((6, 6, 1)), Offsets(), keras.layers.Activation("selu")])
        model.add(pool)
        model.compile(keras.optimizers.SGD(10.0), "mse", mode=mode)
        model.fit(images, np.ones((2, 3, 3, 1), "float32"), verbose=0)
        return model.get_weights()[0]

    np.testing.assert_allclose(train(mode), train("graph"), rtol=1e-5, atol=1e-6)
