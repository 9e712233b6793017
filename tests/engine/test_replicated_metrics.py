"""Tests of metrics on several replicas: those of one device, whatever their states are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km

ONE_DEVICE = tf.distribute.get_strategy()
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(15, 3)).astype("float32")
Y = GENERATOR.uniform(0, 1, (15, 1)).astype("float32")
CLASSES = GENERATOR.integers(0, 2, (15, 1))
WEIGHTS = GENERATOR.uniform(0, 2, 15).astype("float32")


class Largest(keras.metrics.Metric):
    """The largest value since the last reset, and the last one; neither begins at zero."""

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.largest = self.add_variable((), keras.initializers.Constant(-9.0), name="largest")
        self.last = self.add_variable((), "ones", name="last")

    def update_state(self, y_true, y_pred=None, sample_weight=None):
        values = y_true if y_pred is None else keras.ops.abs(y_true - y_pred)
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(values)))
        self.last.assign(keras.ops.sum(values))

    def result(self):
        return {"largest": self.largest.value, "last": self.last.value}

    def reset_state(self):
        self.largest.assign(-9.0)
        self.last.assign(1.0)


def largest_error(y_true, y_pred):
    return keras.ops.max(keras.ops.abs(y_true - y_pred))


def numbers_of(model, y, num_examples=15, sample_weight=None):
    """Returns the numbers of a fit and of an evaluation.

    A batch of 8 is cut in shards; the one of 7 is given whole to each replica, and has a graph of
    its own.
    """
    x, y = X[:num_examples], y[:num_examples]
    fit = {"batch_size": 8, "verbose": 0}
    history = model.fit(x, y, epochs=2, sample_weight=sample_weight, **fit).history
    evaluated = model.evaluate(x, y, return_dict=True, **fit)
    return {**history, **{f"evaluated {name}": value for name, value in evaluated.items()}}


def assert_equal_on(two_replicas, train, mode="graph"):
    """Asserts that a function of strategy and mode returns the numbers of one device."""
    set_seed(0)
    expected = train(ONE_DEVICE, "eager")  # Quicker than to trace a few steps.
    set_seed(0)
    numbers = train(two_replicas, mode)
    assert set(numbers) == set(expected)
    for name, value in numbers.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def train_with(make_metrics, y=Y, activation="sigmoid", **fit):
    def train(strategy, mode):
        with strategy.scope():
            layers = [keras.Input((3,)), keras.layers.Dense(1, activation)]
            model = km.with_modes(keras.Sequential(layers))
            metrics = make_metrics()
            model.compile("sgd", "mse", metrics=metrics, weighted_metrics=["mae"], mode=mode)
        return numbers_of(model, y, **fit)

    return train


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_states_that_do_not_add_up_are_those_of_one_device(two_replicas, mode):
    assert_equal_on(two_replicas, train_with(lambda: [Largest(), largest_error]), mode)


@pytest.mark.slow
def test_states_that_do_not_add_up_can_be_read_after_a_fit(two_replicas):
    def train(strategy, mode):
        with strategy.scope():
            model = km.SumRegressor(units=())
            model.compile("sgd", metrics=[Largest()], mode=mode)
        model.evaluate(X, Y, batch_size=8, verbose=0)
        return model.get_metrics_result()["largest"]

    assert_equal_on(two_replicas, train, "eager")


FOR_TWO_CLASSES = [
    lambda: keras.metrics.AUC(num_thresholds=9, name="auc"),
    lambda: keras.metrics.F1Score(name="f1"),
    lambda: "accuracy",
    lambda: keras.metrics.PrecisionAtRecall(0.5, num_thresholds=9, name="precision_at_recall"),
    lambda: keras.metrics.BinaryIoU([0, 1], name="iou"),
]
FOR_NUMBERS = [
    lambda: keras.metrics.R2Score(name="r2"),
    lambda: keras.metrics.PearsonCorrelation(axis=0, name="correlation"),  # Of the whole batch.
    lambda: keras.metrics.CosineSimilarity(name="similarity"),
    lambda: keras.metrics.RootMeanSquaredError(name="root"),
]


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("makers", [FOR_TWO_CLASSES[:3], FOR_TWO_CLASSES], ids=["some", "all"])
def test_metrics_of_keras_for_two_classes_are_those_of_one_device(two_replicas, makers):
    train = train_with(
        lambda: [make() for make in makers], CLASSES, num_examples=8, sample_weight=WEIGHTS[:8]
    )
    assert_equal_on(two_replicas, train)


@pytest.mark.slow
@pytest.mark.parametrize(
    "makers",
    [
        pytest.param(FOR_NUMBERS[:2], id="some"),  # With states of different kinds.
        pytest.param(FOR_NUMBERS, id="all", marks=pytest.mark.sweep),
    ],
)
def test_metrics_of_keras_for_numbers_are_those_of_one_device(two_replicas, makers):
    train = train_with(lambda: [make() for make in makers], activation=None, num_examples=8)
    assert_equal_on(two_replicas, train)


@pytest.mark.slow
@pytest.mark.sweep
def test_metrics_of_outputs_of_one_dimension_are_those_of_one_device(two_replicas):
    def train(strategy, mode):
        with strategy.scope():
            layers = [keras.Input((3,)), keras.layers.Dense(1), keras.layers.Reshape(())]
            model = km.with_modes(keras.Sequential(layers))
            model.compile("sgd", "mse", metrics=["mae"], mode=mode)
        return numbers_of(model, Y[:, 0], num_examples=8)

    assert_equal_on(two_replicas, train)


def test_a_metric_made_outside_the_scope_is_refused(two_replicas):
    metric = keras.metrics.MeanSquaredError(name="error")
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.compile("sgd", metrics=[metric])
    with pytest.raises(ValueError, match="in the scope of the strategy .* Received: 'error'"):
        model.fit(X, Y, batch_size=4, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 0


class OwnSteps(km.Model):
    """Two optimizers, and metrics that the steps update themselves, under other names in the logs.

    Args:
        lists_metrics: Whether `metrics` lists them; otherwise nobody resets them, either.
        values_of: What `Largest` is given of the losses.
    """

    def __init__(self, lists_metrics=True, values_of=tf.identity):
        super().__init__()
        self.hidden = keras.layers.Dense(4, "tanh")
        self.head = keras.layers.Dense(1)
        self.lists_metrics, self.values_of = lists_metrics, values_of
        self.mean_loss = keras.metrics.Mean(name="mean_of_losses")
        self.mean_of_scalars = keras.metrics.Mean(name="mean_of_scalars")
        self.mean_of_shares = keras.metrics.Mean(name="mean_of_shares")
        self.error = keras.metrics.RootMeanSquaredError(name="root")
        self.largest = Largest()

    @property
    def metrics(self):
        return super().metrics if self.lists_metrics else []

    def build(self, input_shape):
        self.hidden.build((None, 3))
        self.head.build((None, 4))
        self.built = True

    def call(self, x):
        return self.head(self.hidden(x))

    def compile(self, **kwargs):
        super().compile(optimizer=None, **kwargs)
        self.hidden_optimizer = keras.optimizers.SGD(0.1)
        self.hidden_optimizer.build(self.hidden.trainable_variables)
        self.head_optimizer = keras.optimizers.Adam(0.01)
        self.head_optimizer.build(self.head.trainable_variables)

    def update(self, losses, loss, y, y_pred):
        self.mean_loss.update_state(losses)
        self.mean_of_scalars.update_state(tf.reduce_mean(losses))
        self.mean_of_shares.update_state(loss)
        self.error.update_state(y, y_pred)
        self.largest.update_state(self.values_of(losses))
        return {
            "loss": self.mean_loss.result(),
            "scalars": self.mean_of_scalars.result(),
            "shares": self.mean_of_shares.result(),
            "error": self.error.result(),
            **self.largest.result(),
            "last_loss": loss,
        }

    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            y_pred = self(x, training=True)
            losses = tf.square(y - y_pred)
            loss = km.average_loss(losses)
        for layer, optimizer in (
            (self.hidden, self.hidden_optimizer),
            (self.head, self.head_optimizer),
        ):
            gradients = tape.gradient(loss, layer.trainable_variables)
            optimizer.apply(gradients, layer.trainable_variables)
        return self.update(losses, loss, y, y_pred)

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        losses = tf.square(y - y_pred)
        return self.update(losses, km.average_loss(losses), y, y_pred)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lists_metrics", "mode"),
    [pytest.param(True, "graph", marks=pytest.mark.sweep), (False, "eager")],
)
def test_metrics_of_own_steps_are_those_of_one_device(two_replicas, lists_metrics, mode):
    def train(strategy, mode):
        with strategy.scope():
            model = OwnSteps(lists_metrics)
            model.build((None, 3))
            model.compile(mode=mode)
        numbers = numbers_of(model, Y)
        weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
        return {**numbers, "weights": weights}

    assert_equal_on(two_replicas, train, mode)


def test_a_scalar_for_states_that_do_not_add_up_is_refused(two_replicas):
    with two_replicas.scope():
        model = OwnSteps(values_of=tf.reduce_max)
        model.build((None, 3))
        model.compile(mode="graph")
    with pytest.raises(ValueError, match="must be given one value an example .* a scalar tensor"):
        model.fit(X, Y, batch_size=4, verbose=0)
    assert int(model.head_optimizer.iterations.numpy()) == 0


class OwnLoss(km.Model):
    """Logs and averages the sum of its losses, as examples of keras.io do."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own_loss = keras.losses.MeanAbsoluteError()
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.tracker]

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            penalty = km.average_loss(tf.abs(y_pred)) / 3
            loss = self.compute_loss(x, y, y_pred) + sum([0.5 * self.own_loss(y, y_pred), penalty])
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result(), "last_loss": loss}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("eager", marks=pytest.mark.sweep)])
def test_a_step_may_log_a_sum_of_losses(two_replicas, mode):
    def train(strategy, mode):
        with strategy.scope():
            model = OwnLoss()
            model.compile("sgd", "mse", mode=mode)
        return model.fit(X[:8], Y[:8], batch_size=8, epochs=2, verbose=0).history

    assert_equal_on(two_replicas, train, mode)


class OwnLogs(km.SumRegressor):
    """Computes a log of the result of a metric."""

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "root": tf.sqrt(logs["mse"])}


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_logs_computed_of_results_are_those_of_one_device(two_replicas, mode):
    def train(strategy, mode):
        with strategy.scope():
            model = OwnLogs(units=())
            model.build((None, 3))
            model.compile("sgd", metrics=["mse"], mode=mode)
        on_batch = model.train_on_batch(X[:8], Y[:8], return_dict=True)
        return {**numbers_of(model, Y, num_examples=8), "on batch": on_batch["root"]}

    assert_equal_on(two_replicas, train, mode)
