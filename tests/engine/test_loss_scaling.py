"""Tests of steps whose optimizers scale the loss, under the policy "mixed_float16"."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


class Regressor(km.Model):
    """A linear model with a step of its own, which scales its loss or not."""

    def __init__(self, scales):
        super().__init__(dtype="mixed_float16")
        self.scales = scales
        self.dense = keras.layers.Dense(1, dtype="mixed_float16")

    def build(self, input_shape):
        self.dense.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = km.average_loss(tf.square(tf.cast(self(x), tf.float32) - y)[:, 0])
            scaled = self.optimizer.scale_loss(loss) if self.scales else loss
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(scaled, weights), weights)
        return {"loss": loss}


def fit(model, mode):
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.1), mode=mode)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = model.get_weights()[0]
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    return np.abs(model.get_weights()[0] - before).max()


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_step_that_does_not_scale_its_loss_is_told_once(mode):
    words = r"must scale the loss of 'optimizer', a Loss.* self.optimizer.scale_loss\(loss\)"
    with pytest.warns(UserWarning, match=words) as warned:
        change = fit(Regressor(scales=False), mode)
    assert len(warned) == 1
    assert change < 1e-3


@pytest.mark.parametrize("mode", ["graph", pytest.param("fused", marks=pytest.mark.sweep)])
def test_a_step_that_scales_its_loss_learns_without_a_warning(mode):
    assert fit(Regressor(scales=True), mode) > 1e-2


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_method_that_the_user_has_replaced_stays(mode):
    model = Regressor(scales=True)
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.1), mode=mode)
    apply, calls = model.optimizer.apply, []

    def own_apply(*args, **kwargs):
        calls.append(tf.executing_eagerly())
        return apply(*args, **kwargs)

    model.optimizer.apply = own_apply
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    assert model.optimizer.apply is own_apply
    assert calls.count(True) == (4 if mode == "eager" else 0)
    assert calls
