"""Tests that what XLA cannot take is refused with the mode to use, and trains in that mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import with_modes

MODES = ("eager", "graph", "xla", "fused")


class Step(keras.Model):
    """A step that looks at nothing but the targets, so that any input will do."""

    def __init__(self, extra=lambda y: y):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.dense.build((None, 1))
        self.extra = extra

    def call(self, x):
        return self.dense(tf.ones((2, 1)))

    def train_step(self, data):
        y = self.extra(data[1])
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(data[0]) - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"squares": loss}


SPARSE = pytest.mark.sweep  # A layer that takes them is tested below.
INPUTS = {
    "string": tf.constant([["a"], ["b"]]),
    "Ragged": tf.ragged.constant([[1.0], [2.0, 3.0]]),
    "Sparse": tf.sparse.from_dense([[1.0, 0.0], [0.0, 1.0]]),
}


def uses(model, values):
    """Returns each way to give these inputs to the model."""
    data = tf.data.Dataset.from_tensors((values, tf.ones((2, 1))))
    targets = np.ones((2, 1))
    return (
        lambda: model.fit(values, targets, verbose=0),
        lambda: model.evaluate(values, targets, verbose=0),
        lambda: model.predict(values, verbose=0),
        lambda: model.fit(data, shuffle=False, verbose=0),
        lambda: model.evaluate(data, verbose=0),
        lambda: model.predict(data, verbose=0),
        lambda: model.train_on_batch(values, tf.ones((2, 1))),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("string", "graph"),
        # Ragged ones train in test_exactness_data.py.
        *(pytest.param(kind, "graph", marks=SPARSE) for kind in ("Ragged", "Sparse")),
        *(pytest.param(kind, "eager", marks=pytest.mark.sweep) for kind in INPUTS),
    ],
)
def test_inputs_that_only_keras_takes(kind, mode):
    model = with_modes(Step())
    model.compile("sgd", "mse", mode=mode)
    for use in uses(model, INPUTS[kind]):
        use()
    assert int(model.optimizer.iterations.numpy()) == 3


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep)])
def test_a_dense_layer_takes_sparse_inputs(mode):
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    inputs = keras.Input((2,), sparse=True)
    model = km.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), "mse", mode=mode)
    model.fit(INPUTS["Sparse"], np.ones((2, 1)), epochs=2, verbose=0)
    model.fit(INPUTS["Sparse"], np.zeros((2, 1)), verbose=0)
    np.testing.assert_allclose(layer.kernel.numpy(), [[0.9], [0.9]], rtol=1e-6)
    np.testing.assert_allclose(layer.bias.numpy(), [-0.2], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("eager", marks=pytest.mark.sweep)])
def test_a_sparse_matrix_of_scipy_is_an_input(mode):
    matrix = pytest.importorskip("scipy.sparse").csr_matrix(np.eye(2, dtype="float32"))
    model = with_modes(Step())
    model.compile("sgd", "mse", mode=mode)
    model.fit(matrix, np.ones((2, 1)), verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "places"),
    [
        ("fused", slice(None)),
        # Each is compiled to find out.
        pytest.param("xla", slice(0, None, 3), marks=pytest.mark.sweep),
        pytest.param("xla", slice(None), marks=pytest.mark.sweep),
    ],
    ids=["fused", "xla", "xla in every use"],
)
def test_strings_are_refused_under_xla(mode, places):
    model = with_modes(Step())
    model.compile("sgd", "mse", mode=mode)
    for use in uses(model, INPUTS["string"])[places]:
        with pytest.raises(ValueError, match="string.*mode='graph'"):
            use()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Ragged", pytest.param("Sparse", marks=SPARSE)])
def test_ragged_and_sparse_inputs_are_refused_when_fused(kind):
    model = with_modes(Step())
    model.compile("sgd", "mse", mode="fused")
    for use in uses(model, INPUTS[kind]):
        with pytest.raises(
            ValueError, match=f"mode='fused' must be given dense.*{kind}.*Use mode='graph'"
        ):
            use()


def test_batches_of_unknown_rank_are_refused_when_fused():
    model = with_modes(Step())
    model.compile("sgd", "mse", mode="fused")
    signature = (tf.TensorSpec(None), tf.TensorSpec([None, 1]))
    data = tf.data.Dataset.from_generator(
        lambda: iter([(np.ones((2, 1)), np.ones((2, 1)))]), output_signature=signature
    )
    with pytest.raises(ValueError, match="known rank.*mode='graph'"):
        model.fit(data, shuffle=False, verbose=0)


def through_python(y):
    return tf.ensure_shape(tf.py_function(lambda values: values, [y], y.dtype), y.shape)


def through_strings(y):
    return tf.strings.to_number(tf.strings.as_string(y))


OPERATIONS = {through_python: "EagerPyFunc", through_strings: "AsString"}
OPERATION_WAYS = [(through_python, "eager"), (through_strings, "graph")]


@pytest.mark.parametrize(
    ("extra", "mode"),
    [
        pytest.param(
            extra, mode, marks=[] if (extra, mode) in OPERATION_WAYS else pytest.mark.sweep
        )
        for extra in OPERATIONS
        for mode in MODES
    ],
)
def test_an_operation_unknown_to_xla(extra, mode):
    model = with_modes(Step(extra))
    model.compile("sgd", mode=mode)
    data = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1)))).repeat(3)
    if mode in ("eager", "graph"):
        model.fit(data, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations.numpy()) == 3
        return
    with pytest.raises(Exception, match=f"(?s)(?=.*mode='graph')(?=.*{OPERATIONS[extra]})"):
        model.fit(data, shuffle=False, verbose=0)


@pytest.mark.parametrize("mode", MODES)
def test_arrays_without_examples_are_refused(mode):
    model = km.SumRegressor(units=())
    model.compile("sgd", mode=mode)
    with pytest.raises(ValueError, match="`x` must hold at least one example"):
        model.fit(np.ones((0, 3)), np.ones((0, 1)), verbose=0)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(batch_size):
    model = km.SumRegressor(units=())
    model.compile("sgd")
    with pytest.raises(
        ValueError, match="`batch_size` must be a positive integer. Received: batch_size="
    ):
        model.fit(np.ones((4, 3)), np.ones((4, 1)), batch_size=batch_size, verbose=0)
