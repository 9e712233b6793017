"""Tests of optimizers on several replicas: they decide by what all replicas have added up."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

ONE_DEVICE = tf.distribute.get_strategy()
X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)


def weights_after_a_fit(strategy, optimizer, mode="graph"):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile(optimizer(), mode=mode)
    model.fit(X, Y, batch_size=4, verbose=0)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "mode"),
    [
        ("global_clipnorm", "graph"),
        pytest.param("clipvalue", "eager", marks=pytest.mark.sweep),
        pytest.param("clipnorm", "graph", marks=pytest.mark.sweep),
    ],
)
def test_gradients_are_clipped_as_on_one_device(two_replicas, clip, mode):
    def optimizer():
        return keras.optimizers.SGD(0.1, **{clip: 0.1})

    expected = weights_after_a_fit(ONE_DEVICE, optimizer, "eager")
    unclipped = weights_after_a_fit(ONE_DEVICE, lambda: keras.optimizers.SGD(0.1), "eager")
    assert np.abs(unclipped - expected).max() > 1e-2
    weights = weights_after_a_fit(two_replicas, optimizer, mode)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


class Product(km.Model):
    """One weight; its gradient is the mean of the examples, times the scale of the loss."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer="ones")
        self.built = True

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = self.optimizer.scale_loss(km.average_loss(data * self.weight))
        self.optimizer.apply(tape.gradient(loss, [self.weight]), [self.weight])
        return {"scaled": loss}


@pytest.mark.slow
@pytest.mark.parametrize("place", [pytest.param(0, marks=pytest.mark.sweep), 3])
def test_an_infinity_on_one_replica_makes_all_of_them_skip_the_step(two_replicas, place):
    with two_replicas.scope():
        model = Product()
        inner = keras.optimizers.SGD(0.5, clipvalue=2.0)
        optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)
        optimizer.build([model.weight])
        model.compile(optimizer, mode="graph")
    examples = np.ones((4, 1), "float32")
    model.fit(examples, batch_size=4, verbose=0)
    assert [model.weight.numpy(), optimizer.dynamic_scale.numpy()] == [0.5, 8.0]
    examples[place] = np.inf
    model.fit(examples, batch_size=4, verbose=0)
    for value in model.weight.value.values:  # One on each replica.
        assert value.numpy() == 0.5
    assert optimizer.dynamic_scale.numpy() == 4.0
    assert optimizer.iterations.numpy() == 1


def test_accumulated_gradients_are_refused_in_words(two_replicas):
    def optimizer():
        return keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)

    with pytest.raises(ValueError, match="must be None on several replicas. Received: gradient_ac"):
        weights_after_a_fit(two_replicas, optimizer)


def make_overwriting_optimizer():
    return keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)


def test_averages_that_overwrite_weights_are_refused_in_words(two_replicas):
    with pytest.raises(ValueError, match="must be None on several replicas .* Received: ema_over"):
        weights_after_a_fit(two_replicas, make_overwriting_optimizer)


@pytest.mark.slow
def test_averages_overwrite_weights_line_by_line(two_replicas):
    expected = weights_after_a_fit(ONE_DEVICE, make_overwriting_optimizer, "eager")
    weights = weights_after_a_fit(two_replicas, make_overwriting_optimizer, "eager")
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def round_to_bfloat16(value):
    return tf.cast(tf.cast(value, tf.bfloat16), tf.float32).numpy()


def make_product(strategy, make_optimizer, mode, gradient_dtype):
    with strategy.scope():
        model, optimizer = Product(), make_optimizer()
        optimizer.build([model.weight])
        model.compile(optimizer, mode=mode, gradient_dtype=gradient_dtype)
    return model


THIRDS = np.array([[1.0], [1.0], [100.0], [100.0]], "float32") / 3
OPTIMIZERS = {
    "plain": lambda: keras.optimizers.SGD(1.0),
    "clipped": lambda: keras.optimizers.SGD(1.0, clipvalue=100.0),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), 8.0),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(
            name, mode, marks=[] if (name, mode) == ("clipped", "graph") else pytest.mark.sweep
        )
        for name in OPTIMIZERS
        for mode in ("graph", "eager")
    ],
)
def test_gradients_are_added_up_in_bfloat16_where_that_is_asked_for(two_replicas, name, mode):
    shares = THIRDS.reshape(2, 2).sum(axis=1) / 4
    rounded = round_to_bfloat16(sum(round_to_bfloat16(share) for share in shares))
    assert abs(rounded - shares.sum()) > 1e-3
    model = make_product(two_replicas, OPTIMIZERS[name], mode, "bfloat16")
    for dtype, total in (("bfloat16", rounded), (None, shares.sum())):
        model.gradient_dtype = dtype
        model.weight.assign(1.0)
        model.fit(THIRDS, batch_size=4, shuffle=False, verbose=0)
        for value in model.weight.value.values:  # One on each replica.
            assert value.numpy() == np.float32(1.0) - np.float32(total)


@pytest.mark.slow
def test_one_replica_adds_up_nothing_and_rounds_nothing():
    model = make_product(ONE_DEVICE, OPTIMIZERS["plain"], "eager", "bfloat16")
    model.fit(THIRDS, batch_size=4, shuffle=False, verbose=0)
    assert model.weight.numpy() == np.float32(1.0) - THIRDS.mean()


@pytest.mark.parametrize("dtype", ["float16", "float32", 16])
def test_another_dtype_of_gradients_is_refused_before_anything_has_changed(dtype):
    model = km.SumRegressor(units=())
    model.compile("sgd", gradient_dtype="bfloat16")
    with pytest.raises(ValueError, match="`gradient_dtype` must be 'bfloat16', or None .*Received"):
        model.compile("adam", gradient_dtype=dtype)
    assert model.gradient_dtype == "bfloat16"
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    model.compile("sgd")
    assert model.gradient_dtype is None
