"""Tests that any data that Keras takes give in every mode what they give in stock Keras.

What a mode cannot take is in test_exactness_refusals.py; the arguments of `fit`, such as the steps
of an epoch, in test_exactness_fit.py.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

from kerasmodes.engine import with_modes

MODES = ("eager", "graph", "xla", "fused")
RAN_OUT = "ignore:Your input ran out of data:UserWarning"  # as stock Keras says it
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(22, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True) + GENERATOR.normal(size=(22, 1)).astype("float32")
WEIGHT = np.linspace(0, 2, 22, dtype="float32")
WORDS = GENERATOR.integers(0, 5, (22, 3))
SEQUENCES = GENERATOR.normal(size=(22, 5, 3)).astype("float32")


class Reconstructing(keras.Model):
    """Needs no targets: its loss is its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3, use_bias=False)

    def call(self, x):
        reconstructed = self.dense(x)
        self.add_loss(keras.ops.mean(keras.ops.square(x - reconstructed)))
        return reconstructed


class Batches(keras.utils.PyDataset):
    """Batches made in Python."""

    def __init__(self, sizes):
        super().__init__()
        ends = np.cumsum(sizes)
        self.slices = [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def __len__(self):
        return len(self.slices)

    def __getitem__(self, index):
        return X[self.slices[index]], Y[self.slices[index]]


def make_dense():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def make_sum():
    """Returns the same for targets of one dimension: stock Keras traces one rank a model."""
    return make_dense()


def make_integers():
    words = keras.Input((3,), dtype="int64")
    truths, pixels = keras.Input((3,), dtype="bool"), keras.Input((3,), dtype="uint8")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(words))
    casted = [keras.ops.cast(one, "float32") for one in (truths, pixels)]
    outputs = keras.layers.Dense(1)(keras.ops.concatenate([embedded, *casted], -1))
    return keras.Model([words, truths, pixels], outputs)


def make_tagger():
    return keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(1)])


def make_tuples():
    inputs = (keras.Input((3,)), keras.Input((5, 3)))
    pooled = keras.layers.GlobalAveragePooling1D()(inputs[1])
    both = keras.ops.concatenate([inputs[0], pooled], -1)
    outputs = [keras.layers.Dense(units, name=f"dense_{units}")(both) for units in (1, 2)]
    return keras.Model(inputs, outputs)


def make_dictionaries():
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((1,), dtype="int32", name="b")}
    dense = keras.layers.Dense(1)(inputs["a"])
    outputs = {"sum": dense, "product": dense * keras.ops.cast(inputs["b"], "float32")}
    return keras.Model(inputs, outputs)


def generated(sizes):
    """Returns a data set of batches of these sizes, its length unknown."""
    spec = (tf.TensorSpec([None, 3]), tf.TensorSpec([None, 1]))
    data = Batches(sizes)
    return tf.data.Dataset.from_generator(
        lambda: (data[index] for index in range(len(data))), output_signature=spec
    )


def sized(sizes):
    return generated(sizes).apply(tf.data.experimental.assert_cardinality(len(sizes)))


def sequences():
    """Returns batches of sequences of 5 and of 3 elements."""

    def make():
        for index, length in enumerate((5, 5, 3, 5, 3)):
            batch = SEQUENCES[4 * index : 4 * index + 4, :length]
            yield batch, batch.sum(axis=-1, keepdims=True)

    spec = (tf.TensorSpec([4, None, 3]), tf.TensorSpec([4, None, 1]))
    return tf.data.Dataset.from_generator(make, output_signature=spec)


def arrays(x=X, y=Y, **more):
    return lambda: {"x": x, "y": y, "batch_size": 4, **more}


def first_20(x, y):
    """Returns arguments of `fit` with the first 20 examples: no smaller last batch."""
    return arrays(*tf.nest.map_structure(lambda values: values[:20], (x, y)))


CASES = {
    "last_batch": (make_dense, arrays()),
    "one_batch": (make_dense, lambda: {"x": X, "y": Y, "batch_size": 100}),
    "sizes": (make_dense, lambda: {"x": sized((4, 4, 2, 4, 4, 2, 2))}),
    "unknown": (make_dense, lambda: {"x": generated((4, 4, 4, 4, 4, 2))}),
    "static": (make_dense, lambda: {"x": sized((4,) * 5).map(with_static_shape)}),
    "PyDataset": (make_dense, lambda: {"x": Batches((4, 4, 4, 4, 4, 2))}),
    "generator": (make_dense, lambda: {"x": (Batches((4,) * 5)[i] for i in range(5))}),
    "tensors": (make_dense, arrays(tf.constant(X), tf.constant(Y))),
    "float64": (make_dense, arrays(X.astype("float64"), Y.astype("float64"))),
    "sample_weight": (make_dense, arrays(X[:20], Y[:20], sample_weight=WEIGHT[:20])),
    "vector_targets": (make_sum, first_20(X, Y[:, 0])),
    "integers": (make_integers, first_20([WORDS, X > 0, WORDS.astype("uint8")], Y > 0)),
    "no_targets": (Reconstructing, arrays(X[:20], None)),
    "sequences": (make_tagger, lambda: {"x": sequences()}),
    # A smaller last batch changes the losses of single outputs in stock Keras when it runs eagerly.
    "tuples": (make_tuples, first_20((X, SEQUENCES), (Y, X[:, :2]))),
    "dictionaries": (
        make_dictionaries,
        first_20({"a": X, "b": WORDS[:, :1]}, {"sum": Y, "product": 2 * Y}),
    ),
}


def with_static_shape(x, y):
    return tf.ensure_shape(x, (4, 3)), tf.ensure_shape(y, (4, 1))


@functools.cache
def compiled(make_model, mode):
    """Returns a model in a mode ("keras" is stock), and the weights that it starts from."""
    set_seed(0)
    model, arguments = make_model(), {"run_eagerly": True}  # Quicker than to trace a few steps.
    if mode != "keras":
        with_modes(model)
        arguments = {"mode": mode, "steps_per_execution": 4 if mode == "fused" else 1}
    loss = None if make_model is Reconstructing else "mse"
    model.compile(keras.optimizers.SGD(0.05), loss, **arguments)
    return model, {}


def fresh(make_model, mode):
    model, start = compiled(make_model, mode)
    if not start:
        if not model.built:
            set_seed(0)
            model(X[:4])
        start["weights"] = model.get_weights()
    model.set_weights(start["weights"])
    return model


def trained(case, mode):
    make_model, make_arguments = CASES[case]
    model = fresh(make_model, mode)
    model.fit(**make_arguments(), shuffle=False, verbose=0)
    return model.history.history, model.get_weights()


def measured(case, mode):
    make_model, make_arguments = CASES[case]
    model = fresh(make_model, mode)
    results = model.evaluate(**make_arguments(), verbose=0, return_dict=True)
    predicted = model.predict(make_arguments()["x"], batch_size=4, verbose=0)
    return results, tf.nest.flatten(predicted)


@functools.cache
def keras_results(function, case):
    return function(case, "keras")


# Each in one mode, most in super-batches; the sweep has the others. What evaluation and prediction
# read as training does is in the sweep, too.
BATCH_BY_BATCH = dict.fromkeys(("static", "tensors", "sample_weight", "dictionaries"), "graph")
BATCH_BY_BATCH |= dict.fromkeys(("generator", "float64", "vector_targets", "no_targets"), "eager")
MEASURED = ("last_batch", "unknown", "no_targets", "dictionaries")
# Much as others: arrays, and what is in two tests of `test_exactness.py` and of the last batch.
RARE = {"static", "dictionaries", "sequences", "integers", "tensors", "sizes"}


def list_ways(cases):
    """Returns all pairs of case and mode, of which one for each of these cases is no sweep."""
    return [
        pytest.param(case, mode, marks=[] if is_first else pytest.mark.sweep)
        for case in CASES
        for mode in MODES
        for is_first in [case in cases and mode == BATCH_BY_BATCH.get(case, "fused")]
    ]


def default_in(*names):
    """Returns all modes as parameters, of which all but the named ones are sweeps."""
    return [pytest.param(m, marks=[] if m in names else pytest.mark.sweep) for m in MODES]


@pytest.mark.slow
@pytest.mark.filterwarnings(RAN_OUT)
@pytest.mark.parametrize(("case", "mode"), list_ways(set(CASES) - RARE))
def test_fit(case, mode):
    history, weights = trained(case, mode)
    expected_history, expected_weights = keras_results(trained, case)
    assert history == {k: pytest.approx(v, rel=1e-5) for k, v in expected_history.items()}
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings(RAN_OUT)
@pytest.mark.parametrize(("case", "mode"), list_ways(MEASURED))
def test_evaluate_and_predict(case, mode):
    results, predicted = measured(case, mode)
    expected_results, expected = keras_results(measured, case)
    assert results == pytest.approx(expected_results, rel=1e-5)
    for one, other in zip(predicted, expected, strict=True):
        assert type(one) is type(other)
        np.testing.assert_allclose(flat(one), flat(other), rtol=1e-6, atol=1e-6)
        assert one.shape.as_list() == other.shape.as_list() if tf.is_tensor(one) else True


def flat(value):
    """Returns a predicted array; the values of a ragged one."""
    return value.flat_values.numpy() if isinstance(value, tf.RaggedTensor) else value


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("fused"))
def test_class_weight(mode):
    labels = (Y[:, 0] > 0).astype("int32")
    weights = {0: 0.5, 1: 3.0}
    histories = []
    for name in (mode, "keras"):
        model = fresh(make_sum, name)
        model.fit(X[:20], labels[:20], 4, verbose=0, shuffle=False, class_weight=weights)
        histories.append(model.history.history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-5)


@pytest.mark.parametrize("mode", default_in("graph", "fused"))
def test_predictions_keep_their_structure(mode):
    x = {"a": X, "b": WORDS[:, :1]}  # with a smaller last batch
    model = fresh(make_dictionaries, mode)
    predicted = model.predict(x, batch_size=4, verbose=0)
    expected = {name: value.numpy() for name, value in model(x).items()}
    assert list(predicted) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(predicted[name], values, rtol=1e-6, atol=1e-6)


class Densify(keras.Model):
    """A linear layer on what is ragged or sparse, four features wide."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")
        self.dense.build((None, 4))

    def call(self, x):
        is_ragged = isinstance(x, tf.RaggedTensor)
        x = x.to_tensor(shape=[None, 4]) if is_ragged else tf.sparse.to_dense(x)
        return self.dense(tf.ensure_shape(x, (None, 4)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("ragged", "graph"),
        # What is sparse trains in test_exactness_refusals.py, too.
        pytest.param("sparse", "eager", marks=pytest.mark.sweep),
        pytest.param("ragged", None, marks=pytest.mark.sweep),
        pytest.param("sparse", "graph", marks=pytest.mark.sweep),
    ],
)
def test_ragged_and_sparse_tensors_are_read_as_in_stock_keras(kind, mode):
    rows = [[1.0, 2.0], [3.0], [1.0, 2.0, 3.0], [4.0]] * 2
    x = tf.ragged.constant(rows)
    x = x if kind == "ragged" else tf.sparse.from_dense(x.to_tensor(shape=[None, 4]))
    y = np.arange(8.0)[:, np.newaxis]
    found = []
    for own in (False, True):
        model = with_modes(Densify()) if own else Densify()
        how = {"mode": mode} if own else {"run_eagerly": True}
        model.compile(keras.optimizers.SGD(0.01), "mse", **how)
        history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
        evaluated = model.evaluate(x, y, batch_size=4, verbose=0)
        outputs = model.predict(x, batch_size=4, verbose=0)
        found.append([*history["loss"], evaluated, *outputs.ravel()])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
