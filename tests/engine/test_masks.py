"""Tests that Keras's masks reach losses and metrics in each mode as they do in stock Keras."""

import functools

import keras
import numpy as np
import pytest
from seeds import set_seed

from kerasmodes.engine import with_modes

MODES = ("eager", "graph", "xla", "fused")
GENERATOR = np.random.default_rng(0)
WORDS = GENERATOR.integers(0, 6, (12, 5))  # 0 is masked.
LABELS = GENERATOR.integers(0, 3, (12, 5))
TARGETS = GENERATOR.normal(size=(12, 5, 1)).astype("float32")
WEIGHT = GENERATOR.uniform(0.1, 2, (12, 5)).astype("float32")


def make_model():
    words = keras.Input((5,))
    hidden = keras.layers.Embedding(6, 4, mask_zero=True)(words)
    hidden = keras.layers.Dense(4, "tanh")(hidden)
    numbers = keras.layers.Dense(1, name="numbers")(hidden)
    classes = keras.layers.Dense(3, "softmax", name="classes")(hidden)
    return keras.Model(words, [numbers, classes])


def mean_of_squares(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


SETTINGS = {
    "one output": {"loss": "mse", "metrics": ["mae"], "weighted_metrics": ["mse"]},
    "a function": {"loss": mean_of_squares, "metrics": ["mae"]},
    "several outputs": {
        "loss": {"numbers": "mse", "classes": "sparse_categorical_crossentropy"},
        "metrics": {"numbers": "mae", "classes": "accuracy"},
        "weighted_metrics": {"numbers": "mae", "classes": "accuracy"},
    },
}


@functools.cache
def results(setting, mode):
    """Returns the history of a fit, the results of `evaluate` and the weights."""
    set_seed(0)
    model, targets, weight = make_model(), [TARGETS, LABELS], [WEIGHT, WEIGHT]
    if setting != "several outputs":
        model, targets, weight = keras.Model(model.input, model.outputs[0]), TARGETS, None
    optimizer = keras.optimizers.SGD(0.05)
    if mode == "keras":
        model.compile(optimizer, run_eagerly=True, **SETTINGS[setting])
    else:
        with_modes(model).compile(optimizer, mode=mode, **SETTINGS[setting])
    arguments = {"sample_weight": weight, "batch_size": 4, "verbose": 0}
    history = model.fit(WORDS, targets, shuffle=False, **arguments).history
    evaluated = model.evaluate(WORDS, targets, return_dict=True, **arguments)
    return history, evaluated, model.get_weights()


WAYS = [("one output", "fused"), ("a function", "eager")]
OTHER_WAYS = [(kind, mode) for kind in SETTINGS for mode in MODES if (kind, mode) not in WAYS]
WAYS += [pytest.param(*way, marks=pytest.mark.sweep) for way in OTHER_WAYS]


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "mode"), WAYS)
def test_masks_count_as_in_stock_keras(mode, setting):
    histories = zip(results(setting, mode), results(setting, "keras"), strict=True)
    (history, expected_history), (evaluated, expected), (weights, expected_weights) = histories
    assert history.keys() == expected_history.keys()
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(evaluated[name], expected[name], rtol=1e-5, err_msg=name)
    for weight, expected_weight in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(weight, expected_weight, rtol=1e-4, atol=1e-6)
