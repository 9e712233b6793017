"""Tests that a model's state is in every mode what it is in stock Keras: after evaluating and
predicting, after single batches, and over fits between which something was changed.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import with_modes

MODES = ("eager", "graph", "xla", "fused")


def default_in(*names):
    """Returns all modes as parameters, of which all but the named ones are sweeps."""
    return [pytest.param(m, marks=[] if m in names else pytest.mark.sweep) for m in MODES]


GENERATOR = np.random.default_rng(0)
# Six batches of four; when fused, blocks of four and two steps.
X = GENERATOR.normal(size=(24, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True) + GENERATOR.normal(size=(24, 1)).astype("float32")
WEIGHT = np.linspace(0, 2, 24, dtype="float32")


class Counting(keras.Model):
    """Counts what it tested and predicted, keeps a metric, and takes a seed in each call."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")
        self.seed_generator = km.random.SeedGenerator(0)
        self.tested, self.predicted = (
            self.add_weight(shape=(), dtype="int32", trainable=False) for _ in range(2)
        )
        self.largest = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.mean_prediction = keras.metrics.Mean(name="mean_prediction")

    def call(self, x):
        return self.dense(x) + km.random.normal((1, 1), seed=self.seed_generator)

    def test_step(self, data):
        self.tested.assign_add(1)
        return super().test_step(data)

    def predict_step(self, data):
        predicted = super().predict_step(data)
        self.predicted.assign_add(1)
        self.largest.assign(tf.maximum(self.largest.value, tf.reduce_max(predicted)))
        self.mean_prediction.update_state(predicted)
        return predicted


def compile_in(model, mode, optimizer="sgd", **arguments):
    """Returns the model, compiled in a mode, or by stock Keras if the mode is "keras"."""
    if mode == "keras":
        arguments |= {"run_eagerly": True}  # Quicker than to trace a few steps.
    else:
        with_modes(model)
        arguments |= {"mode": mode, "steps_per_execution": 4 if mode == "fused" else 1}
    model.compile(optimizer, "mse", **arguments)
    return model


def fit(model, **arguments):
    return model.fit(X, Y, 4, shuffle=False, verbose=0, **arguments).history


def make_sequential():
    set_seed(0)
    layers = [keras.layers.Dense(4, "tanh"), keras.layers.BatchNormalization()]
    return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])


def check_weights(model, expected):
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@functools.cache
def results_of(mode):
    model = compile_in(Counting(), mode)
    losses = [model.evaluate(X, Y, 4, verbose=0) for _ in range(2)]
    predictions = [model.predict(X, 4, verbose=0) for _ in range(2)]
    state = {
        "tested": int(model.tested.numpy()),
        "predicted": int(model.predicted.numpy()),
        "seeds": int(model.seed_generator.state.numpy()[1]),
        "largest": float(model.largest.numpy()),
        "mean": float(model.mean_prediction.result().numpy()),
    }
    return losses, predictions, state


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("fused"))
def test_what_changes_in_evaluate_and_predict(mode):
    losses, predictions, state = results_of(mode)
    expected_losses, expected_predictions, expected_state = results_of("keras")
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    np.testing.assert_allclose(predictions, expected_predictions, rtol=1e-5, atol=1e-6)
    assert state == pytest.approx(expected_state, rel=1e-5)
    assert (state["tested"], state["predicted"], state["seeds"]) == (12, 12, 24)


@functools.cache
def fitted_twice(mode, between=lambda model: None):
    model = compile_in(make_sequential(), mode)
    fit(model)
    between(model)
    fit(model)
    return model


def evaluate_and_predict(model):
    model.evaluate(X[:8], Y[:8], 4, verbose=0)
    model.predict(X[:8], 4, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("graph"))
def test_evaluating_and_predicting_leave_the_training_alone(mode):
    check_weights(fitted_twice(mode, evaluate_and_predict), fitted_twice("keras"))


@functools.cache
def on_batches(mode):
    model = compile_in(make_functional(), mode, weighted_metrics=["mae"])
    x, y, weight = X[:4], Y[:4], WEIGHT[:4]
    labels = (y > 0).astype("int32")
    results = [
        *model.train_on_batch(x, y),
        *model.train_on_batch(x, y, sample_weight=weight),
        *model.train_on_batch(x, y, return_dict=True).values(),
        *model.train_on_batch(x, labels, class_weight={0: 0.5, 1: 2.0}),
        *model.test_on_batch(x, y),
        *model.test_on_batch(x, y, weight, return_dict=True).values(),
        *fit(model)["loss"],
        *model.train_on_batch(tf.constant(x), tf.constant(y)),
    ]
    return results, model.predict_on_batch(x), int(model.optimizer.iterations.numpy())


# Single batches of other modes are in `test_trainer.py` and `executors/test_loops.py`.
@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("graph"))
def test_single_batches(mode):
    results, predicted, iterations = on_batches(mode)
    expected_results, expected_predicted, expected_iterations = on_batches("keras")
    assert results == pytest.approx(expected_results, rel=1e-5)
    np.testing.assert_allclose(predicted, expected_predicted, rtol=1e-4, atol=1e-6)
    assert iterations == expected_iterations == 11


@pytest.mark.slow
@pytest.mark.sweep
def test_compiling_again_changes_the_mode_and_the_optimizer_only():
    model, expected = make_functional(), make_functional()
    settings = {"eager": "sgd", "fused": "rmsprop", "graph": "sgd", "xla": "sgd"}
    data = {"x": X[:8], "y": Y[:8], "batch_size": 4, "shuffle": False, "verbose": 0}
    for mode, optimizer in settings.items():
        history = compile_in(model, mode, optimizer).fit(**data).history
        assert int(model.optimizer.iterations.numpy()) == 2
        compile_in(expected, "keras", optimizer)
        assert history["loss"] == pytest.approx(expected.fit(**data).history["loss"], rel=1e-4)
    check_weights(model, expected)


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("graph"))
def test_a_layer_frozen_between_fits(mode):
    model, expected = make_sequential(), make_sequential()
    for one, name in ((model, mode), (expected, "keras")):
        fit(compile_in(one, name))
        frozen = one.layers[0].get_weights()
        one.layers[0].trainable = False
        one.layers[1].trainable = False
        fit(compile_in(one, name))  # Keras asks for it after each change of `trainable`.
        for value, before in zip(one.layers[0].get_weights(), frozen, strict=True):
            np.testing.assert_array_equal(value, before)
    check_weights(model, expected)


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("fused"))
def test_a_layer_that_remembers_the_batch_before(mode):
    def train(name):
        set_seed(0)
        recurrent = keras.layers.SimpleRNN(2, stateful=True, unroll=True)
        layers = [keras.Input(batch_shape=(4, 3, 1)), recurrent, keras.layers.Dense(1)]
        model = compile_in(keras.Sequential(layers), name)
        data = tf.data.Dataset.from_tensor_slices((X[..., np.newaxis], Y))
        data = data.batch(4, drop_remainder=True)
        history = model.fit(data, epochs=2, shuffle=False, verbose=0).history
        return history["loss"], [state.numpy() for state in recurrent.states]

    losses, states = train(mode)
    expected_losses, expected_states = train("keras")
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    np.testing.assert_allclose(states, expected_states, rtol=1e-4)


class Theirs(keras.Model):
    """A class that the user does not own, with a step of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        logs = super().train_step(data)
        return {**logs, "twice": 2 * logs["loss"]}


class Own(km.ModesMixin, Theirs):
    """A subclass with modes."""


class OwnSequential(km.ModesMixin, keras.Sequential):
    """A sequential model with modes."""


class OwnFunctional(km.ModesMixin, keras.Model):
    """A functional model with modes, made from inputs and outputs."""


def make_functional(cls=keras.Model):
    inputs = keras.Input((3,))
    return cls(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))


KINDS = {
    "mixin": (Own, Theirs),
    "with_modes": (lambda: with_modes(Theirs()), Theirs),
    "Sequential": (
        lambda: OwnSequential(
            [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")]
        ),
        make_functional,
    ),
    "functional": (lambda: make_functional(OwnFunctional), make_functional),
    "km.Model": (lambda: make_functional(km.Model), make_functional),
    "functional with_modes": (lambda: with_modes(make_functional()), make_functional),
}


# One kind with one mode; the sweep has the others, the tests above have `with_modes`, and others
# the classes of Keras.
WAYS = [
    pytest.param(kind, mode, marks=[] if (kind, mode) == ("mixin", "fused") else pytest.mark.sweep)
    for kind in KINDS
    for mode in MODES
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), WAYS)
def test_any_model_of_keras_can_have_modes(kind, mode):
    make_model, make_expected = KINDS[kind]
    model, expected = make_model(), make_expected()
    compile_in(expected, "keras")
    compile_in(model, mode)
    assert model.mode == mode
    history = {name: pytest.approx(values, rel=1e-5) for name, values in fit(expected).items()}
    assert fit(model) == history
    check_weights(model, expected)
