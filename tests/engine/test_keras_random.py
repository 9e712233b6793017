"""Tests that `keras.random`, and Keras's layers that draw, draw the same in every mode and on any
number of replicas: what a graph of stock Keras draws on one device."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes import replicas
from kerasmodes.engine import keras_random

layers = keras.layers
DTYPES = ("float32", "float16", "bfloat16", "float64")
X = np.random.default_rng(0).normal(size=(24, 6, 4)).astype("float32")
Y = X.mean((1, 2), keepdims=True)[:, 0]


def drop(shape, dtype, seed):
    return keras.random.dropout(tf.ones(shape, dtype), 0.3, seed=seed)


def drop_columns(shape, dtype, seed):
    return keras.random.dropout(tf.ones(shape, dtype), 0.3, (None, 1), seed=seed)


def uniform(shape, dtype, seed):
    return keras.random.uniform(shape, -1.0, 3.0, dtype, seed)


def normal(shape, dtype, seed):
    return keras.random.normal(shape, 1.0, 2.0, dtype, seed)


def integers(shape, dtype, seed):
    dtype = "int64" if dtype == "float64" else "int32"
    return keras.random.randint(shape, -3, 10, dtype, seed)


def shuffle(shape, dtype, seed):
    return keras.random.shuffle(tf.range(shape[0]), seed=seed)


DRAWS = [uniform, normal, integers, drop, drop_columns]


def assert_equal(draw, actual, desired):
    """Asserts that numbers are equal to the bit; normal ones within rounding of their dtype."""
    actual, desired = (tf.cast(one, tf.float64).numpy() for one in (actual, desired))
    tolerance = 0.0
    if draw is normal:
        tolerance = 4e-6
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)


def draw_on_replicas(strategy, draw, shape, dtype="float32", num_examples=None):
    """Returns what two replicas draw whose shards have as many examples as the shape has rows."""
    num_examples = num_examples or shape[0]

    def on_replica():
        index = replicas.replica_id(tf.distribute.get_replica_context())
        with replicas.shard_scope(index, 2, num_examples):
            return draw(shape, dtype, 7)

    return strategy.experimental_local_results(strategy.run(on_replica))


# All draws of a dtype are one program: to compile each of them takes twice as long. What is
# shuffled has a dtype of its own. Replicas have the floats of float16, too.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "draws"),
    [
        ("float32", [*DRAWS, shuffle]),
        pytest.param("float16", DRAWS, marks=pytest.mark.sweep),
        ("bfloat16", DRAWS),
        ("float64", DRAWS),
    ],
    ids=DTYPES,
)
def test_xla_draws_what_a_graph_draws(dtype, draws):
    keras_random.replace_draws()

    def draw_all():
        return [draw((7, 5), dtype, 3) for draw in draws]

    compiled, plain = tf.function(draw_all, jit_compile=True)(), tf.function(draw_all)()
    for draw, one, other in zip(draws, compiled, plain, strict=True):
        assert one.dtype == other.dtype
        assert_equal(draw, one, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("draw", DRAWS)
def test_replicas_draw_what_one_device_draws(two_replicas, draw, dtype):
    keras_random.replace_draws()
    drawn = draw_on_replicas(two_replicas, draw, (7, 5), dtype)
    assert_equal(draw, tf.concat(drawn, axis=0), draw((14, 5), dtype, 7))


@pytest.mark.parametrize("draw", [uniform, normal])
@pytest.mark.parametrize("shape", [(), (4,), (4, 7)])
def test_numbers_that_are_not_of_examples_are_the_same_on_each_replica(two_replicas, draw, shape):
    keras_random.replace_draws()
    first, second = draw_on_replicas(two_replicas, draw, shape, num_examples=7)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, draw(shape, "float32", 7))


def test_a_mask_of_some_rows_an_example_is_the_replica_s_own(two_replicas):
    keras_random.replace_draws()
    drawn = draw_on_replicas(two_replicas, drop, (6, 5), num_examples=2)
    np.testing.assert_array_equal(tf.concat(drawn, axis=0), drop((12, 5), "float32", 7))


@pytest.mark.parametrize(
    "make", [lambda: keras.Variable(np.ones((6, 5), "float32")), lambda: np.ones((6, 5), "float32")]
)
def test_a_mask_of_weights_or_of_an_array_is_that_of_a_graph(two_replicas, make):
    keras_random.replace_draws()
    weights = make()

    def drop_weights(shape, dtype, seed):
        return keras.random.dropout(weights, 0.3, seed=seed)

    expected = drop_weights(None, None, 7)
    compiled = tf.function(lambda: drop_weights(None, None, 7), jit_compile=True)()
    np.testing.assert_array_equal(compiled, expected)
    if isinstance(weights, keras.Variable):  # Each replica has all of them.
        for drawn in draw_on_replicas(two_replicas, drop_weights, (6, 5), num_examples=2):
            np.testing.assert_array_equal(drawn, expected)


def test_shards_are_shuffled_in_orders_of_their_own(two_replicas):
    keras_random.replace_draws()
    first, second = draw_on_replicas(two_replicas, shuffle, (50,))
    assert np.any(first.numpy() != second.numpy())
    np.testing.assert_array_equal(np.sort(second), np.arange(50))


LAYERS = {
    "many": lambda: [
        layers.Dropout(0.2, seed=1),
        layers.SpatialDropout1D(0.2, seed=2),
        layers.GaussianNoise(0.5, seed=3),
        layers.GaussianDropout(0.2, seed=4),
        layers.AlphaDropout(0.2, seed=5),
        SelfAttention(),
    ],
    "dropout": lambda: [layers.Dropout(0.4, seed=1), layers.SpatialDropout1D(0.4, seed=2)],
    "noise": lambda: [layers.GaussianNoise(0.5, seed=1), layers.GaussianDropout(0.4, seed=2)],
    "alpha": lambda: [layers.AlphaDropout(0.4, seed=1)],
    "recurrent": lambda: [
        layers.LSTM(3, return_sequences=True, dropout=0.3, recurrent_dropout=0.3, seed=1),
        layers.GRU(3, return_sequences=True, dropout=0.3, seed=2),
    ],
    "attention": lambda: [SelfAttention()],
    "half precision": lambda: [
        layers.Dropout(0.4, seed=1, dtype="mixed_bfloat16"),
        layers.GaussianNoise(0.5, seed=2, dtype="mixed_bfloat16"),
    ],
}


class SelfAttention(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 1, dropout=0.4, seed=1)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x, training=None):
        return self.attention(x, x, training=training)


def train(kind, mode, make_layers, strategy=None, batch_size=8):
    """Returns the losses and weights after two epochs, each of batches of one size by default."""
    strategy = strategy or tf.distribute.get_strategy()
    set_seed(0)
    with strategy.scope():
        model = kind([*make_layers(), layers.Flatten(), layers.Dense(1, dtype="float32")])
        model.build((None, *X.shape[1:]))
        model.compile(keras.optimizers.SGD(0.05), "mean_squared_error", **mode)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(batch_size)
    losses = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
    return losses, np.concatenate([np.ravel(one) for one in model.get_weights()])


def assert_trained_alike(actual, desired, name=None):
    tolerance = 5e-3 if name == "half precision" else 1e-4  # XLA rounds less often.
    for one, other in zip(actual, desired, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance / 10)


def sweep_but(first, others):
    return [first, *(pytest.param(one, marks=pytest.mark.sweep) for one in others if one != first)]


@pytest.mark.parametrize("mode", sweep_but("fused", ["eager", "graph", "xla", "auto"]))
@pytest.mark.parametrize("name", sweep_but("many", LAYERS))
def test_layers_that_draw_have_stock_keras_s_numbers_in_every_mode(name, mode):
    sizes = {"batch_size": 10 if name == "half precision" else 8}
    stock = train(keras.Sequential, {"run_eagerly": True}, LAYERS[name], **sizes)
    found = train(km.Sequential, {"mode": mode}, LAYERS[name], **sizes)
    assert_trained_alike(found, stock, name)


@pytest.mark.parametrize("name", sweep_but("dropout", LAYERS))
def test_layers_that_draw_have_the_numbers_of_one_device_on_replicas(two_replicas, name):
    of_10_and_4 = {"batch_size": 10}
    alone = train(keras.Sequential, {"run_eagerly": True}, LAYERS[name], **of_10_and_4)
    in_graph = {"mode": "graph"}
    replicated = train(km.Sequential, in_graph, LAYERS[name], two_replicas, **of_10_and_4)
    assert_trained_alike(replicated, alone, name)


class Denoiser(km.Model):
    """A user's model that draws in its step, by Keras alone."""

    def __init__(self):
        super().__init__()
        self.seeds, self.dense = keras.random.SeedGenerator(1), layers.Dense(4)

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, _ = data
        noise = keras.random.normal(keras.ops.shape(x), seed=self.seeds)
        times = keras.random.uniform((keras.ops.shape(x)[0], 1, 1), seed=self.seeds)
        with tf.GradientTape() as tape:
            losses = keras.ops.mean((self(x + times * noise) - noise) ** 2, axis=(1, 2))
            loss = km.average_loss(losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


@functools.cache
def train_denoiser(mode, strategy=None):
    strategy = strategy or tf.distribute.get_strategy()
    set_seed(0)
    with strategy.scope():
        model = Denoiser()
        model.build(X.shape)
        model.compile(keras.optimizers.SGD(0.1), mode=mode)
    history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0).history
    return history["loss"], model.get_weights()[0]


@pytest.mark.parametrize("mode", ["xla", pytest.param("fused", marks=pytest.mark.sweep)])
def test_a_step_that_draws_by_keras_has_the_numbers_of_a_graph(mode):
    assert_trained_alike(train_denoiser(mode), train_denoiser("graph"))


def test_a_step_that_draws_by_keras_has_the_numbers_of_one_device_on_replicas(two_replicas):
    assert_trained_alike(train_denoiser("graph", two_replicas), train_denoiser("graph"))


def test_a_model_without_a_mode_draws_what_stock_keras_draws():
    keras_random.replace_draws()
    drawn = keras.random.normal((3,), seed=5)
    np.testing.assert_array_equal(drawn, tf.random.stateless_normal((3,), seed=(5, 0)))
