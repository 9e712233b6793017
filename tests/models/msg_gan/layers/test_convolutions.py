"""Tests of the layers: Keras's own are the reference, in numbers, gradients and weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.models.msg_gan.layers import convolutions

KINDS = (convolutions.BatchNormalization, convolutions.Conv2DTranspose)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(2, 3, shape).astype("float32")


def results(layer, x, weights, **arguments):
    """Returns outputs, gradients by input and weights, and the weights after one call."""
    x = tf.convert_to_tensor(x)
    layer.build(x.shape)
    layer.set_weights(weights)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **arguments)
        loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
    gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    return [y, *gradients, *layer.get_weights()]


def assert_close(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        one, other = (np.asarray(tf.cast(values, tf.float32)) for values in (one, other))
        np.testing.assert_allclose(one, other, tolerance, tolerance * np.abs(other).max())


def both(kind, x, weights, arguments, **call_arguments):
    stock = getattr(keras.layers, kind.__name__)
    return [results(one(**arguments), x, weights, **call_arguments) for one in (kind, stock)]


NORMALISATION_WEIGHTS = [draw(5, seed=seed) ** 2 for seed in range(4)]


@pytest.mark.parametrize("shape", [(8, 4, 3, 5), (32, 5), (3, 1, 1, 5)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("synchronized", [True, False])
def test_batch_norm_is_kerass(shape, training, synchronized):
    arguments = {"momentum": 0.7, "synchronized": synchronized}
    ours, kerass = both(
        convolutions.BatchNormalization,
        draw(*shape),
        NORMALISATION_WEIGHTS,
        arguments,
        training=training,
    )
    assert_close(ours, kerass, 1e-4)


@pytest.mark.parametrize(
    "arguments",
    [{"scale": False}, {"center": False}, {"epsilon": 1e-7}, {"trainable": False}, {"axis": 1}],
    ids=str,
)
def test_what_the_kernel_cannot_do_goes_kerass_way(arguments):
    x = draw(6, 5, 2, 5)
    size = 2 + arguments.get("scale", True) + arguments.get("center", True)
    weights = NORMALISATION_WEIGHTS[:size]
    ours, kerass = both(convolutions.BatchNormalization, x, weights, arguments, training=True)
    assert_close(ours, kerass, 1e-6)


def test_masked_batch_norm_is_kerass():
    x, mask = draw(6, 5), np.arange(6) < 4
    ours, kerass = both(
        convolutions.BatchNormalization, x, NORMALISATION_WEIGHTS, {}, training=True, mask=mask
    )
    assert_close(ours, kerass, 1e-6)


def test_batch_norm_in_bfloat16_is_as_accurate_as_kerass():
    x = tf.cast(draw(64, 4, 4, 5), tf.bfloat16)
    weights = NORMALISATION_WEIGHTS
    exact = results(
        keras.layers.BatchNormalization(), tf.cast(x, tf.float32), weights, training=True
    )
    arguments = {"dtype": "mixed_bfloat16"}
    ours, kerass = both(convolutions.BatchNormalization, x, weights, arguments, training=True)
    assert ours[0].dtype == tf.bfloat16
    assert_close(ours[4:], exact[4:], 1e-5)  # moments follow in float32
    for one, other, truth in zip(ours[:4], kerass[:4], exact[:4], strict=True):
        ours_off, kerass_off = (
            np.abs(tf.cast(values, tf.float32) - truth).max() for values in (one, other)
        )
        assert ours_off <= 1.5 * kerass_off + 1e-6


FLOAT32 = "float32", keras.layers.BatchNormalization, 1e-4
BFLOAT16 = "mixed_bfloat16", convolutions.BatchNormalization, 2.0**-7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "policy", "alone", "tolerance"),
    [
        ((8, 5), *FLOAT32),
        pytest.param((8, 2, 2, 5), *BFLOAT16, marks=pytest.mark.sweep),
        pytest.param((8, 2, 2, 5), *FLOAT32, marks=pytest.mark.sweep),
        pytest.param((8, 5), *BFLOAT16, marks=pytest.mark.sweep),
    ],
)
def test_replicas_share_moments_and_gradients(two_replicas, shape, policy, alone, tolerance):
    alone = alone(dtype=policy)
    x = tf.cast(draw(*shape), alone.compute_dtype)
    expected = results(alone, x, NORMALISATION_WEIGHTS, training=True)
    with two_replicas.scope():
        layer = convolutions.BatchNormalization(synchronized=True, dtype=policy)
        layer.build((None, *shape[1:]))
        layer.set_weights(NORMALISATION_WEIGHTS)
    halves = tf.data.Dataset.from_tensor_slices(x).batch(8)
    batch = next(iter(two_replicas.experimental_distribute_dataset(halves)))

    def on_replica(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
        return y, *tape.gradient(loss, [x, *layer.trainable_variables])

    y, by_x, *by_weights = tf.function(lambda: two_replicas.run(on_replica, (batch,)))()
    found = [*(tf.concat(one.values, 0) for one in (y, by_x)), *(sum(w.values) for w in by_weights)]
    assert found[0].dtype == alone.compute_dtype
    assert_close(found, expected[:4], tolerance)
    assert_close(layer.get_weights(), expected[4:], 1e-4)  # moments follow in float32


@pytest.mark.parametrize("filters", [1, 3])
@pytest.mark.parametrize("size", [5, 3, (1, 3)])
def test_few_filters_give_kerass_images(filters, size):
    rows, columns = (size, size) if isinstance(size, int) else size
    weights = [draw(rows, columns, filters, 7), draw(filters)]
    arguments = {"filters": filters, "kernel_size": size, "padding": "same", "activation": "tanh"}
    x = draw(2, 6, 5, 7) / 50
    ours, kerass = both(convolutions.Conv2DTranspose, x, weights, arguments)
    assert_close(ours, kerass, 1e-4)


def test_images_from_bfloat16_are_float32_and_lose_its_rounding_only():
    weights = [draw(5, 5, 1, 128) / 100, draw(1)]
    arguments = {"filters": 1, "kernel_size": 5, "padding": "same", "dtype": "float32"}
    x = tf.cast(draw(2, 6, 6, 128), tf.bfloat16)
    layer = convolutions.Conv2DTranspose(**arguments, autocast=False)
    rounded = results(layer, x, weights)[0]
    exact = results(keras.layers.Conv2DTranspose(**arguments), tf.cast(x, tf.float32), weights)[0]
    assert rounded.dtype == tf.float32
    assert_close([rounded], [exact], 2**-8)


def make_up_sampling_pair(**arguments):
    """Returns the layer, and Keras's two with the same weights."""
    layer = convolutions.UpSamplingConv2D(4, **arguments)
    convolution = keras.layers.Conv2D(4, 3, padding="same", **arguments)
    pair = keras.Sequential([keras.layers.UpSampling2D(), convolution])
    return layer, pair


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("size", [(5, 2), (1, 1)])
def test_up_sampling_and_convolution_in_one_are_kerass_two(size, use_bias):
    arguments = {"use_bias": use_bias, "activation": "tanh"}
    weights = [draw(3, 3, 3, 4) / 50, draw(4)][: 1 + use_bias]
    ours, kerass = (
        results(one, draw(2, *size, 3), weights) for one in make_up_sampling_pair(**arguments)
    )
    assert ours[0].shape == (2, 2 * size[0], 2 * size[1], 4)
    assert_close(ours, kerass, 1e-5)


def test_up_sampling_in_bfloat16_loses_its_rounding_only():
    weights = [draw(3, 3, 3, 4) / 50, draw(4)]
    layer, pair = make_up_sampling_pair()
    layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    rounded = results(layer, draw(2, 5, 6, 3), weights)
    assert rounded[0].dtype == tf.bfloat16
    assert_close(rounded[:1], results(pair, draw(2, 5, 6, 3), weights)[:1], 2**-7)


def test_up_sampling_keeps_its_config_its_weights_and_sizes_not_known():
    model = keras.Sequential(
        [keras.Input((None, None, 3)), convolutions.UpSamplingConv2D(4, kernel_regularizer="l2")]
    )
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    x = draw(2, 3, 5, 3)
    assert copy.output_shape == (None, None, None, 4)
    assert copy.layers[0].get_config() == model.layers[0].get_config()
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_allclose(km.to_keras(model)(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_files_name_the_weights_as_kerass_layers(tmp_path, kind):
    arguments = {"filters": 1, "kernel_size": 3} if kind is convolutions.Conv2DTranspose else {}
    arguments |= {"padding": "same"} if arguments else {}
    stock, ours = (
        keras.Sequential([keras.Input((4, 4, 2)), one(**arguments)])
        for one in (getattr(keras.layers, kind.__name__), kind)
    )
    stock.save_weights(tmp_path / "stock.weights.h5")
    ours.load_weights(tmp_path / "stock.weights.h5")
    x = draw(1, 4, 4, 2)
    np.testing.assert_allclose(ours(x), stock(x), rtol=1e-5, atol=1e-5)
