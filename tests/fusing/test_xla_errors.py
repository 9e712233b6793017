"""Tests of what is said when XLA cannot compile a step."""

import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes import fusing

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


class WithPythonInside(km.SumRegressor):
    def train_step(self, data):
        tf.py_function(lambda: None, [], [])
        return super().train_step(data)


@pytest.mark.parametrize("mode", ["xla", "fused"])
@pytest.mark.parametrize("use", ["fit", "train_on_batch"])
def test_the_operation_the_place_and_the_way_out_are_named(mode, use):
    model = WithPythonInside(units=())
    model.compile("sgd", mode=mode)
    words = rf"mode='{mode}' must be given a step .*EagerPyFunc, made in .*test_xla_errors.py"
    with pytest.raises(ValueError, match=words + ".*Use mode='graph'"):
        getattr(model, use)(X, Y, **({"verbose": 0} if use == "fit" else {}))
    assert int(model.optimizer.iterations.numpy()) == 0


def test_text_is_named_as_an_input():
    model = km.Model()
    model.train_step = lambda data: {"length": tf.strings.length(data[0])[0, 0]}
    model.compile(mode="xla")
    data = tf.data.Dataset.from_tensors((tf.constant([["word"]]), tf.ones((1, 1))))
    with pytest.raises(ValueError, match="mode='xla'.*an input of dtype=string"):
        model.fit(data, shuffle=False, verbose=0)


def test_other_errors_pass_as_they_are():
    with pytest.raises(tf.errors.InvalidArgumentError, match="own"), fusing.in_words("fused"):
        raise tf.errors.InvalidArgumentError(None, None, "own words")
