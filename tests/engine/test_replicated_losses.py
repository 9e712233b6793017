"""Tests of compiled and added losses on several replicas: shares add up to the true number."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km

ONE_DEVICE = tf.distribute.get_strategy()
GENERATOR = np.random.default_rng(0)
# Rows of different lengths, so that the replicas hide different numbers of values; an odd number of
# rows: a batch of 8 is cut in shards, one of 7 is given whole to each replica.
TOKENS = GENERATOR.integers(1, 8, (15, 5))
TOKENS[:5, 2:] = 0
TARGETS = GENERATOR.normal(size=(15, 5, 1)).astype("float32")
CLASSES = GENERATOR.integers(0, 3, 15)
WEIGHTS = GENERATOR.uniform(0, 2, (15, 5)).astype("float32")
X = GENERATOR.normal(size=(15, 3)).astype("float32")
Y = GENERATOR.uniform(0, 1, (15, 1)).astype("float32")


def fit_numbers(model, x, y, **fit):
    """Returns the numbers of a fit: a batch of 8, and one of 7."""
    history = model.fit(x, y, batch_size=8, verbose=0, **fit).history
    weights = np.concatenate([weight.ravel() for weight in model.get_weights()])
    return {**history, "weights": weights}


def numbers_of(model, x, y, **fit):
    """Returns the numbers of a fit and of an evaluation."""
    numbers = fit_numbers(model, x, y, **fit)
    evaluated = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    return {**numbers, **{f"evaluated {name}": value for name, value in evaluated.items()}}


def assert_equal_on(two_replicas, train, mode="graph"):
    """Asserts that a function of strategy and mode returns the numbers of one device."""
    set_seed(0)
    expected = train(ONE_DEVICE, "eager")  # Quicker than to trace a few steps.
    set_seed(0)
    numbers = train(two_replicas, mode)
    assert set(numbers) == set(expected)
    for name, value in numbers.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def train_masked(strategy, mode, loss, **fit):
    with strategy.scope():
        embedding = keras.layers.Embedding(8, 4, mask_zero=True)
        layers = [keras.Input((5,), dtype="int32"), embedding, keras.layers.Dense(1)]
        model = km.with_modes(keras.Sequential(layers))
        model.compile("sgd", loss(), mode=mode)
    return numbers_of(model, TOKENS, TARGETS, **fit)


def train_dense(strategy, mode, loss, y=Y, layers=(), num_examples=8, **fit):
    with strategy.scope():
        made = [make() for make in layers] or [keras.layers.Dense(1, "sigmoid")]
        model = km.with_modes(keras.Sequential([keras.Input((3,)), *made]))
        model.compile("sgd", loss, mode=mode)
    # Mostly, two steps on one batch that is cut: each size of a batch has a graph of its own.
    fit = {"epochs": 2 if num_examples == 8 else 1, **fit}
    return fit_numbers(model, X[:num_examples], y[:num_examples], **fit)


OTHER_WAYS = [
    (None, WEIGHTS, "eager"),
    ("sum_over_batch_size", WEIGHTS, "graph"),
    ("sum", WEIGHTS, "eager"),
    ("mean_with_sample_weight", WEIGHTS, "graph"),
    ("mean_with_sample_weight", None, "graph"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reduction", "weights", "mode"),
    [
        ("sum_over_batch_size", None, "eager"),
        # Each of these reductions is that of an output below, or of a loss without a mask.
        *(pytest.param(*way, marks=pytest.mark.sweep) for way in OTHER_WAYS),
    ],
)
def test_masked_losses_are_those_of_one_device(two_replicas, reduction, weights, mode):
    loss = functools.partial(keras.losses.MeanSquaredError, reduction=reduction)
    train = functools.partial(train_masked, loss=loss, sample_weight=weights)
    assert_equal_on(two_replicas, train, mode)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight", None])
def test_every_reduction_of_weighted_losses_is_that_of_one_device(two_replicas, reduction):
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    train = functools.partial(train_dense, loss=loss, sample_weight=WEIGHTS[:8, 0])
    assert_equal_on(two_replicas, train)


@pytest.mark.slow
def test_classes_that_are_ignored_do_not_count_on_any_replica(two_replicas):
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=0)
    layers = [functools.partial(keras.layers.Dense, 3, "softmax")]
    train = functools.partial(train_dense, loss=loss, y=np.sort(CLASSES[:8]), layers=layers)
    assert_equal_on(two_replicas, train, "eager")


@pytest.mark.slow
def test_class_weights_are_those_of_one_device(two_replicas):
    weights = {"class_weight": {0: 1.0, 1: 3.0}}
    train = functools.partial(train_dense, loss="binary_crossentropy", y=np.round(Y), **weights)
    assert_equal_on(two_replicas, train)


def root_of_the_mean(y_true, y_pred):
    return tf.sqrt(tf.reduce_mean(tf.square(y_true - y_pred)))


class Correlation(keras.losses.Loss):
    """Of the examples of a batch: no mean over the replicas is right."""

    def call(self, y_true, y_pred):
        return -keras.ops.mean((y_true - keras.ops.mean(y_true)) * y_pred)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "mode"),
    [
        pytest.param(root_of_the_mean, "graph", marks=pytest.mark.sweep),
        (Correlation(), "eager"),
        pytest.param(keras.losses.Dice(), "graph", marks=pytest.mark.sweep),
        pytest.param(keras.losses.CosineSimilarity(axis=0), "eager", marks=pytest.mark.sweep),
    ],
    ids=["function", "class", "Dice", "axis=0"],
)
def test_a_loss_of_the_batch_as_a_whole_sees_all_of_it(two_replicas, loss, mode):
    assert_equal_on(two_replicas, functools.partial(train_dense, loss=loss), mode)


@pytest.mark.slow
def test_outputs_of_one_dimension_are_averaged_over_all_replicas(two_replicas):
    layers = [functools.partial(keras.layers.Dense, 1), lambda: keras.layers.Reshape(())]
    train = functools.partial(train_dense, loss="mae", y=Y[:, 0], layers=layers)
    assert_equal_on(two_replicas, train, "eager")


REDUCTIONS = ("sum", "mean_with_sample_weight")


def train_outputs(strategy, mode):
    with strategy.scope():
        tokens = keras.Input((5,), dtype="int32")
        embedded = keras.layers.Embedding(8, 2, mask_zero=True)(tokens)
        outputs = [keras.layers.Dense(1, name=name)(embedded) for name in REDUCTIONS]
        pooled = keras.layers.GlobalAveragePooling1D()(embedded)
        outputs.append(keras.layers.Dense(3, "softmax", name="classes")(pooled))
        model = km.Model(tokens, outputs)
        losses = [keras.losses.MeanSquaredError(reduction=name) for name in REDUCTIONS]
        losses.append("sparse_categorical_crossentropy")
        model.compile("sgd", losses, loss_weights=[0.1, 0.5, 2.0], mode=mode)
    # Two steps on one batch that is cut; the one that is not cut is that of a masked loss above.
    targets = [TARGETS[:8]] * 2 + [CLASSES[:8]]
    weights = [WEIGHTS[:8]] * 2 + [WEIGHTS[:8, 0]]
    fit = {"sample_weight": weights, "shuffle": False, "epochs": 2}
    return fit_numbers(model, TOKENS[:8], targets, **fit)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep)])
def test_the_losses_of_several_outputs_are_those_of_one_device_with_every_reduction(
    two_replicas, mode
):
    assert_equal_on(two_replicas, train_outputs, mode)


class Adds(keras.layers.Layer):
    """Adds a loss of its inputs, and hands them on."""

    def __init__(self, average):
        super().__init__()
        self.average = average

    def call(self, x):
        self.add_loss(self.average(tf.reduce_mean(x**2, axis=-1)))
        return x


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep)])
def test_what_layers_add_to_the_loss_counts_once(two_replicas, mode):
    layers = [
        functools.partial(
            keras.layers.Dense, 4, kernel_regularizer="l2", activity_regularizer="l1"
        ),
        functools.partial(Adds, tf.reduce_mean),
        # The replicas wait for each other here, with losses in their hands.
        functools.partial(keras.layers.BatchNormalization, synchronized=True),
        functools.partial(Adds, km.average_loss),
        functools.partial(keras.layers.Dense, 1),
    ]
    train = functools.partial(
        train_dense, loss=root_of_the_mean, layers=layers, num_examples=len(X)
    )
    assert_equal_on(two_replicas, train, mode)


def spread(outputs):
    return 0.5 * keras.ops.std(outputs)


def squares(outputs):
    return 0.1 * keras.ops.square(outputs)


OTHER_PENALTIES = [("l1", "eager"), ("l2", "auto"), (spread, "graph"), (squares, "graph")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("regularizer", "mode"),
    [
        ("l2", "graph"),
        (spread, "eager"),
        *(pytest.param(*way, marks=pytest.mark.sweep) for way in OTHER_PENALTIES),
    ],
)
def test_an_activity_regularizer_counts_as_on_one_device(two_replicas, regularizer, mode):
    dense = functools.partial(keras.layers.Dense, 1, activity_regularizer=regularizer)
    train = functools.partial(train_dense, loss="mse", layers=[dense], num_examples=len(X))
    assert_equal_on(two_replicas, train, mode)


def test_a_layer_keeps_its_activity_regularizer(two_replicas):
    with two_replicas.scope():
        layer = keras.layers.Dense(1, activity_regularizer="l2")
        model = km.Sequential([keras.Input((3,)), layer])
        model.compile("sgd", "mse", mode="eager")
    before = layer.get_config()
    model.train_on_batch(X[:2], Y[:2])
    assert layer.get_config() == before


def test_an_added_loss_of_each_example_is_refused(two_replicas):
    layers = [functools.partial(Adds, tf.identity), functools.partial(keras.layers.Dense, 1)]
    words = r"must be given a scalar .* Received: a tensor with shape=\(4,\). Use km.average_loss"
    with pytest.raises(ValueError, match=words):
        train_dense(two_replicas, "graph", "mse", layers=layers)


def train_on_single_batches(strategy, mode):
    with strategy.scope():
        embedding = keras.layers.Embedding(8, 4, mask_zero=True)
        layers = [keras.Input((5,), dtype="int32"), embedding, keras.layers.Dense(1)]
        model = km.with_modes(keras.Sequential(layers))
        model.compile("sgd", "mse", mode=mode)
    return {
        "train": model.train_on_batch(TOKENS[:8], TARGETS[:8]),
        "test": model.test_on_batch(TOKENS[3:8], TARGETS[3:8]),
    }


@pytest.mark.slow
@pytest.mark.sweep
def test_masked_losses_of_single_batches_are_those_of_one_device(two_replicas):
    assert_equal_on(two_replicas, train_on_single_batches)


class OwnLossObject(km.Model):
    """Calls losses of Keras in its step, as the guides of keras.io do."""

    def __init__(self, *losses):
        super().__init__()
        self.embedding = keras.layers.Embedding(8, 2, mask_zero=True)
        self.dense = keras.layers.Dense(1)
        self.own_losses = losses
        self.tracker = keras.metrics.Mean(name="loss")

    def build(self, input_shape):
        self.embedding.build((None, 5))
        self.dense.build((None, 5, 2))
        self.built = True

    def call(self, x):
        return self.dense(self.embedding(x))

    def train_step(self, data):
        x, y, sample_weight = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            losses = [loss(y, y_pred, sample_weight) for loss in self.own_losses]
            loss = losses[0] + 0.5 * losses[1]
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result(), "first": losses[0], "second": losses[1]}


@pytest.mark.slow
@pytest.mark.sweep
def test_losses_of_keras_in_own_steps_are_those_of_one_device(two_replicas):
    def train(strategy, mode):
        with strategy.scope():
            losses = keras.losses.MeanSquaredError, keras.losses.MeanAbsoluteError
            reductions = "sum_over_batch_size", "mean_with_sample_weight"
            model = OwnLossObject(
                *(loss(reduction=name) for loss, name in zip(losses, reductions, strict=True))
            )
            model.build((None, 5))
            model.compile("sgd", mode=mode)
        data = (part[:8] for part in (TOKENS, TARGETS))
        return fit_numbers(model, *data, sample_weight=WEIGHTS[:8], epochs=2)

    assert_equal_on(two_replicas, train)
