"""Tests of what the graph of a step says about how to run it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import model_state
from kerasmodes.engine.executors import traced_steps

layers = keras.layers


class CallsFunction(km.Model):
    """A model whose `call` is a `tf.function`, with a loop and a draw in it."""

    def __init__(self):
        super().__init__()
        parts = [layers.Dense(2), layers.SimpleRNN(2), layers.Dropout(0.5, seed=1), layers.Dense(1)]
        self.network = keras.Sequential([keras.Input((3, 2)), *parts])

    @tf.function(autograph=False)
    def call(self, x, training=None):
        return self.network(x, training=training)


def test_xla_is_given_no_count_of_categories_that_it_would_compile_for_each_batch():
    layer = keras.layers.CategoryEncoding(5, "multi_hot")
    model = km.with_modes(keras.Sequential([keras.Input((3,), dtype="int32"), layer]))
    model.compile(mode="xla")
    model.make_predict_function()
    specs = (tf.TensorSpec((2, 3), tf.int32),)
    traced = traced_steps.TracedStep(model.predict_step, lambda step, args: step(*args), specs)
    assert "DenseBincount" in traced.operations
    compiled = {op.type for op in traced.for_xla.graph.get_operations()}
    assert "OneHot" in compiled
    assert "DenseBincount" not in compiled


@pytest.mark.parametrize(
    ("mode", "is_data_set"), [("fused", False), pytest.param("xla", True, marks=pytest.mark.sweep)]
)
def test_a_function_that_a_step_calls_has_its_numbers_in_xla_too(mode, is_data_set):
    x = np.linspace(-1.0, 1.0, 24, dtype="float32").reshape(4, 3, 2)
    y = x.sum((1, 2))[:, np.newaxis]
    data = (tf.data.Dataset.from_tensor_slices((x, y)).batch(2),) if is_data_set else (x, y, 2)
    model = CallsFunction()
    model.compile("sgd", "mse", mode="graph")
    model.fit(*data, shuffle=False, verbose=0)  # Traces the function outside of XLA.
    state, losses = model_state.ModelState(model), []
    start = state.copy()
    for name in ("graph", mode):
        state.restore(start)
        model.set_mode(name)
        losses += model.fit(*data, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
