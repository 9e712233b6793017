"""Tests of `kerasmodes.random`: equal in every mode, distinct everywhere else, saved.

Whether they are random enough is in `test_random_statistics.py`.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

COMPILED = {
    "graph": lambda function: tf.function(function),
    "xla": lambda function: tf.function(function, jit_compile=True),
}
DRAWS = {"uniform": km.random.uniform, "normal": km.random.normal}


class Noise(keras.layers.Layer):
    """Adds noise from a stream of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = km.random.SeedGenerator(3)

    def call(self, x):
        return x + km.random.normal(tf.shape(x), seed=self.seed_generator)


class NoisyModel(km.Model):
    """A user's model that draws by itself and through layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.noise = Noise()
        self.dropout = km.random.Dropout(0.5, seed=4)
        self.seed_generator = km.random.SeedGenerator(5)
        self.built = True

    def call(self, x, training=False):
        x = self.dropout(self.noise(x), training=training)
        return x + km.random.uniform(tf.shape(x), seed=self.seed_generator)


class NoisyStockModel(keras.Model):
    """The same layers in a model that knows nothing of modes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.noise = Noise()
        self.dropout = km.random.Dropout(0.5, seed=4)
        self.built = True

    def call(self, x, training=False):
        return self.dropout(self.noise(x), training=training)


def make_stock_functional_model():
    inputs = keras.Input((8,))
    return keras.Model(inputs, km.random.Dropout(0.5)(inputs))


@pytest.mark.parametrize("mode", COMPILED)
def test_uniform_numbers_are_the_same_bits_in_every_mode(mode):
    def draw():
        return km.random.uniform((1000,), seed=7)

    np.testing.assert_array_equal(COMPILED[mode](draw)(), draw())


def test_normal_numbers_are_the_same_bits_in_eager_and_graph():
    def draw():
        return km.random.normal((1000,), seed=7)

    np.testing.assert_array_equal(tf.function(draw)(), draw())


def test_normal_numbers_agree_under_xla():
    def draw():
        return km.random.normal((10_000,), seed=7)

    compiled = tf.function(draw, jit_compile=True)
    np.testing.assert_allclose(compiled(), draw(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", COMPILED)
def test_dropout_masks_are_the_same_bits_in_every_mode(mode):
    def drop(layer):
        return layer(tf.ones((50, 40)), training=True)

    eager, other = km.random.Dropout(0.3, seed=7), km.random.Dropout(0.3, seed=7)
    compiled = COMPILED[mode](lambda: drop(other))
    for _ in range(3):
        np.testing.assert_array_equal(compiled(), drop(eager))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_generator_gives_new_numbers_at_each_call(draw):
    generator = km.random.SeedGenerator(0)
    first, second = (draw((1000,), seed=generator).numpy() for _ in range(2))
    assert np.mean(first == second) < 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_generators_of_different_seeds_differ(draw):
    first, second = (draw((1000,), seed=km.random.SeedGenerator(seed)) for seed in (0, 1))
    assert np.mean(first.numpy() == second.numpy()) < 0.01


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_generators_of_one_seed_agree(draw):
    first, second = (km.random.SeedGenerator(5) for _ in range(2))
    for _ in range(3):
        np.testing.assert_array_equal(draw((9,), seed=first), draw((9,), seed=second))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_an_integer_seed_gives_the_same_numbers_each_time(draw):
    np.testing.assert_array_equal(draw((9,), seed=2), draw((9,), seed=2))
    assert np.all(draw((9,), seed=2).numpy() != draw((9,), seed=3).numpy())


def test_a_generator_without_seed_follows_the_global_seed_of_keras():
    def draw(global_seed):
        keras.utils.set_random_seed(global_seed)
        return km.random.uniform((9,), seed=km.random.SeedGenerator()).numpy()

    np.testing.assert_array_equal(draw(1), draw(1))
    assert np.all(draw(1) != draw(2))


def test_normal_numbers_take_mean_and_standard_deviation():
    standard = km.random.normal((50,), seed=0)
    moved = km.random.normal((50,), mean=3.0, stddev=2.0, seed=0)
    np.testing.assert_allclose(moved, 3 + 2 * standard.numpy(), rtol=1e-5)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), ()),
        ([2, 3], (2, 3)),
        (tf.TensorShape([2, 3]), (2, 3)),
        (tf.constant([2, 3]), (2, 3)),
        (tf.constant([2, 3], tf.int64), (2, 3)),
        ((tf.constant(2), 3), (2, 3)),
    ],
    ids=["scalar", "list", "TensorShape", "int32", "int64", "mixed"],
)
def test_shapes_may_be_given_in_any_form(draw, shape, expected):
    assert draw(shape, seed=0).shape == expected


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("seed", [None, "0", 1.5, True])
def test_a_draw_needs_a_generator_or_an_integer(draw, seed):
    with pytest.raises(TypeError, match="`seed` must be a km.random.SeedGenerator or an integer"):
        draw((2,), seed=seed)


def test_a_generator_of_keras_is_refused():
    with pytest.raises(TypeError, match="must be a km.random.SeedGenerator"):
        km.random.uniform((2,), seed=keras.random.SeedGenerator(0))


@pytest.mark.parametrize("seed", ["0", 1.5, True])
def test_a_generator_needs_an_integer_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer or None. Received: seed="):
        km.random.SeedGenerator(seed)


@pytest.mark.parametrize("seed", [5, "a generator"])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_replicas_draw_different_numbers_at_every_step(two_replicas, draw, seed):
    if seed == "a generator":
        with two_replicas.scope():
            seed = km.random.SeedGenerator(5)

    @tf.function
    def step():
        return two_replicas.run(lambda: draw((4,), seed=seed))

    steps = 1 if isinstance(seed, int) else 4
    rows = [row.numpy() for _ in range(steps) for row in step().values]
    assert len(np.unique(rows)) == 4 * 2 * steps


def test_replicas_drop_different_inputs(two_replicas):
    with two_replicas.scope():
        layer = km.random.Dropout(0.5, seed=0)

    @tf.function
    def step():
        return two_replicas.run(lambda: layer(tf.ones((200,)), training=True))

    masks = [mask.numpy() for _ in range(2) for mask in step().values]
    for index, mask in enumerate(masks):
        for other in masks[:index]:
            assert 0.3 < np.mean(mask == other) < 0.7


def test_the_first_replica_draws_what_one_device_draws(two_replicas):
    replicas = two_replicas.run(lambda: km.random.uniform((9,), seed=1))
    np.testing.assert_array_equal(replicas.values[0], km.random.uniform((9,), seed=1))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize(
    "make_model",
    [NoisyModel, NoisyStockModel, make_stock_functional_model],
    ids=lambda f: f.__name__,
)
def test_a_saved_model_goes_on_with_the_next_numbers(tmp_path, make_model, suffix):
    x, path = tf.ones((3, 8)), tmp_path / f"model{suffix}"
    model = make_model()
    first = model(x, training=True)
    if suffix == ".keras":
        model.save(path)
        classes = {one.__name__: one for one in (Noise, NoisyModel, NoisyStockModel)}
        loaded = keras.models.load_model(path, custom_objects=classes)
    else:
        model.save_weights(path)
        loaded = make_model()
        loaded.load_weights(path)
    second = model(x, training=True)
    assert np.any(first.numpy() != second.numpy())
    np.testing.assert_array_equal(loaded(x, training=True), second)


def test_random_state_counts_as_no_weight():
    model = NoisyModel()
    model(tf.ones((2, 8)))
    assert model.weights == []
    assert model.count_params() == 0


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.5, None), (0, True)])
def test_dropout_passes_its_inputs_when_nothing_is_to_be_dropped(rate, training):
    x = np.ones((10, 10), "float32")
    arguments = {} if training is None else {"training": training}
    np.testing.assert_array_equal(km.random.Dropout(rate)(x, **arguments), x)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_dropout_keeps_the_dtype_of_its_policy(dtype):
    layer = km.random.Dropout(0.5, dtype=dtype)
    assert layer(tf.ones((2, 2)), training=True).dtype == layer.compute_dtype


def test_dropout_comes_back_from_its_config():
    layer = km.random.Dropout(0.25, seed=9, name="drop")
    again = km.random.Dropout.from_config(layer.get_config())
    assert (again.rate, again.name) == (0.25, "drop")
    x = tf.ones((100,))
    np.testing.assert_array_equal(again(x, training=True), layer(x, training=True))


@pytest.mark.parametrize("rate", [1, -0.1, 1.5, "0.3", None, True])
def test_dropout_needs_a_rate_below_one(rate):
    with pytest.raises(ValueError, match=r"`rate` must be a number in \[0, 1\). Received: rate="):
        km.random.Dropout(rate)
