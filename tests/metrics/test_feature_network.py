"""Tests of the shipped feature network: its weights, what it returns and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.metrics.feature_network import (
    WEIGHTS_FILE,
    FeatureNetwork,
    feature_network,
    make_network,
    read_weights,
    set_weights,
)


@pytest.fixture(scope="module")
def network():
    return feature_network(with_classes=True)


@pytest.fixture(scope="module")
def test_set():
    """The 256 test images of the bundled sample, unseen in training, and their labels."""
    batches = km.data.images(split="test", batch_size=256, with_labels=True)
    return next(iter(batches))


@pytest.fixture(scope="module")
def outputs(network, test_set):
    return network(test_set[0])


def test_images_become_float32_features(test_set):
    features = feature_network()(test_set[0][:3])
    assert features.shape == (3, 64)
    assert features.dtype == tf.float32


@pytest.mark.slow
def test_classes_are_probabilities_beside_the_same_features(test_set, outputs):
    features, probabilities = outputs
    assert probabilities.shape == (256, 10)
    np.testing.assert_allclose(tf.reduce_sum(probabilities, axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(features, feature_network()(test_set[0]))


def test_it_classifies_unseen_clothes(test_set, outputs):
    # 0.941 of these 256, 0.938 of all 10,000 test images; chance is 0.1.
    accuracy = np.mean(np.argmax(outputs[1], axis=-1) == test_set[1])
    assert accuracy > 0.90


def test_nothing_of_the_features_is_dead_or_below_zero(outputs):
    assert np.min(outputs[0]) >= 0
    assert np.all(np.std(outputs[0], axis=0) > 0.01)


@pytest.mark.slow
def test_clothes_are_nearer_to_clothes_than_noise_is(network, test_set, outputs):
    noise = np.random.default_rng(0).uniform(-1, 1, (100, 28, 28, 1)).astype("float32")
    clothes = km.data.images(split="train[:100]", batch_size=100, seed=0)
    of_clothes, of_noise = (
        np.linalg.norm(network(images)[0][:, np.newaxis] - outputs[0], axis=-1).min(axis=1)
        for images in (next(iter(clothes)), noise)
    )
    assert np.median(of_noise) > 2 * np.median(of_clothes)


@pytest.mark.slow
def test_features_do_not_depend_on_the_rest_of_the_batch(network, test_set, outputs):
    features, _ = network.predict(test_set[0][:16], batch_size=7, verbose=0)
    np.testing.assert_allclose(features, outputs[0][:16], rtol=1e-4, atol=1e-5)


def test_a_mixed_policy_changes_nothing(network, test_set):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        features = feature_network()(test_set[0][:16])
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(features, network(test_set[0][:16])[0])


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float64])
def test_other_floats_are_cast(network, test_set, outputs, dtype):
    features, _ = network(tf.cast(test_set[0][:16], dtype))
    assert features.dtype == tf.float32
    np.testing.assert_allclose(features, outputs[0][:16], atol=0.05)


def test_it_does_not_train(network):
    assert network.trainable_variables == []


def test_it_runs_in_a_tf_function(network, test_set, outputs):
    features, _ = tf.function(network)(test_set[0][:16])
    np.testing.assert_allclose(features, outputs[0][:16], rtol=1e-4, atol=1e-5)


def test_the_config_brings_back_the_weights(network, test_set):
    config = keras.saving.serialize_keras_object(network)
    features, _ = keras.saving.deserialize_keras_object(config)(test_set[0][:16])
    np.testing.assert_array_equal(features, network(test_set[0][:16])[0])


@pytest.mark.slow
def test_a_model_that_contains_it_is_saved_and_loaded(tmp_path, test_set):
    images = keras.Input((28, 28, 1))
    model = keras.Model(images, keras.layers.Dense(2)(feature_network()(images)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(test_set[0][:16]), model(test_set[0][:16]))


def test_the_file_is_small():
    assert WEIGHTS_FILE.stat().st_size < 600_000


def test_the_file_holds_the_weights_and_nothing_else():
    network = make_network()
    names = {f"{layer.name}_{w.name}" for layer in network.layers for w in layer.weights}
    assert set(read_weights(WEIGHTS_FILE)) == names


def test_weights_are_set_by_name():
    network = make_network()
    weights = read_weights(WEIGHTS_FILE)
    set_weights(network, dict(reversed(weights.items())))
    np.testing.assert_array_equal(network.get_layer("last").kernel, weights["last_kernel"])


def test_a_tampered_file_is_refused(tmp_path):
    content = bytearray(WEIGHTS_FILE.read_bytes())
    content[len(content) // 2] ^= 1
    copy = tmp_path / "copy.npz"
    copy.write_bytes(content)
    with pytest.raises(RuntimeError, match="must have the SHA-256 .* Received: '.*copy.npz' with"):
        read_weights(copy)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="Received: no file '.*absent.npz'"):
        read_weights(tmp_path / "absent.npz")


@pytest.mark.parametrize("shape", [(2, 32, 32, 1), (2, 28, 28, 3), (2, 28, 28), (28, 28, 1)])
def test_other_shapes_are_refused_with_a_way_out(network, shape):
    with pytest.raises(ValueError, match=r"(?s)\[batch, 28, 28, 1\].*Received.*any Keras model"):
        network(np.zeros(shape, "float32"))


def test_bytes_are_refused_with_a_way_out(network):
    with pytest.raises(TypeError, match=r"floats in \[-1, 1\].*'uint8'.*images / 127.5 - 1"):
        network(np.zeros((2, 28, 28, 1), "uint8"))


def test_with_classes_is_a_bool():
    with pytest.raises(ValueError, match="`with_classes` must be True or False. Received: .*=1"):
        FeatureNetwork(with_classes=1)
