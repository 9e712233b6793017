"""Tests of the paper's layers against their formulas."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan.layers import progressive as layers

X = np.random.default_rng(0).normal(size=(8, 3, 3, 5)).astype("float32")


def test_a_dense_kernel_is_scaled_when_used():
    layer = layers.EqualizedDense(4, gain=3.0)
    outputs = layer(X)
    np.testing.assert_allclose(outputs, X @ layer.kernel.numpy() * 3 / math.sqrt(5), rtol=1e-5)


def test_a_convolution_kernel_is_scaled_when_used():
    layer = layers.EqualizedConv2D(4, 3, padding="same", gain=1.0)
    outputs = layer(X)
    kernel = layer.kernel.numpy() / math.sqrt(3 * 3 * 5)
    np.testing.assert_allclose(outputs, tf.nn.conv2d(X, kernel, 1, "SAME"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [layers.EqualizedDense, lambda n: layers.EqualizedConv2D(n, 3)])
def test_kernels_start_standard_normal_and_keep_the_variance(make):
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(0).normal(size=(64, 3, 3, 64)).astype("float32")
    layer = make(256)
    outputs = layer(inputs).numpy()
    assert layer.kernel.numpy().std() == pytest.approx(1.0, abs=0.02)
    assert outputs.std() == pytest.approx(math.sqrt(2), rel=0.05)  # A leaky ReLU halves it.


def test_pixels_have_unit_mean_square():
    outputs = layers.PixelNormalization()(X).numpy()
    np.testing.assert_allclose(np.mean(outputs**2, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        outputs * np.linalg.norm(X, axis=-1, keepdims=True), X * 5**0.5, 1e-4
    )


def test_latents_lie_on_the_hypersphere():
    latents = np.random.default_rng(0).normal(size=(4, 16)).astype("float32")
    norms = np.linalg.norm(layers.PixelNormalization()(latents), axis=1)
    np.testing.assert_allclose(norms, 4, rtol=1e-5)


@pytest.mark.parametrize(("size", "group"), [(8, 4), (4, 4), (6, 6), (1, 1), (3, 3)])
def test_a_channel_says_how_much_neighbours_differ(size, group):
    outputs = layers.MinibatchStandardDeviation()(X[:size]).numpy()
    np.testing.assert_array_equal(outputs[..., :5], X[:size])
    for start in range(0, size, group):
        expected = np.mean(np.sqrt(X[start : start + group].var(axis=0) + 1e-8))
        np.testing.assert_allclose(outputs[start : start + group, ..., 5], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", [layers.PixelNormalization, layers.MinibatchStandardDeviation])
def test_half_precision_is_kept(kind):
    layer = kind(dtype="float16")
    outputs = layer(tf.cast(X * 300, tf.float16))  # Its square is infinite in float16.
    assert outputs.dtype == tf.float16
    assert np.all(np.isfinite(outputs))


@pytest.mark.parametrize(
    "layer",
    [
        layers.EqualizedDense(2, gain=0.5),
        layers.EqualizedConv2D(2, 3, gain=0.5),
        layers.PixelNormalization(),
        layers.MinibatchStandardDeviation(),
    ],
)
def test_a_layer_is_saved(layer):
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    assert type(again) is type(layer)
