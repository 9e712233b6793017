"""Tests of the average of a network's weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.models.msg_gan.moving_average import WARM_UP, MovingAverage

IMAGES = np.random.default_rng(0).uniform(-1, 1, (12, 4, 4, 1)).astype("float32")


def make_network(value):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    network.set_weights([np.full((2, 1), value, "float32")])
    return network


def test_after_its_half_life_a_weight_counts_half():
    average = MovingAverage(make_network(0.0), half_life=50)
    average.images_seen.assign(10**9)  # Long past the warm-up.
    for _ in range(5):
        average.follow(make_network(1.0), num_images=10)
    np.testing.assert_allclose(average.network.get_weights()[0], 0.5, rtol=1e-5)


def test_at_first_it_forgets_faster():
    average = MovingAverage(make_network(0.0), half_life=10**9)
    average.follow(make_network(1.0), num_images=100)
    np.testing.assert_allclose(average.network.get_weights()[0], 1 - 0.5 ** (1 / WARM_UP), 1e-5)
    assert int(average.images_seen.numpy()) == 100


# XLA compiles a program for each size.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "sizes"),
    [
        ("eager", (4, 4)),
        pytest.param("graph", (4, 4), marks=pytest.mark.sweep),
        pytest.param("graph", (8, 4), marks=pytest.mark.sweep),
        pytest.param("fused", (4, 4), marks=pytest.mark.sweep),
    ],
)
def test_the_gans_average_follows_weights_and_statistics(mode, sizes):
    preset = km.presets.Default(8, 8, half_life=6)
    gan = km.MSGGAN((4, 4, 1), 1, 3, preset=preset, seed=0)
    for one, other in zip(gan.average.network.weights, gan.generator.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    gan.compile("sgd", "sgd", penalties=None, mode=mode)
    expected, seen = gan.average.network.get_weights(), 0
    for size in sizes:
        gan.fit(IMAGES[:size], batch_size=size, verbose=0)
        seen += size
        share = 1 - 0.5 ** (size / min(6, WARM_UP * seen))
        newest = gan.generator.get_weights()
        expected = [e + share * (n - e) for e, n in zip(expected, newest, strict=True)]
    for one, other in zip(gan.average.network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert any("moving_variance" in weight.path for weight in gan.average.network.weights)


@pytest.mark.slow
def test_the_average_generates_unless_told_otherwise():
    gan = km.MSGGAN((4, 4, 1), 2, 3, preset=km.presets.Default(8, 8), seed=0)
    gan.generator.set_weights([2 * weight + 1 for weight in gan.generator.get_weights()])
    latents = km.random.normal((2, 3), seed=km.random.SeedGenerator(5))
    averaged, plain = (network(latents)[-1] for network in (gan.average.network, gan.generator))
    assert np.any(averaged != plain)
    np.testing.assert_array_equal(gan.generate(2, seed=5)[-1], averaged)
    np.testing.assert_array_equal(gan.generate(2, seed=5, averaged=False)[-1], plain)
    np.testing.assert_array_equal(gan(latents)[-1], averaged)


@pytest.mark.slow
def test_the_average_is_evaluated_unless_told_otherwise():
    gan = km.MSGGAN((4, 4, 1), 1, 3, preset=km.presets.Default(8, 8), seed=0)
    gan.compile("sgd", "sgd", penalties=None, mode="eager")
    ways = [{}, {"averaged": False}, {"averaged": True}]
    same = [gan.evaluate(IMAGES, return_dict=True, verbose=0, **way)["g_loss"] for way in ways]
    assert len(set(same)) == 3  # Each draws anew.
    state = gan.test_seed_generator.state
    gan.generator.set_weights([2 * weight + 1 for weight in gan.generator.get_weights()])
    losses = []
    for way in ways:
        state.assign(0 * state)
        losses.append(gan.evaluate(IMAGES, return_dict=True, verbose=0, **way)["g_loss"])
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.slow
def test_an_exported_model_serves_what_the_average_makes(tmp_path):
    gan = km.MSGGAN((4, 4, 1), 1, 3, num_classes=2, preset=km.presets.Default(8, 8), seed=0)
    gan.generator.set_weights([2 * weight + 1 for weight in gan.generator.get_weights()])
    gan.export(tmp_path / "served", verbose=False)
    latents = km.random.normal((5, 3), seed=km.random.SeedGenerator(5))
    loaded = tf.saved_model.load(tmp_path / "served")
    labels = tf.constant([1, 1, 0, 0, 1])
    images = loaded.serve([latents, labels])
    np.testing.assert_allclose(images, gan(latents, labels)[-1], atol=1e-6)


@pytest.mark.slow
def test_the_average_is_not_trained():
    gan = km.MSGGAN((4, 4, 1), 1, 3, preset=km.presets.Default(8, 8))
    trained = len(gan.generator.trainable_variables) + len(gan.discriminator.trainable_variables)
    assert len(gan.trainable_variables) == trained
    assert gan.average.trainable_variables == []


def test_an_average_is_saved(tmp_path):
    inputs = keras.Input((2,))
    average = MovingAverage(make_network(0.0), half_life=50)
    model = keras.Model(inputs, average(inputs))
    average.follow(make_network(1.0), num_images=10)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert again.half_life == 50
    assert int(again.images_seen.numpy()) == 10
    np.testing.assert_array_equal(again(tf.ones((1, 2))), average(tf.ones((1, 2))))
