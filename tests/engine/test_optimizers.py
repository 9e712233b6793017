"""Tests of optimizers that a user's `compile` builds."""

import keras
import pytest

import kerasmodes as km


def test_an_optimizer_is_built_for_a_networks_weights():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = km.build_optimizer("adam", network)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert len(optimizer.variables) == 2 + 2 * len(network.trainable_variables)
    assert km.build_optimizer(optimizer, network) is optimizer


def test_a_network_without_weights_is_refused():
    network = keras.Sequential([keras.layers.Dense(2)], name="lazy")
    with pytest.raises(ValueError, match="`network` must be built: .*Received: Sequential 'lazy'"):
        km.build_optimizer("adam", network)


def test_swapped_arguments_are_named():
    with pytest.raises(
        TypeError, match="`network` must be a Keras model or layer. Received: .*adam"
    ):
        km.build_optimizer(keras.Sequential([keras.Input((3,))]), "adam")
