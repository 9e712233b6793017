"""Tests of steps that run together because no callback asks for each."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import execution_length, model_state

X = np.random.default_rng(0).normal(size=(44, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


class Listener(keras.callbacks.Callback):
    """Asks for each step."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(batch)


class Observer(Listener):
    """Is content with several steps at a time."""

    accepts_joined_steps = True


@pytest.fixture(autouse=True)
def _endless_patience(monkeypatch):
    """However busy the machine, no execution is too long."""
    monkeypatch.setattr(execution_length, "SECONDS", 1e9)


@functools.cache
def make_model(mode, **settings):
    """Returns a model that draws, counts and averages."""
    set_seed(0)
    inputs = keras.Input((3,))
    hidden = km.random.Dropout(0.2)(keras.layers.BatchNormalization()(inputs))
    model = km.Model(inputs, keras.layers.Dense(1)(hidden))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "mse", metrics=["mae"], mode=mode, **settings)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, *callbacks, x=X, y=Y, epochs=2, batch_size=4, **arguments):
    return model.fit(
        x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[*callbacks], **arguments
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph", pytest.param("xla", marks=pytest.mark.sweep)])
def test_joined_steps_have_the_numbers_of_single_ones(mode):
    single, joined = make_model(mode, steps_per_execution=1), make_model(mode)
    observers = Observer(), Observer()
    results = []
    for model, observer in zip((single, joined), observers, strict=True):
        set_seed(1)
        data = {"x": X[:42], "y": Y[:42], "validation_data": (X[:8], Y[:8])}
        history = fit(model, observer, **data).history
        results.append((history, model.evaluate(X, Y, batch_size=4, verbose=0)))
    assert results[0] == results[1]
    for one, other in zip(single.get_weights(), joined.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert observers[0].steps == [*range(11), *range(11)]
    # 1, 2, 4 and what is left of the epoch; then 8 and what is left.
    assert observers[1].steps == [0, 2, 6, 10, 7, 10]


@pytest.mark.parametrize(
    ("callback", "is_listener"),
    [
        (keras.callbacks.ProgbarLogger(), False),
        (keras.callbacks.EarlyStopping(), False),
        (keras.callbacks.ModelCheckpoint("{epoch}.keras"), False),
        (keras.callbacks.ModelCheckpoint("{batch}.keras", save_freq=2), True),
        (keras.callbacks.LambdaCallback(on_train_batch_end=print), True),
        (keras.callbacks.TerminateOnNaN(), True),
        (km.callbacks.RunRecord("run.json"), False),
        (km.callbacks.NaNGuard(), False),
        (Listener(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_callback_that_needs_each_step_is_a_listener(callback, is_listener):
    callbacks = keras.callbacks.CallbackList([callback])
    assert execution_length.has_listener(callbacks, "train") == is_listener


def test_a_callback_may_listen_to_the_validation_only():
    callbacks = keras.callbacks.CallbackList(
        [keras.callbacks.LambdaCallback(on_train_batch_end=print)]
    )
    callbacks.callbacks[0].on_train_batch_end = lambda batch, logs=None: None
    assert execution_length.has_listener(callbacks, "train")
    assert not execution_length.has_listener(callbacks, "test")


def test_a_listener_hears_each_step():
    listener = Listener()
    fit(make_model("graph"), listener, epochs=1)
    assert listener.steps == [*range(11)]


def test_a_callback_may_begin_to_listen_when_an_epoch_begins():
    class Late(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.on_train_batch_end = lambda batch, logs=None: late.append(batch)

    late, observer = [], Observer()
    fit(make_model("graph"), Late(), observer)
    assert late == [*range(11)]
    assert observer.steps == [0, 2, 6, 10, *range(11)]


def test_a_step_that_calls_python_is_not_joined():
    class Stopping(km.Model):
        def train_step(self, data):
            def stop(step):
                self.stop_training = bool(step == 4)
                return step

            tf.py_function(stop, [self.optimizer.iterations], tf.int64)
            return super().train_step(data)

    inputs = keras.Input((3,))
    model = Stopping(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", mode="graph")
    fit(model)
    assert int(model.optimizer.iterations.numpy()) == 5


@pytest.mark.parametrize("case", ["given", "Keras's own rules", "data set"])
def test_what_the_user_has_given_stays(case):
    observer = Observer()
    if case == "given":
        fit(make_model("graph", steps_per_execution=2), observer, epochs=1)
        assert observer.steps == [1, 3, 5, 7, 9, 11]  # as in Keras
    elif case == "Keras's own rules":
        fit(make_model(None), observer, epochs=1)
        assert observer.steps == [*range(11)]
    else:
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
        fit(make_model("graph"), observer, x=data, y=None, batch_size=None, epochs=1)
        assert observer.steps == [*range(11)]


@pytest.mark.slow
def test_a_resumed_fit_ends_as_one_that_was_never_stopped(tmp_path):
    class Stop(keras.callbacks.Callback):
        accepts_joined_steps = True

        def on_train_batch_end(self, batch, logs=None):
            if batch == 5:  # of the executions of 1, 2, 3 and more steps
                raise InterruptedError

    model, weights = make_model("graph"), []
    state = model_state.ModelState(model)
    start = state.copy()
    for folder in ("one", "other"):
        state.restore(start)
        set_seed(1)
        resume = km.callbacks.Resume(tmp_path / folder, every=3)
        if folder == "other":
            with pytest.raises(InterruptedError):
                fit(model, resume, Stop())
        fit(model, resume)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_executions_become_longer_until_they_would_be_seen(monkeypatch):
    monkeypatch.setattr(execution_length, "SECONDS", 1.0)
    now = 0.0
    monkeypatch.setattr(execution_length.time, "perf_counter", lambda: now)
    joiner, lengths = execution_length.StepJoiner(set), []
    for seconds_per_step in [0.05] * 6 + [0.2] * 3:
        lengths.append(joiner.next_steps())
        now += lengths[-1] * seconds_per_step
    assert lengths == [1, 2, 4, 8, 16, 16, 16, 8, 4]
    joiner.begin_epoch()
    now += 100.0
    assert joiner.next_steps() == 4
