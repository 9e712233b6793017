"""Tests of eager steps: the user's lines run in Python, Keras's own parts compiled."""

import concurrent.futures
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)


class Noting(km.SumRegressor):
    """Notes whether each hook of the user's ran in Python, on values that can be looked at."""

    def __init__(self):
        super().__init__(units=())
        self.noted = set()

    def note(self, hook, tensor):
        assert tf.executing_eagerly()
        tensor.numpy()
        self.noted.add(hook)

    def call(self, x):
        outputs = super().call(x)
        self.note("call", outputs) if tf.executing_eagerly() else None
        return outputs

    def train_step(self, data):
        self.note("train_step", data[0])
        return super().train_step(data)

    def test_step(self, data):
        self.note("test_step", data[0])
        return super().test_step(data)

    def predict_step(self, data):
        self.note("predict_step", data[0])
        return super().predict_step(data)

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        self.note("compute_loss", y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def fit(model, **arguments):
    return model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, **arguments)


def test_every_hook_of_the_user_runs_in_python():
    model = Noting()
    model.compile("sgd", mode="eager")
    fit(model, epochs=2, validation_data=(X, Y))
    model.predict(X, verbose=0)
    assert model.noted == {"train_step", "test_step", "predict_step", "call", "compute_loss"}


def test_a_loss_and_a_metric_of_the_user_run_in_python():
    seen = []

    def own_loss(y_true, y_pred):
        seen.append(tf.executing_eagerly())
        return tf.square(y_true - y_pred)

    def own_metric(y_true, y_pred):
        seen.append(tf.executing_eagerly())
        return tf.abs(y_true - y_pred)

    model = km.SumRegressor(units=())
    model.compile("sgd", own_loss, metrics=[own_metric], mode="eager")
    fit(model, epochs=2)
    assert seen == [True] * 12


def test_an_optimizer_of_the_user_runs_in_python():
    seen = []

    class Own(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            seen.append(tf.executing_eagerly())
            super().update_step(gradient, variable, learning_rate)

    model = km.SumRegressor(units=())
    model.compile(Own(0.1), mode="eager")
    fit(model)
    assert seen == [True] * 6


def test_the_update_of_keras_is_traced_once():
    traces = []
    optimizer = keras.optimizers.Adam()
    model = km.SumRegressor(units=())
    model.compile(optimizer, mode="eager")
    fit(model)
    assert not hasattr(optimizer, "__dict__") or "apply" not in vars(optimizer)
    update_step = optimizer.update_step
    optimizer.update_step = lambda *args: traces.append(1) or update_step(*args)
    fit(model, epochs=3)
    assert not traces


def test_a_learning_rate_set_between_epochs_counts():
    model = km.SumRegressor(units=())
    model.compile(keras.optimizers.SGD(0.1), mode="eager")
    fit(model)
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    fit(model)
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_error_in_a_step_leaves_the_parts_as_they_were():
    class Failing(km.SumRegressor):
        def train_step(self, data):
            logs = super().train_step(data)
            if int(self.optimizer.iterations.numpy()) == 2:
                raise RuntimeError("stop here")
            return logs

    model = Failing(units=())
    model.compile("sgd", mode="eager")
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model)
    assert "apply" not in vars(model.optimizer)


def test_a_number_given_to_a_metric_counts_anew_in_each_step():
    class Counting(km.Model):
        def __init__(self):
            super().__init__()
            self.mean = keras.metrics.Mean(name="mean")
            self.steps = 0

        def train_step(self, data):
            self.steps += 1
            self.mean.update_state(float(self.steps))
            return {"mean": self.mean.result()}

    model = Counting()
    model.compile(mode="eager")
    assert fit(model).history["mean"] == [2.0]


def test_several_steps_an_execution():
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager", steps_per_execution=2)
    fit(model)
    assert int(model.optimizer.iterations.numpy()) == 3


def noting(seen, function):
    """Returns the function that also notes whether it runs in Python."""

    def noted(*args):
        seen.append(tf.executing_eagerly())
        return function(*args)

    return noted


class OwnRate(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, seen):
        self.rate = noting(seen, lambda step: 0.1 / (1.0 + keras.ops.cast(step, "float32")))

    def __call__(self, step):
        return self.rate(step)


class OwnRegularizer(keras.regularizers.Regularizer):
    def __init__(self, seen):
        self.penalize = noting(seen, keras.ops.sum)

    def __call__(self, x):
        return self.penalize(x)


class OwnConstraint(keras.constraints.Constraint):
    def __init__(self, seen):
        self.limit = noting(seen, lambda weight: keras.ops.clip(weight, -0.1, 0.1))

    def __call__(self, weight):
        return self.limit(weight)


class OwnOptimizer(keras.optimizers.SGD):
    def __init__(self, seen):
        super().__init__(0.1)
        self.note = noting(seen, lambda: None)

    def update_step(self, gradient, variable, learning_rate):
        self.note()
        super().update_step(gradient, variable, learning_rate)


def make_dense(optimizer="sgd", **arguments):
    model = km.Model(inputs := keras.Input((3,)), keras.layers.Dense(1, **arguments)(inputs))
    model.compile(optimizer, "mse", mode="eager")
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda seen: make_dense(keras.optimizers.SGD(OwnRate(seen))),
        pytest.param(
            lambda seen: make_dense(keras.optimizers.SGD(noting(seen, lambda: 0.1))),
            marks=pytest.mark.sweep,
        ),
        lambda seen: make_dense(keras.optimizers.LossScaleOptimizer(OwnOptimizer(seen))),
        lambda seen: make_dense(kernel_constraint=OwnConstraint(seen)),
        lambda seen: make_dense(kernel_regularizer=OwnRegularizer(seen)),
        lambda seen: make_dense(activity_regularizer=noting(seen, keras.ops.sum)),
        lambda seen: make_dense(activation=noting(seen, keras.ops.tanh)),
    ],
    ids=["schedule", "rate", "inner", "constraint", "regularizer", "activity", "activation"],
)
def test_what_the_user_gives_to_a_part_of_keras_runs_in_python(make):
    seen = []
    model = make(seen)
    fit(model)
    seen.clear()
    fit(model, epochs=2)
    assert len(seen) >= 6
    assert all(seen)


def test_a_method_that_the_user_has_replaced_stays_and_runs_in_python():
    seen = []
    model = make_dense()
    apply = model.optimizer.apply
    model.optimizer.apply = noting(seen, apply)
    replaced = model.optimizer.apply
    fit(model, epochs=2)
    assert seen == [True] * 6
    assert model.optimizer.apply is replaced


class Listing(km.SumRegressor):
    """Lists a metric of its own twice: as an attribute, and by itself."""

    def __init__(self):
        super().__init__(units=())
        self.error = keras.metrics.MeanAbsoluteError(name="error")

    @property
    def metrics(self):
        return [*super().metrics, self.error]

    def compute_metrics(self, x, y, y_pred, sample_weight):
        self.error.update_state(y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)


@pytest.mark.slow
def test_a_metric_may_be_listed_twice():
    histories = []
    for mode in ("eager", "graph"):
        keras.utils.set_random_seed(0)
        model = Listing()
        model.build((None, 3))
        model.compile("sgd", mode=mode)
        histories.append(fit(model, epochs=2).history["error"])
    np.testing.assert_allclose(*histories, rtol=1e-6)
    assert "update_state" not in vars(model.error)


@pytest.mark.slow
def test_steps_at_once_in_threads_leave_the_parts_as_they_were():
    both_run = threading.Barrier(2)

    class Meeting(km.SumRegressor):
        def test_step(self, data):
            both_run.wait(timeout=600)
            logs = super().test_step(data)
            both_run.wait(timeout=600)
            return logs

    model = Meeting(units=())
    model.compile("sgd", metrics=["mae"], mode="eager")
    fit(model)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(model.evaluate, X, Y, batch_size=4, verbose=0) for _ in range(2)]
        assert len([run.result() for run in runs]) == 2
    for part in [*model.metrics, model.optimizer, *model.layers]:
        assert not {"update_state", "apply", "call"} & vars(part).keys()


@pytest.mark.parametrize(("activation", "units"), [("sigmoid", 1), ("softmax", 2)])
def test_a_cross_entropy_sees_the_logits_of_saturated_outputs(activation, units):
    losses = {1: "binary_crossentropy", 2: "categorical_crossentropy"}
    layer = keras.layers.Dense(units, activation, kernel_initializer="ones")
    model = km.Model(inputs := keras.Input((3,)), layer(inputs))
    evaluated = []
    for mode in ("eager", "graph"):
        model.compile(loss=losses[units], mode=mode)
        weights = [np.linspace(0, 100, units)[np.newaxis].repeat(3, 0), np.zeros(units)]
        model.set_weights(weights if units > 1 else [np.full((3, 1), 100.0), np.zeros(1)])
        targets = np.tile([[0.0] if units == 1 else [1.0, 0.0]], (12, 1))
        evaluated.append(model.evaluate(np.abs(X), targets, batch_size=4, verbose=0))
    assert evaluated[0] > 100
    assert evaluated[0] == pytest.approx(evaluated[1], rel=1e-5)


def test_a_step_may_take_a_step_of_another_model_with_the_same_parts():
    shared = keras.layers.Dense(1)
    inputs = keras.Input((3,))
    inner = km.Model(inputs, shared(inputs))
    inner.compile("sgd", "mse", mode="eager")

    class Outer(km.SumRegressor):
        def __init__(self):
            super().__init__(units=())
            self.output_layer = shared

        def train_step(self, data):
            inner.train_on_batch(*data)
            return super().train_step(data)

    outer = Outer()
    outer.compile("sgd", mode="eager")
    fit(outer, epochs=2)
    assert int(inner.optimizer.iterations.numpy()) == 6
    assert "call" not in vars(shared)


@pytest.mark.slow
def test_names_of_arguments_tell_them_apart():
    class Both(km.SumRegressor):
        def train_step(self, data):
            x, y = data
            logs = super().train_step(data)
            self.metrics[1].reset_state()
            self.metrics[1].update_state(y, y + 1.0)
            self.metrics[1].update_state(y_pred=0.0 * y, y_true=y)
            return logs | {"error": self.metrics[1].result()["mean_absolute_percentage_error"]}

    errors = []
    for mode in ("eager", "graph"):
        model = Both(units=())
        model.build((None, 3))
        model.compile(
            keras.optimizers.SGD(0.0), metrics=["mean_absolute_percentage_error"], mode=mode
        )
        x, y = km.data.sums(num_samples=8, num_features=3, seed=1)
        history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
        errors.append(history["error"])
    np.testing.assert_allclose(*errors, rtol=1e-5)


def test_a_metric_is_updated_with_values_in_place_of_its_variables():
    class Stateless(km.SumRegressor):
        def __init__(self):
            super().__init__(units=())
            self.mean = keras.metrics.Mean(name="mean")

        def train_step(self, data):
            values = [variable.value for variable in self.mean.variables]
            values = self.mean.stateless_update_state(values, data[0])
            for variable, value in zip(self.mean.variables, values, strict=True):
                variable.assign(value)
            return {"mean": self.mean.result()}

    model = Stateless()
    model.build((None, 3))
    model.compile("sgd", mode="eager")
    logs = model.fit(X, Y, batch_size=4, shuffle=False, verbose=0).history
    assert logs["mean"] == [pytest.approx(X.mean(), rel=1e-5)]
