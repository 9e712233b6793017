"""Tests of what the graph of a step says about how to run it."""

import keras
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine.executors import traced_steps


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
