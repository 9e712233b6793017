"""Tests that training in a mode is Keras's own training: the optimizer, losses, metrics, precision.

The reference is stock Keras: the same model without modes. What `fit` promises beyond a step's
numbers is in test_exactness_fit.py, all kinds of data in test_exactness_data.py.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

from kerasmodes.engine import with_modes

MODES = ("eager", "graph", "xla", "fused")
GENERATOR = np.random.default_rng(0)
# Six batches of four, in blocks of K = 4 steps: K does not divide the epoch.
X = GENERATOR.normal(size=(24, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True) + GENERATOR.normal(0, 0.1, (24, 1)).astype("float32")
WEIGHT = np.linspace(0.1, 2, 24, dtype="float32")
FIT = {"batch_size": 4, "shuffle": False, "verbose": 0}
FALLING = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=3, decay_rate=0.7)
SETTINGS = {
    "schedule": lambda: keras.optimizers.SGD(FALLING, momentum=0.9, nesterov=True, clipnorm=1.0),
    "ema": lambda: keras.optimizers.Adam(
        0.05, amsgrad=True, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3
    ),
    "accumulation": lambda: keras.optimizers.AdamW(
        0.05, weight_decay=0.1, gradient_accumulation_steps=3
    ),
    "RMSprop": lambda: keras.optimizers.RMSprop(
        0.05, momentum=0.5, centered=True, global_clipnorm=0.5
    ),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.1, clipvalue=0.2),
    "Lion": lambda: keras.optimizers.Lion(0.01, weight_decay=0.1),
    "Muon": lambda: keras.optimizers.Muon(0.05),
}


class LargestError(keras.metrics.Metric):
    """A metric with a state of its own, which is not a mean."""

    def __init__(self, name="largest_error", **kwargs):
        super().__init__(name=name, **kwargs)
        self.largest = self.add_variable((), "zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        error = tf.reduce_max(tf.abs(tf.cast(y_true, y_pred.dtype) - y_pred))
        self.largest.assign(tf.maximum(self.largest.value, error))

    def result(self):
        return tf.identity(self.largest.value)


class Shrinking(keras.layers.Layer):
    """Adds a loss of its own to the model's."""

    def call(self, x):
        self.add_loss(0.1 * tf.reduce_sum(tf.square(x)))
        return x


def make_plain():
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)]
    )


def make_linear():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def make_regularized():
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(
                4,
                kernel_regularizer="l2",
                activity_regularizer="l1",
                kernel_constraint=keras.constraints.MaxNorm(0.5),
            ),
            keras.layers.BatchNormalization(momentum=0.7),
            Shrinking(),
            keras.layers.Dense(1),
        ]
    )


def run(make_model, make_arguments, mode, **fit_arguments):
    """Returns the model, trained in a mode, or by stock Keras if the mode is "keras"."""
    set_seed(0)
    model, arguments = make_model(), make_arguments()
    if mode == "keras":
        arguments |= {"run_eagerly": True}  # Quicker than to trace a few steps.
    else:
        with_modes(model)
        arguments |= {"mode": mode, "steps_per_execution": 4 if mode == "fused" else 1}
    model.compile(**arguments)
    model.fit(**({"x": X, "y": Y, "epochs": 2} | FIT | fit_arguments))
    return model


def numbers(model):
    """Returns all that training left behind."""
    return {
        "history": model.history.history,
        "weights": model.get_weights(),
        "optimizer": [variable.numpy() for variable in model.optimizer.variables],
    }


@functools.cache
def keras_numbers(make_model, make_arguments, **fit_arguments):
    return numbers(run(make_model, make_arguments, "keras", **fit_arguments))


def check(model, expected, rtol=1e-5, atol=1e-6):
    found = numbers(model)
    assert found["history"].keys() == expected["history"].keys()
    for name, values in expected["history"].items():
        np.testing.assert_allclose(found["history"][name], values, rtol, atol, err_msg=name)
    for part in ("weights", "optimizer"):
        for one, other in zip(found[part], expected[part], strict=True):
            np.testing.assert_allclose(one, other, 10 * rtol, 10 * atol, err_msg=part)


def plain_arguments():
    return {"optimizer": "sgd", "loss": "mse"}


@functools.cache
def arguments_with(name):
    return lambda: {"optimizer": SETTINGS[name](), "loss": "mse"}


# In a loop two that do not do the same in each step, eagerly one of the others; the sweep has the
# rest. A schedule is in the test of added losses.
FIRST_WAYS = [("accumulation", "fused"), ("Adagrad", "eager")]
OPTIMIZER_WAYS = [
    pytest.param(name, mode, marks=[] if (name, mode) in FIRST_WAYS else pytest.mark.sweep)
    for name in SETTINGS
    for mode in MODES
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode"), OPTIMIZER_WAYS)
def test_an_optimizer_updates_as_in_keras(name, mode):
    arguments = arguments_with(name)
    make_model = make_plain if name == "Muon" else make_linear
    model = run(make_model, arguments, mode)
    assert int(model.optimizer.iterations.numpy()) == (4 if name == "accumulation" else 12)
    check(model, keras_numbers(make_model, arguments))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("graph", marks=pytest.mark.sweep)])
def test_added_losses_constraints_and_moving_statistics(mode):
    model = run(make_regularized, arguments_with("schedule"), mode)
    check(model, keras_numbers(make_regularized, arguments_with("schedule")))


def make_classifier():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])


def metrics_arguments():
    return {
        "optimizer": keras.optimizers.SGD(0.1),
        "loss": "binary_crossentropy",
        "metrics": [keras.metrics.AUC(num_thresholds=5, name="auc"), LargestError(), "accuracy"],
        "weighted_metrics": [keras.metrics.MeanSquaredError(name="weighted")],
    }


@functools.cache
def run_with_metrics(mode):
    labels = (Y > 0).astype("float32")
    validation = {"validation_data": (X[:8], labels[:8]), "validation_batch_size": 4}
    data = {"x": X[:12], "y": labels[:12], "sample_weight": WEIGHT[:12]}
    model = run(make_classifier, metrics_arguments, mode, **data, **validation)
    results = model.evaluate(**data, batch_size=4, verbose=0, return_dict=True)
    return model, results


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["graph", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "fused"))]
)
def test_metrics_with_a_state(mode):
    model, results = run_with_metrics(mode)
    expected_model, expected = run_with_metrics("keras")
    check(model, numbers(expected_model))
    assert results == pytest.approx(expected, rel=1e-5)


@functools.cache
def mixed(policy):
    """Returns a maker of a model of lower precision, and one of its `compile` arguments.

    In float16 the first steps overflow: the scale falls until they do not, then grows again.
    """

    def make():
        keras.config.set_dtype_policy(policy)
        try:
            return make_linear()
        finally:
            keras.config.set_dtype_policy("float32")

    def arguments():
        optimizer = keras.optimizers.SGD(0.05)
        if policy == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 2.0**20, 3)
        return {"optimizer": optimizer, "loss": "mse"}

    return make, arguments


PRECISIONS = [("mixed_float16", "fused"), ("mixed_bfloat16", "xla")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "mode"),
    [
        *PRECISIONS,
        *(pytest.param("mixed_float16", m, marks=pytest.mark.sweep) for m in ("eager", "graph")),
    ],
)
def test_mixed_precision(policy, mode):
    # XLA keeps intermediate results in float32; bfloat16 has 8 bits of precision, float16 has 11.
    precision = {"mixed_float16": 2.0**-10, "mixed_bfloat16": 2.0**-7}[policy]
    model = run(*mixed(policy), mode)
    check(model, keras_numbers(*mixed(policy)), rtol=precision, atol=precision)
    if policy == "mixed_float16":
        assert int(model.optimizer.inner_optimizer.iterations.numpy()) not in (0, 12)
        assert float(model.optimizer.dynamic_scale.numpy()) != 2.0**20


@pytest.mark.parametrize("mode", MODES)
def test_float16_gets_a_loss_scale_by_itself(mode):
    model = with_modes(mixed("mixed_float16")[0]())
    model.compile("sgd", "mse", mode=mode)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("eager", marks=pytest.mark.sweep)])
def test_a_seed_reproduces_a_shuffled_run_to_the_bit(mode):
    one, other = (run(make_linear, plain_arguments, mode, shuffle=True) for _ in range(2))
    assert one.history.history == other.history.history
    for value, expected in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)
    check(one, numbers(run(make_linear, plain_arguments, "graph", shuffle=True)))
