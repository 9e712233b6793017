"""Tests that a gradient of zero is zero in XLA too where a function's slope is infinite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import zero_gradients

POINTS = [0.0, 1.0, 4.0, 0.0]
STEEP = [tf.sqrt, tf.math.rsqrt, tf.math.reciprocal]


def differentiate(function, weights, **kwargs):
    """Returns the gradient of a weighted sum of a function's values."""

    @tf.function(**kwargs)
    def find_gradient(points, weights):
        with tf.GradientTape() as tape:
            tape.watch(points)
            total = tf.reduce_sum(function(points) * weights)
        return tape.gradient(total, points)

    return find_gradient(tf.constant(POINTS), tf.constant(weights)).numpy()


@pytest.mark.parametrize("function", STEEP)
def test_what_counts_nothing_has_no_gradient(function):
    zero_gradients.keep_zeros()
    weights = [0.0, 0.0, 2.0, 0.0]
    compiled = differentiate(function, weights, jit_compile=True)
    np.testing.assert_array_equal(compiled[[0, 1, 3]], 0.0)
    np.testing.assert_allclose(compiled, differentiate(function, weights), rtol=1e-6)


@pytest.mark.parametrize("function", STEEP)
def test_what_counts_has_an_infinite_gradient(function):
    zero_gradients.keep_zeros()
    weights = [1.0, 1.0, 1.0, 1.0]
    compiled = differentiate(function, weights, jit_compile=True)
    assert np.isinf(compiled[[0, 3]]).all()
    np.testing.assert_allclose(compiled, differentiate(function, weights), rtol=1e-6)


@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_outputs_without_a_direction_train_as_in_a_graph(mode):
    def train(mode):
        dense = keras.layers.Dense(2, kernel_initializer="ones")
        model = km.Sequential([keras.Input((2,)), dense])
        model.compile(keras.optimizers.SGD(0.5), keras.losses.CosineSimilarity(), mode=mode)
        x = np.array([[0, 0], [1, 2]], "float32")  # Without a bias yet, the first output is 0.
        model.fit(x, np.array([[1, 0]] * 2, "float32"), verbose=0)
        return model.get_weights()

    for value, expected in zip(train(mode), train("graph"), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_gradient_of_a_gradient_of_zero_is_kept():
    zero_gradients.keep_zeros()

    def differentiate_twice(**kwargs):
        @tf.function(**kwargs)
        def find_gradient(points, weights):
            with tf.GradientTape() as outer:
                outer.watch(weights)
                with tf.GradientTape() as tape:
                    tape.watch(points)
                    total = tf.reduce_sum(tf.sqrt(points) * weights)
                slopes = tape.gradient(total, points)
            return outer.gradient(slopes, weights)

        return find_gradient(tf.constant([4.0, 1.0]), tf.constant([0.0, 0.0])).numpy()

    np.testing.assert_allclose(differentiate_twice(jit_compile=True), [0.25, 0.5])
    np.testing.assert_allclose(differentiate_twice(), [0.25, 0.5])
