"""Tests of `EagerSteps`: which steps run line by line, with which numbers."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=24, num_features=3, seed=1)


class Watched(km.SumRegressor):
    """Counts the steps that Python runs with numbers at hand."""

    eager_steps = 0

    def train_step(self, data):
        if tf.executing_eagerly():
            self.eager_steps += 1
            data[0].numpy()
        return super().train_step(data)


def train(mode, data=(X, Y), callbacks=(), epochs=2, **compile_arguments):
    keras.utils.set_random_seed(0)
    model = Watched(())
    model.compile(keras.optimizers.SGD(0.01), mode=mode, **compile_arguments)
    size = {"batch_size": 4} if len(data) == 2 else {}
    history = model.fit(*data, **size, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model, history.history["loss"]


@functools.cache
def get_expected_losses():
    return train("graph")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    ["fused", None, *(pytest.param(m, marks=pytest.mark.sweep) for m in ("graph", "xla", "auto"))],
)
def test_the_first_steps_are_eager_and_the_numbers_stay(mode):
    expected = get_expected_losses()
    ends = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda end, logs: ends.append(end))
    model, losses = train(mode, callbacks=[km.callbacks.EagerSteps(3), watch])
    assert model.eager_steps == 3
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert int(model.optimizer.iterations.numpy()) == 12
    if mode == "fused":
        assert ends == [0, 5, 5]  # As without it: the first step tells how much work one is.


@pytest.mark.slow
@pytest.mark.parametrize("mode", [pytest.param("graph", marks=pytest.mark.sweep), "fused"])
def test_a_data_set_has_eager_steps(mode):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    model, _ = train(mode, (data,), [km.callbacks.EagerSteps(8)])
    assert model.eager_steps == 8


@pytest.mark.slow
def test_the_next_fit_is_compiled_from_its_beginning():
    model, _ = train("fused", callbacks=[km.callbacks.EagerSteps(1)])
    model.fit(X, Y, verbose=0)
    assert model.eager_steps == 1


@pytest.mark.slow
def test_a_fit_after_an_interrupted_one_is_compiled():
    def stop(epoch, logs):
        raise InterruptedError

    interrupt = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    model = Watched(())
    model.compile("sgd", mode="fused")
    with pytest.raises(InterruptedError):
        model.fit(X, Y, verbose=0, callbacks=[km.callbacks.EagerSteps(5), interrupt])
    model.fit(X, Y, verbose=0)
    assert model.eager_steps == 0


@pytest.mark.slow
def test_more_eager_steps_than_there_are():
    model, _ = train("fused", callbacks=[km.callbacks.EagerSteps(100)])
    assert model.eager_steps == 12


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="`num_steps` must be a positive integer. Received: num"):
        km.callbacks.EagerSteps(0)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="EagerSteps needs a model with modes"):
        model.fit(X, Y, verbose=0, callbacks=[km.callbacks.EagerSteps(1)])


def test_a_train_function_of_ones_own_is_refused():
    model = Watched(())
    model.compile("sgd", mode="graph")
    model.train_function = lambda iterator: model.train_step(next(iterator))
    with pytest.raises(TypeError, match="`train_function` of its own"):
        model.fit(X, Y, verbose=0, callbacks=[km.callbacks.EagerSteps(3)])
