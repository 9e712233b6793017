"""Tests of optimizers that a user's `compile` builds."""

import keras
import numpy as np
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


def test_an_optimizer_that_a_step_has_made_is_named_on_loading(tmp_path):
    class LateOptimizer(km.Model):
        def compile(self, **kwargs):
            super().compile(optimizer=None, **kwargs)

    inputs = keras.Input((2,))
    model = LateOptimizer(inputs, keras.layers.Dense(1)(inputs))
    model.compile(loss="mse")
    model.optimizer = km.build_optimizer("adam", model)  # As a step would.
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="'optimizer' must be made by `compile`.*LateOptimizer"):
        keras.models.load_model(
            tmp_path / "model.keras", custom_objects={"LateOptimizer": LateOptimizer}
        )


def test_a_model_may_say_that_it_is_built_before_its_layers_are():
    class Early(km.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.scale = self.add_weight(shape=(), initializer="ones")
            self.built = True

        def call(self, x):
            return self.scale * self.dense(x)

    model = Early()
    model.compile("sgd", "mse", mode="graph")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    assert float(model.scale.numpy()) != 1.0
    assert np.any(model.dense.bias.numpy())
