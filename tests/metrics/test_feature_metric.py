"""Tests of where features come from: the user, or any Keras model that makes them of images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes import metrics
from kerasmodes.metrics import feature_metric


def draw(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 6, 6, 1)).astype("float32")


def make_network(width=3):
    layers = [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(width)]
    return keras.Sequential(layers)


class Subclassed(keras.Model):
    """A model that cannot tell the shape of its outputs before it is built."""

    def __init__(self, outputs=1, **kwargs):
        super().__init__(**kwargs)
        self.outputs = outputs
        self.dense = keras.layers.Dense(3)

    def call(self, images):
        features = self.dense(keras.layers.Flatten()(images))
        return features if self.outputs == 1 else [features] * self.outputs


@pytest.mark.parametrize(
    "kind", [metrics.FrechetDistance, metrics.KernelDistance, metrics.PrecisionRecall]
)
def test_the_network_makes_the_features(kind):
    network = make_network()
    by_network, by_hand = kind(network=network), kind(num_features=3)
    by_network.update_state(draw(20), draw(15, seed=1))
    by_hand.update_state(network(draw(20)), network(draw(15, seed=1)))
    assert by_network.result() == by_hand.result()


def test_the_network_runs_as_in_inference():
    noisy = keras.Sequential([make_network(), keras.layers.Dropout(0.5)])
    noisy.build((None, 6, 6, 1))
    metric, plain = metrics.FrechetDistance(network=noisy), metrics.FrechetDistance(num_features=3)
    metric.update_state(draw(20), draw(20, seed=1))
    plain.update_state(noisy(draw(20)), noisy(draw(20, seed=1)))
    assert metric.result() == plain.result()


def test_reset_leaves_the_network_alone():
    network = make_network()
    metric = metrics.FrechetDistance(network=network)
    before = network.get_weights()
    metric.update_state(draw(8), draw(8))
    metric.reset_state()
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_features_in_half_precision_are_cast_up():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((6, 6, 1)), *layers])
    halved = keras.Sequential([network, keras.layers.Activation("linear", dtype="float16")])
    halved.build((None, 6, 6, 1))
    metric = metrics.KernelDistance(network=halved)
    metric.update_state(draw(8), draw(8, seed=1))
    assert metric.real_state()["examples"].dtype == "float32"
    assert np.isfinite(metric.result())


def test_nan_that_the_network_would_hide_is_found():
    hiding = keras.Sequential(
        [make_network(), keras.layers.Lambda(lambda x: tf.where(tf.math.is_nan(x), 0.0, x))]
    )
    hiding.build((None, 6, 6, 1))
    images = draw(4)
    images[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="`generated` must be finite"):
        metrics.FrechetDistance(network=hiding).update_state(draw(4), images)


def test_nan_that_the_network_makes_is_found():
    dividing = keras.Sequential([make_network(), keras.layers.Lambda(lambda x: x / 0.0)])
    dividing.build((None, 6, 6, 1))
    with pytest.raises(ValueError, match="`real` must be finite"):
        metrics.FrechetDistance(network=dividing).update_state(draw(4))


@pytest.mark.parametrize("kind", [metrics.FrechetDistance, metrics.DensityCoverage])
def test_the_network_is_in_the_config(kind):
    network = make_network()
    metric = kind(network=network)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.network is not network
    again.network.set_weights(network.get_weights())
    for one in (metric, again):
        one.update_state(draw(12), draw(12, seed=1))
    assert again.result() == metric.result()


@pytest.mark.slow
def test_the_shipped_network_fits_and_comes_back_with_its_weights():
    metric = metrics.FrechetDistance(network=metrics.feature_network())
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    images = np.random.default_rng(0).uniform(-1, 1, (8, 28, 28, 1)).astype("float32")
    for one in (metric, again):
        one.update_state(images, images / 2)
    assert again.result() == metric.result() > 0
    assert metric.real_state()["mean"].shape == (2, 64)


def test_a_subclassed_model_tells_its_width_once_built():
    network = Subclassed()
    with pytest.raises(ValueError, match="`network` must be built"):
        feature_metric.feature_width(None, network)
    network(draw(2))
    assert feature_metric.feature_width(None, network) == 3


def test_a_network_with_two_outputs_is_refused():
    network = Subclassed(outputs=2)
    network(draw(2))
    with pytest.raises(ValueError, match=r"`network` must be built and return one output .*3.*3"):
        metrics.KernelDistance(network=network)


def test_a_network_that_returns_images_is_refused():
    network = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match=r"one output of shape \[batch, width\].*4, 4, 3"):
        metrics.KernelDistance(network=network)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="`network` must be a Keras model"):
        metrics.FrechetDistance(network=lambda images: images)


@pytest.mark.parametrize("arguments", [{}, {"num_features": 3, "network": make_network()}])
def test_exactly_one_of_width_and_network_is_given(arguments):
    with pytest.raises(ValueError, match="Exactly one of `num_features` and `network`"):
        metrics.PrecisionRecall(**arguments)


@pytest.mark.parametrize("width", [0, -1, 2.0, True, "3"])
def test_a_wrong_width_is_refused(width):
    with pytest.raises(ValueError, match=f"`num_features` must be .* num_features={width!r}"):
        metrics.FrechetDistance(num_features=width)
