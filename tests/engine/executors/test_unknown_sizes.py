"""Tests of what is said of sizes that follow from the data, where XLA would take their bound."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine.executors import unknown_sizes

X = np.random.default_rng(0).random((16, 8, 3)).astype("float32")
ROLLED_PART = "Roll of a tensor whose size follows from the data"


class Part(keras.layers.Layer):
    """Gives the first step of a rolled part of random size; of known size if that is asked for."""

    def __init__(self, is_known=False):
        super().__init__()
        self.is_known, self.seeds = is_known, keras.random.SeedGenerator(1)

    def call(self, x):
        draw = keras.random.uniform((), 0, 3, seed=self.seeds)
        start = keras.ops.cast(draw, "int32")
        if self.is_known:
            return keras.ops.roll(keras.ops.slice(x, [0, start, 0], [x.shape[0], 4, 3]), 1, 1)[:, 0]
        return keras.ops.roll(x[:, start : start + 4], 1, 1)[:, 0]


class Kept(keras.layers.Layer):
    """What is computed of a part of random size, which XLA would take for the whole."""

    def __init__(self, function):
        super().__init__()
        self.function, self.seeds = function, keras.random.SeedGenerator(1)

    def call(self, x):
        draw = keras.random.uniform((), 3, 7, seed=self.seeds)
        part = x[:, : keras.ops.cast(draw, "int32")]
        return keras.ops.reshape(self.function(part), (8, 3))


class MeanOfChosen(keras.losses.Loss):
    def call(self, y_true, y_pred):
        chosen = tf.boolean_mask(tf.square(y_true - y_pred), y_true > 0.5)
        return tf.reduce_mean(chosen)


def fit(mode, layer=None, loss="mse", **options):
    """Returns the losses of two epochs."""
    keras.utils.set_random_seed(0)
    layer = layer or keras.layers.Flatten()
    inputs = keras.Input((8, 3), batch_size=8)
    model = km.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile(keras.optimizers.SGD(0.01), loss, mode=mode)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, X[:, 0, :1], epochs=2, **options).history["loss"], model


@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_the_operation_and_the_lines_are_named(mode):
    lines = pathlib.Path(__file__).read_text("utf-8").splitlines()
    line = 1 + lines.index("        return keras.ops.roll(x[:, start : start + 4], 1, 1)[:, 0]")
    place = re.escape(f"made in call ({__file__}, line {line})")
    words = f"mode='{mode}' .*{ROLLED_PART}, {place}; .* StridedSlice, {place}.*.*mode='graph'"
    with pytest.raises(ValueError, match=words):
        fit(mode, Part())


def test_a_single_step_is_checked():
    keras.utils.set_random_seed(0)
    model = km.Sequential([keras.Input((8, 3)), Part(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", mode="xla")
    batches = tf.data.Dataset.from_tensor_slices((X, X[:, 0, :1])).batch(8)
    with pytest.raises(ValueError, match=ROLLED_PART):
        model.fit(batches, verbose=0)


def test_auto_trains_as_graph_does():
    losses, model = fit("auto", Part())
    assert losses == fit("graph", Part())[0]
    assert model.mode_selector.mode == "graph"


def test_parts_of_known_sizes_train_in_fused():
    np.testing.assert_allclose(
        fit("fused", Part(is_known=True))[0], fit("graph", Part(is_known=True))[0], rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_indices_from_the_end_and_scans_keep_a_size(mode):
    def compute(part):
        sums = tf.cumsum(part, 1)
        means = tf.reduce_mean(tf.cumsum(part, 1, exclusive=True), 1)
        products = tf.math.cumprod(part, 1, reverse=True)[:, 0] + tf.reduce_prod(part, 1)
        last = part[:, -1] + part[..., tf.constant(-2, tf.int64), :]
        return sums[:, -1] + means + products + last

    def train(mode):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 3), batch_size=8)
        kept = Kept(compute)(keras.layers.Dense(3)(inputs))
        model = km.Model(inputs, keras.layers.Dense(1)(kept))
        model.compile(keras.optimizers.SGD(0.01), "mse", mode=mode)
        model.fit(X, X[:, 0, :1], batch_size=8, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for one, other in zip(train(mode), train("graph"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_mean_of_chosen_examples_trains_in_fused():
    np.testing.assert_allclose(
        fit("fused", loss=MeanOfChosen())[0], fit("graph", loss=MeanOfChosen())[0], rtol=1e-5
    )


def test_the_ctc_loss_which_has_functions_as_those_of_tensorflow_1_trains_in_fused():
    class Transcripts(keras.losses.Loss):
        def call(self, y_true, y_pred):
            outputs = tf.reshape(y_pred * tf.linspace(-1.0, 1.0, 12), (8, 4, 3))
            return keras.losses.ctc(tf.ones((8, 2), "int32"), outputs)

    found = [fit(mode, loss=Transcripts())[0] for mode in ("graph", "fused")]
    np.testing.assert_allclose(*found, rtol=1e-5)


def check(function, shape=(8, 3)):
    """Checks the graph of a function of the rows that a mask has chosen."""

    def choose(x, mask):
        return function(tf.boolean_mask(x, mask))

    specs = tf.TensorSpec(shape), tf.TensorSpec(shape[:1], tf.bool)
    graph = tf.function(choose, autograph=False).get_concrete_function(*specs).graph
    unknown_sizes.check_sizes("fused", graph, graph.outputs)


def find_gradient(function):
    def differentiate(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(function(x) ** 2)
        return tape.gradient(value, x)

    return differentiate


WRONG = {
    "AvgPool": lambda v: tf.nn.avg_pool2d(v[tf.newaxis, ..., tf.newaxis], 2, 2, "SAME"),
    "Cumsum": tf.cumsum,
    "Cumprod": tf.math.cumprod,
    "MatrixDiagPartV3": lambda v: tf.linalg.diag_part(tf.matmul(v, v, transpose_b=True)),
    "MirrorPad": lambda v: tf.pad(v, [[1, 1], [0, 0]], "REFLECT"),
    "ResizeBilinear": lambda v: tf.image.resize(v[..., tf.newaxis], [2, 2]),
    "Roll": lambda v: tf.roll(v, 1, 0),
    "Slice": find_gradient(lambda v: tf.concat([v, v], 0)),
    "StridedSlice": lambda v: v[-1],
    "Sum": lambda v: tf.reduce_sum(tf.ones_like(v)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_computed_with_a_bound_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} .*size follows from the data, .* Where, made"):
        check(WRONG[name])


RIGHT = {
    "mean": find_gradient(tf.reduce_mean),
    "cumsum of a row": lambda v: tf.cumsum(v, 1),
    "roll of a row": lambda v: tf.roll(v, 1, -1),
    "concat of rows": find_gradient(lambda v: tf.concat([v, v], 1)),
    "concat": lambda v: tf.concat([v, v], 0),
    "last column": find_gradient(lambda v: v[:, -1]),
    "last column after more": lambda v: v[..., tf.newaxis, -1],
    "first row": lambda v: v[0],
    "ones with more": lambda v: tf.reduce_sum(tf.ones_like(v) * v),
    "pad": find_gradient(lambda v: tf.pad(v, [[1, 1], [0, 0]])),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    check(RIGHT[name])


def test_a_part_of_a_computed_size_is_refused():
    words = "Slice of a size that follows from the data, made in .*keras.ops.slice"
    with pytest.raises(ValueError, match=words):
        check(lambda v: tf.slice(X[0], [0, 0], tf.stack([tf.cast(v[0, 0], tf.int32), 3])))


def call_function(v):
    return tf.function(tf.cumsum, autograph=False)(v)


def call_in_loop(v):
    return tf.while_loop(lambda i, s: i < 3, lambda i, s: (i + 1, tf.cumsum(s)), (0, v))[1]


def call_in_branch(v):
    return tf.cond(v[0, 0] > 0, lambda: tf.cumsum(v), lambda: v)


@pytest.mark.parametrize("function", [call_function, call_in_loop, call_in_branch])
def test_functions_that_a_step_calls_are_searched(function):
    with pytest.raises(ValueError, match="Cumsum of a tensor"):
        check(function)


def test_what_nothing_depends_on_passes():
    check(lambda v: (tf.cumsum(v), tf.reduce_mean(v))[1])


def test_sizes_that_only_the_graph_does_not_know_pass():
    lstm = keras.layers.LSTM(2, return_sequences=True)
    lstm.build((2, 8, 3))

    def step(x):
        y = lstm(x)
        return tf.cumsum(x[:, : tf.shape(y)[1]], 1), tf.cumsum(y, 1)[:, -1]

    graph = tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec((2, 8, 3))).graph
    unknown_sizes.check_sizes("xla", graph, graph.outputs)


class Loop(keras.layers.Layer):
    """A loop of three rounds through which a gradient goes."""

    def __init__(self, is_counted):
        super().__init__()
        self.is_counted = is_counted

    def call(self, x):
        if self.is_counted:
            return keras.ops.fori_loop(0, 3, lambda i, v: v * keras.ops.tanh(v), x)
        return tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * tf.tanh(v)), (0, x))[1]


def train_loop(mode, is_counted):
    keras.utils.set_random_seed(0)
    model = km.Sequential([keras.Input((3,)), keras.layers.Dense(3), Loop(is_counted)])
    model.compile(keras.optimizers.SGD(0.1), "mse", mode=mode)
    return model.fit(X[:, 0], X[:, 1], batch_size=8, epochs=2, shuffle=False, verbose=0)


@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_a_loop_without_a_greatest_number_of_rounds_is_named_with_its_line(mode):
    lines = pathlib.Path(__file__).read_text("utf-8").splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if text.startswith("        return tf.while"))
    place = re.escape(f"made in call ({__file__}, line {line})")
    words = f"mode='{mode}' .*While that has a gradient .*{place}.*maximum_iterations.*'graph'"
    with pytest.raises(ValueError, match=words):
        train_loop(mode, is_counted=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_a_counted_loop_of_keras_has_a_gradient(mode):
    losses = [train_loop(name, is_counted=True).history["loss"] for name in ("graph", mode)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@pytest.mark.slow
def test_a_function_that_was_differentiated_is_followed_where_it_is_not():
    """TensorFlow adds outputs to the graph of a `tf.function` when it makes its gradient."""

    class Network(km.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(2, "relu"), keras.layers.Dense(1)
            self.build((None, 3))

        def build(self, input_shape):
            self.first.build(input_shape)
            self.second.build((None, 2))

        @tf.function
        def call(self, x):
            return self.second(self.first(x))

    x, y = X[:8, 0], X[:8, 0, :1]
    model = Network()
    model.compile("sgd", "mse", mode="graph")
    model.fit(x, y, batch_size=8, verbose=0)
    model.set_mode("xla")
    expected = np.mean((model(x) - y) ** 2)
    assert model.evaluate(x, y, batch_size=8, verbose=0) == pytest.approx(expected, rel=1e-5)
