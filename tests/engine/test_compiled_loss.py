"""Tests of the loss that `compile` makes: the losses of outputs, and what `model.loss` is."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import with_modes

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(10, 3)).astype("float32")
P = GENERATOR.normal(size=(10, 1)).astype("float32")
P[8:] *= 20  # The last batch, of two examples, has other losses than those of four.
Q = GENERATOR.normal(size=(10, 2)).astype("float32")
DATASET = tf.data.Dataset.from_tensor_slices((X, (P, Q))).batch(4)
MODES = ("eager", "graph", "xla", "fused")


def make_model():
    inputs = keras.Input((3,))
    layers = [keras.layers.Dense(1, name="p"), keras.layers.Dense(2, name="q")]
    return keras.Model(inputs, [layer(inputs) for layer in layers])


def logs_of(model):
    """Returns the logs of an epoch, and what `evaluate` returns."""
    history = model.fit(DATASET, shuffle=False, verbose=0).history
    logs = {name: values[-1] for name, values in history.items()}
    return logs, model.evaluate(DATASET, verbose=0, return_dict=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "steps_per_execution"),
    [
        ("graph", 2),
        *(pytest.param(*way, marks=pytest.mark.sweep) for way in [("eager", 2), ("graph", 1)]),
        pytest.param("fused", 2, marks=pytest.mark.sweep),
    ],
)
def test_losses_of_outputs_are_means_over_the_examples(mode, steps_per_execution):
    model = with_modes(make_model())
    optimizer = keras.optimizers.SGD(0.0)
    losses = {"loss": ["mse", "mae"], "loss_weights": [2.0, 0.5]}
    model.compile(optimizer, mode=mode, steps_per_execution=steps_per_execution, **losses)
    p, q = model(X)
    expected = {"p_loss": np.mean((p - P) ** 2), "q_loss": np.mean(np.abs(q - Q))}
    expected["loss"] = 2 * expected["p_loss"] + 0.5 * expected["q_loss"]
    for logs in logs_of(model):
        assert logs == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_losses_of_outputs_are_those_of_stock_keras_run_eagerly():
    found = []
    for stock in (True, False):
        set_seed(0)
        model = make_model() if stock else with_modes(make_model())
        how = {"run_eagerly": True} if stock else {"mode": "eager"}
        model.compile(keras.optimizers.SGD(0.01), loss=["mse", "mae"], **how)
        found.append(logs_of(model))
    for logs, expected in zip(*found, strict=True):
        assert logs == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_model_that_was_compiled_before_it_got_modes_has_the_same_losses():
    model = make_model()
    model.compile(keras.optimizers.SGD(0.0), loss=["mse", "mae"], run_eagerly=True)
    logs = with_modes(model).evaluate(DATASET, verbose=0, return_dict=True)
    assert logs["p_loss"] + logs["q_loss"] == pytest.approx(logs["loss"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.sweep
def test_losses_of_outputs_on_replicas_are_those_of_one_device(two_replicas):
    found = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        set_seed(0)
        with strategy.scope():
            model = with_modes(make_model())
            mode = "graph" if strategy is two_replicas else "eager"
            model.compile(keras.optimizers.SGD(0.01), loss=["mse", "mae"], mode=mode)
        history = model.fit(X[:9], [P[:9], Q[:9]], batch_size=8, shuffle=False, verbose=0).history
        found.append({name: values[-1] for name, values in history.items()})
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.parametrize("mode", [None, *MODES])
def test_the_loss_of_a_compiled_model_is_what_was_given(mode):
    def own_loss(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))

    model = km.SumRegressor(units=())
    model.compile("sgd", own_loss, mode=mode)
    assert model.loss is own_loss


def test_the_losses_of_a_compiled_model_are_what_was_given():
    losses = {"p": lambda y, y_pred: keras.ops.mean(y - y_pred), "q": "mse"}
    model = with_modes(make_model())
    model.compile("sgd", losses)
    assert model.loss["p"] is losses["p"]
