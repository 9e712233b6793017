"""Tests of how data are read: what a fit draws, holds, warns of, and where its data begin."""

import gc
import random

import keras
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import readers

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
MODES = (None, "eager", "graph", "xla", "fused", "auto")


def default_in(*names):
    """Returns all modes as parameters, of which all but the named ones are sweeps."""
    return [pytest.param(m, marks=[] if m in names else pytest.mark.sweep) for m in MODES]


RAN_OUT = "Your input ran out of data"


def make_order(base=km.Model):
    """Returns a model that logs in which order an epoch's examples came, as digits."""

    class Order(base):
        def __init__(self):
            super().__init__()
            self.number = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            return x

        def reset_metrics(self):
            self.number.assign(0.0)

        def train_step(self, data):
            self.number.assign(10.0 * self.number + data[0] + 1.0)
            return {"order": self.number}

    return Order()


def compiled(mode):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode=mode)
    return model


def shuffled():
    return tf.data.Dataset.range(6).map(lambda i: tf.cast(i, "float32")).shuffle(6, seed=3).batch(1)


def orders(mode, data, **arguments):
    model = make_order()
    model.compile(mode=mode)
    return model.fit(data, verbose=0, **arguments).history["order"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("fused"))
def test_what_is_not_shuffled_draws_nothing_from_python(mode):
    model = compiled(mode)
    model.fit(X, Y, shuffle=False, verbose=0)
    state = random.getstate()
    model.fit(X, Y, shuffle=False, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert random.getstate() == state


def list_readers():
    return [one for one in gc.get_objects() if isinstance(one, readers.Reader)]


@pytest.mark.parametrize(
    ("method", "mode"),
    [
        ("fit", "graph"),
        ("evaluate", "fused"),
        ("predict", "eager"),
        *(pytest.param("fit", mode, marks=pytest.mark.sweep) for mode in MODES if mode != "graph"),
        pytest.param("evaluate", "graph", marks=pytest.mark.sweep),
        pytest.param("predict", "fused", marks=pytest.mark.sweep),
    ],
)
def test_a_call_leaves_no_data_behind_for_the_garbage_collector(mode, method):
    model = compiled(mode)
    data = (X,) if method == "predict" else (X, Y)
    getattr(model, method)(*data, verbose=0)
    gc.collect()
    gc.disable()
    try:
        before = list_readers()
        getattr(model, method)(*data, verbose=0)
        assert len(list_readers()) == len(before)
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", default_in(None, "fused"))
def test_a_data_set_that_turns_out_empty_is_refused_after_keras_s_warning(mode):
    model = compiled(mode)
    empty = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: False)
    for call in (model.fit, model.predict):
        with (
            pytest.warns(UserWarning, match=RAN_OUT),
            pytest.raises(ValueError, match="`x` must hold at least one batch"),
        ):
            call(empty, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.parametrize("mode", default_in("graph", "fused"))
def test_a_data_set_of_no_batch_is_refused(mode):
    model = compiled(mode)
    empty = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).take(0)
    for call in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="`x` must hold at least one example. Received: 0 bat"):
            call(empty, verbose=0)


BATCHES = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


@pytest.mark.skipif(keras.__version__ < "3.15", reason="Keras has no such warning")
@pytest.mark.filterwarnings(f"ignore:{RAN_OUT}:UserWarning")  # of the generator, as in Keras
@pytest.mark.parametrize("make", [lambda: BATCHES, lambda: (batch for batch in [(X, Y)] * 3)])
def test_only_who_asks_for_shuffling_is_warned_that_it_is_not_done(make):
    model = compiled("eager")
    model.fit(make(), verbose=0)
    with pytest.warns(UserWarning, match="`shuffle=True` was passed, but will be ignored"):
        model.fit(make(), verbose=0, shuffle=True)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise InterruptedError


@pytest.mark.slow
@pytest.mark.parametrize("mode", default_in("fused"))
def test_backup_and_restore_sees_the_data_that_it_sees_in_keras(mode, tmp_path):
    def see(base, **compile_arguments):
        model, data = make_order(base), shuffled()
        model.compile(**compile_arguments)
        model.build((1,))
        folder = tmp_path / base.__module__
        arguments = {"epochs": 4, "shuffle": False, "verbose": 0}
        restore = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
        with pytest.raises(InterruptedError):
            model.fit(data, callbacks=[restore, Interrupt()], **arguments)
        restore = keras.callbacks.BackupAndRestore(folder)
        history = model.fit(data, callbacks=[restore], **arguments)
        return history.epoch, history.history["order"]

    assert see(km.Model, mode=mode) == see(keras.Model, run_eagerly=True)


class WithStrayParts(km.Model):
    """Trains with an optimizer of its own; those of `compile` are never built."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own_optimizer = keras.optimizers.SGD(0.01)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = km.average_loss(tf.square(self.dense(data[0]) - data[1]))
        weights = self.dense.trainable_variables
        self.own_optimizer.apply(tape.gradient(loss, weights), weights)
        return {"own_loss": loss}


def test_fused_runs_many_steps_an_execution_where_what_compile_made_is_never_used():
    ends = []
    model = WithStrayParts()
    model.compile(loss="mse", mode="fused")
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    model.fit(X, Y, batch_size=1, verbose=0, callbacks=[note])
    assert ends == [0, 11]  # only the first step tells how much work one is
    assert int(model.own_optimizer.iterations.numpy()) == 12
