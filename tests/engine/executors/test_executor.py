"""Tests of the interface of executors: a mode of one's own is a row and a class."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes import modes
from kerasmodes.engine import executors, with_modes

X, Y = km.data.sums(num_samples=8, num_features=3)
EAGERLY = {"run_eagerly": True}  # Stock Keras, quicker than to trace a few steps.


class CountingExecutor(executors.Executor):
    """Runs steps in Python and counts them by kind."""

    counts = {"train": 0, "test": 0, "predict": 0}

    def run_step(self, batch):
        self.counts[self.kind] += 1
        return super().run_step(batch)


@pytest.fixture
def counts(monkeypatch):
    row = modes.Mode("counting", several_replicas=True)
    monkeypatch.setitem(modes.MODES, "counting", row)
    monkeypatch.setitem(executors.EXECUTORS, "counting", CountingExecutor)
    monkeypatch.setattr(CountingExecutor, "counts", {"train": 0, "test": 0, "predict": 0})
    yield lambda: CountingExecutor.counts


def train(mode, **arguments):
    set_seed(0)
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode=mode, **arguments)
    history = model.fit(X, Y, batch_size=4, epochs=2, validation_data=(X, Y), verbose=0)
    return model, history


@pytest.mark.slow
@pytest.mark.parametrize("steps_per_execution", [2, pytest.param(1, marks=pytest.mark.sweep)])
def test_a_mode_of_ones_own_trains_tests_and_predicts(counts, steps_per_execution):
    model, history = train("counting", steps_per_execution=steps_per_execution)
    reference, reference_history = train("graph", steps_per_execution=steps_per_execution)
    assert (model.mode, history.params["mode"]) == ("counting", "counting")
    np.testing.assert_allclose(
        list(history.history.values()), list(reference_history.history.values()), rtol=1e-5
    )
    outputs = model.predict(X, batch_size=4, verbose=0)
    np.testing.assert_allclose(outputs, reference(X), rtol=1e-5)
    model.train_on_batch(X, Y)
    assert counts() == {"train": 5, "test": 4, "predict": 2}


def test_a_mode_of_ones_own_is_saved_and_named_in_errors(counts, tmp_path):
    model, _ = train("counting")
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").mode == "counting"
    with pytest.raises(ValueError, match="'auto', 'counting', or None. Received: mode='none'"):
        model.compile("sgd", mode="none")


def test_keras_flags_set_later_override_the_mode(counts):
    model, _ = train("counting")
    model.run_eagerly = True
    assert model.mode == "eager"
    model.fit(X, Y, verbose=0)
    model.run_eagerly = False
    assert model.mode == "counting"


@pytest.mark.slow
def test_a_row_that_asks_for_xla_gets_it_from_the_executor_of_graphs(monkeypatch):
    row = modes.Mode("compiled", jit_compile=True, has_loop=True)
    monkeypatch.setitem(modes.MODES, "compiled", row)
    monkeypatch.setitem(executors.EXECUTORS, "compiled", executors.EXECUTORS["graph"])

    class Python(km.Model):
        def train_step(self, data):
            loss = tf.py_function(lambda: 1.0, [], tf.float32)
            return {"loss": tf.ensure_shape(loss, ())}

    model = Python()
    model.compile(mode="compiled")
    with pytest.raises(ValueError, match="mode='compiled' must be given a step of operations"):
        model.fit(X, Y, verbose=0)


# Two modes, each with a number of steps and a kind of shape; the sweep has the others.
SHAPES = [(None, None, 3), None]
SHAPE_WAYS = [(SHAPES[0], "graph", 1), (None, "eager", 2)]
ALL_SHAPE_WAYS = itertools.product(SHAPES, [None, "eager", "graph", "xla", "auto"], [1, 2])


@pytest.mark.parametrize(
    ("shape", "mode", "steps_per_execution"),
    [
        pytest.param(*way, marks=[] if way in SHAPE_WAYS else pytest.mark.sweep)
        for way in ALL_SHAPE_WAYS
    ],
)
def test_predictions_are_made_of_batches_whose_shapes_the_data_set_does_not_tell(
    shape, mode, steps_per_execution
):
    batches = np.arange(2.0 * 2 * 5 * 3, dtype="float32").reshape(2, 2, 5, 3)
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=tf.TensorSpec(shape, "float32")
    ).apply(tf.data.experimental.assert_cardinality(2))
    layer = keras.layers.TimeDistributed(keras.layers.Dense(1, kernel_initializer="ones"))
    model = with_modes(keras.Sequential([layer]))
    model.compile(mode=mode, steps_per_execution=steps_per_execution)
    predicted = model.predict(data, verbose=0)
    np.testing.assert_allclose(predicted, batches.reshape(4, 5, 3).sum(-1, keepdims=True), 1e-5)


@pytest.mark.parametrize("mode", ["eager", "graph", "fused"])
@pytest.mark.parametrize(("logs", "received"), [(None, "None"), ([1.0], "a list")])
def test_a_step_that_returns_no_dictionary_is_told_so(mode, logs, received):
    model = km.Model()
    model.train_step = model.test_step = lambda data: logs
    model.compile(mode=mode)
    with pytest.raises(TypeError, match=f"`train_step` must return a dict.*Received: {received}"):
        model.fit(np.ones((2, 1)), verbose=0)
    with pytest.raises(TypeError, match="`test_step` must return a dictionary of logs"):
        model.evaluate(np.ones((2, 1)), verbose=0)


@pytest.mark.parametrize("mode", ["eager", "graph", "fused"])
def test_a_step_that_unpacks_inputs_alone_is_told_what_it_got(mode):
    class OwnStep(km.Model):
        def train_step(self, data):
            x, y = data
            return {"loss": tf.reduce_mean(x - y)}

        test_step = train_step

    model = OwnStep()
    model.compile(mode=mode)
    for method, name in ((model.fit, "train_step"), (model.evaluate, "test_step")):
        words = f"`{name}` must not unpack .* Received: a tensor with shape=.*, 3., since y=None"
        with pytest.raises(TypeError, match=words):
            method(np.ones((6, 3), "float32"), batch_size=3, verbose=0)


@pytest.mark.parametrize(
    "mode",
    ["graph", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "fused", "auto"))],
)
def test_a_schedule_that_is_set_between_two_fits_is_followed(mode):
    weights = []
    for cls, arguments in ((km.Model, {"mode": mode}), (keras.Model, EAGERLY)):
        inputs = keras.Input((3,))
        model = cls(inputs, keras.layers.Dense(1, kernel_initializer="zeros")(inputs))
        model.compile(keras.optimizers.SGD(0.1), "mean_squared_error", **arguments)
        x, y = km.data.sums(num_samples=8, num_features=3, seed=1)
        for rate in (0.05, keras.optimizers.schedules.ExponentialDecay(0.02, 1, 0.5)):
            model.optimizer.learning_rate = rate
            model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        weights.append(model.get_weights()[0])
    np.testing.assert_allclose(*weights, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize(
    "mode", ["graph", *(pytest.param(one, marks=pytest.mark.sweep) for one in ("eager", "fused"))]
)
def test_recurrent_layers_learn_from_sequences_whose_lengths_the_data_set_does_not_tell(mode):
    sequences = [np.arange(length, dtype="float32")[:, np.newaxis] for length in (3, 5, 2, 4)]
    specs = tf.TensorSpec((None, 1)), tf.TensorSpec((1,))
    data = tf.data.Dataset.from_generator(
        lambda: ((one, [1.0]) for one in sequences), output_signature=specs
    ).padded_batch(2)
    losses = []
    for wrap, arguments in ((with_modes, {"mode": mode}), (lambda model: model, EAGERLY)):
        set_seed(0)
        layers = [keras.layers.Dense(2), keras.layers.SimpleRNN(2), keras.layers.Dense(1)]
        model = wrap(keras.Sequential(layers))  # It is built by its first step.
        model.compile("sgd", "mean_squared_error", **arguments)
        losses.append(model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
