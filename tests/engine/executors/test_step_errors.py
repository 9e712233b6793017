"""Tests of what is said of a batch that a step cannot take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=4, num_features=3, seed=1)
WIDE = np.repeat(X, 2, axis=1)


class Subclassed(km.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


class OwnStep(Subclassed):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = km.average_loss(tf.square(self(x) - y)[:, 0])
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def make_functional():
    inputs = keras.Input((3,))
    return km.Model(inputs, keras.layers.Dense(1)(inputs))


def make_sequential():
    return km.Sequential([keras.layers.Dense(1)])


def read(*batches):
    """Returns a data set that does not tell sizes."""
    signature = tf.TensorSpec([None, None]), tf.TensorSpec([None, None])
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)


MODELS = (make_functional, make_sequential, Subclassed, OwnStep)
FIRST = [("eager", OwnStep), ("fused", Subclassed)]  # The next test has a functional one, in graph.


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize(
    ("mode", "make"),
    [
        pytest.param(mode, make, marks=[] if (mode, make) in FIRST else pytest.mark.sweep)
        for mode in ("eager", "graph", "xla", "fused", "auto")
        for make in MODELS
    ],
)
def test_a_width_that_changes_in_a_data_set_is_named(mode, make):
    model = make()
    model.compile("sgd", "mse", mode=mode)
    words = r"`x` must have shape \[batch, 3\].* Received: x with shape=\[batch, 6\]"
    with pytest.raises(ValueError, match=words) as raised:
        model.fit(read((X, Y), (X, Y), (WIDE, Y)), verbose=0)
    assert raised.value.__notes__[0].startswith("The step raised ")
    assert raised.value.__context__ is not None  # The cause, of which Keras shows nothing.
    if make is not OwnStep:
        with pytest.raises(ValueError, match=words):
            model.evaluate(read((X, Y), (WIDE, Y)), verbose=0)
    with pytest.raises(ValueError, match=words):
        model.predict(read((X, Y), (WIDE, Y)), verbose=0)


@pytest.mark.parametrize(
    "mode", ["graph", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "xla"))]
)
def test_a_loop_for_all_sizes_names_those_that_do_not_fit(mode):
    model = make_functional()
    model.compile("sgd", "mse", mode=mode, steps_per_execution=2)
    batches = [(X[:size], Y[:size]) for size in (4, 4, 3, 3, 2, 2)]
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 3\].*shape=\[batch, 6\]"):
        model.fit(read(*batches, (WIDE, Y)), verbose=0)


def test_a_sequence_that_fails_for_another_reason_keeps_its_error():
    class Failing(Subclassed):
        def call(self, x):
            tf.debugging.assert_less(x, 1e6, "too large")
            return self.dense(tf.reduce_mean(x, axis=1, keepdims=True))

    model = Failing()
    model.compile("sgd", "mse", mode="graph")
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        model.fit(read((X, Y), (WIDE, Y), (1e7 * np.hstack([X, X, X]), Y)), verbose=0)


def test_a_step_by_hand_is_told_the_same():
    model = Subclassed()
    model.compile("sgd", "mse", mode="graph")
    model.train_on_batch(X, Y)
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 3\], as a batch before it"):
        model.train_on_batch(WIDE, Y)


def test_an_error_of_python_s_in_a_function_of_the_step_stays():
    def unpack(values):
        first, second = values
        return first + second

    model = Subclassed()
    model.train_step = lambda data: {"loss": unpack([1.0, 2.0, 3.0])}
    model.compile("sgd", mode="eager")
    with pytest.raises(ValueError, match="too many values to unpack"):
        model.fit(X, verbose=0)


def test_an_error_about_something_else_stays_where_parts_have_other_lengths():
    class Raises(Subclassed):
        def train_step(self, data):
            raise ValueError("no cat in this picture")

    model = Raises()
    model.compile("sgd", mode="eager")
    data = tf.data.Dataset.from_tensors((X, Y[:2]))
    with pytest.raises(ValueError, match="cat") as caught:
        model.fit(data, verbose=0)
    assert str(caught.value) == "no cat in this picture"


class Reader(Subclassed):
    """Reads a tensor in Python, in its step."""

    def __init__(self, read_tensor):
        super().__init__()
        self.read_tensor = read_tensor

    def train_step(self, data):
        logs = super().train_step(data)
        self.read_tensor(logs["loss"])
        return logs


class Branch(keras.layers.Layer):
    """Reads a tensor in Python, in a layer: Keras puts its own words around the error."""

    def call(self, x):
        return x if tf.reduce_sum(x) > 0 else -x


WAYS = {
    "if": lambda loss: loss > 0 or None,
    "for": lambda loss: list(loss[None]),
    "float": lambda loss: float(loss),
    "item": lambda loss: loss.numpy(),
    "array": lambda loss: np.asarray(loss),
    "format": lambda loss: f"{loss:.3f}",
    "index": lambda loss: [1, 2][tf.cast(loss, tf.int32)],
}


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=[] if way in ("if", "item") else pytest.mark.sweep) for way in WAYS],
)
def test_a_tensor_that_is_read_in_python_is_named_with_the_way_out(way):
    model = Reader(WAYS[way])
    model.compile("sgd", "mse", mode="graph")
    with pytest.raises(
        TypeError,
        match=r"`train_step` must not read a tensor in Python.*mode='graph'. Received: .*"
        r"read in <lambda> \(.*test_step_errors.py, line \d+\).*mode='eager'",
    ):
        model.fit(X, Y, verbose=0)


def test_a_tensor_that_a_layer_reads_in_python_is_named():
    model = km.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.add(keras.layers.Dense(1))
    model.compile("sgd", lambda y, outputs: Branch()(outputs - y), mode="fused")
    with pytest.raises(TypeError, match=r"must not read .* read in call \(.*test_step_errors"):
        model.fit(X, Y, verbose=0)


def test_an_error_about_a_tensor_that_is_not_read_stays():
    model = Reader(lambda loss: loss + None)
    model.compile("sgd", "mse", mode="graph")
    with pytest.raises(ValueError, match="None values not supported"):
        model.fit(X, Y, verbose=0)
