"""Tests of how Keras is made to run a model's mode, and exactly its steps."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine.executors import shared_programs

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
MODES = ("eager", "graph", "xla", "fused")
XLA = pytest.param("xla", marks=pytest.mark.sweep)  # Shares its step with "fused".
GRAPH = pytest.param("graph", marks=pytest.mark.sweep)


def compiled(mode, **arguments):
    """Returns a linear model, built."""
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode=mode, **arguments)
    return model


def fit(model, epochs=1, **arguments):
    return model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GRAPH, XLA, "fused"])
def test_run_eagerly_can_be_switched_on_and_off_after_compile(mode):
    model = compiled(mode)
    executions = count_executions(model)
    model.run_eagerly = True
    fit(model)
    assert model.mode == "eager"
    assert executions == [True] * 3
    model.run_eagerly = False
    fit(model)
    assert model.mode == mode
    assert executions[3:].count(True) == 0
    assert int(model.optimizer.iterations.numpy()) == 6


def count_executions(model):
    """Returns a list that grows by "eager or not" whenever Python runs through the train step."""
    executions, train_step = [], model.train_step

    def counted_step(data):
        executions.append(tf.executing_eagerly())
        return train_step(data)

    model.train_step = counted_step
    return executions


@pytest.mark.parametrize("mode", ["eager", GRAPH, XLA, "fused"])
def test_a_step_on_a_single_batch_sees_tensors(mode):
    class Own(km.SumRegressor):
        def train_step(self, data):
            assert all(tf.is_tensor(part) for part in data[:2])
            return super().train_step(data)

    model = Own(units=())
    model.build((None, 3))
    model.compile("sgd", mode=mode)
    model.train_on_batch(X, Y)
    assert int(model.optimizer.iterations.numpy()) == 1


@pytest.mark.slow
@pytest.mark.sweep  # In `test_exactness_fit.py`, logs of validations are compared with Keras's.
@pytest.mark.parametrize("mode", MODES)
def test_a_validation_step_runs_in_the_mode(mode):
    model = compiled(mode, metrics=["mae"])
    logs = fit(model, validation_data=(X, Y)).history
    assert logs["val_loss"] == pytest.approx([model.evaluate(X, Y, batch_size=4, verbose=0)[0]])
    assert logs["val_mae"] == pytest.approx([np.abs(model.predict(X, verbose=0) - Y).mean()])


@pytest.mark.parametrize(
    ("mode", "steps_per_epoch", "steps_per_execution"),
    [
        pytest.param("graph", 5, 1, marks=pytest.mark.sweep),
        ("fused", 5, 2),
        *(
            pytest.param("fused", *n, marks=pytest.mark.sweep)
            for n in [(1, 3), (5, 100), (4, 2), (7, 7)]
        ),
    ],
)
def test_an_epoch_has_exactly_the_steps_asked_for(mode, steps_per_epoch, steps_per_execution):
    model = compiled(mode, steps_per_execution=steps_per_execution)
    data = tf.data.Dataset.from_tensors((X, Y)).repeat()
    model.fit(data, steps_per_epoch=steps_per_epoch, epochs=3, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 3 * steps_per_epoch


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_epochs_of_some_steps_go_on_in_the_data(mode):
    class Sum(km.Model):
        def __init__(self):
            super().__init__()
            self.total = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def train_step(self, data):
            self.total.assign_add(tf.reduce_sum(data))
            return {"total": self.total}

    model = Sum()
    model.compile(mode=mode)
    data = tf.data.Dataset.from_tensor_slices(10.0 ** np.arange(6, dtype="float32"))
    history = model.fit(data, steps_per_epoch=2, epochs=3, shuffle=False, verbose=0).history
    assert history["total"] == [11, 1111, 111111]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GRAPH, "fused"])
def test_validation_has_exactly_the_steps_asked_for(mode):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    model.compile(keras.optimizers.SGD(0.0), mode=mode)
    data = tf.data.Dataset.from_tensor_slices((X, Y + np.arange(12)[:, np.newaxis])).batch(1)
    history = fit(model, validation_data=data.repeat(), validation_steps=3).history
    losses = [*history["val_loss"], model.evaluate(data.repeat(), steps=3, verbose=0)]
    np.testing.assert_allclose(losses, (0 + 1 + 4) / 3, rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_predict_gives_exactly_the_steps_asked_for(mode):
    model = km.SumRegressor(units=())
    model.compile(mode=mode)
    data = tf.data.Dataset.from_tensor_slices(X).batch(2).repeat()
    assert model.predict(data, steps=3, verbose=0).shape == (6, 1)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize("mode", ["eager", GRAPH, XLA, "fused"])
def test_the_end_of_data_of_unknown_length_runs_no_step(mode):
    model = compiled(mode)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: True)
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 6


@pytest.mark.parametrize("mode", ["eager", XLA, "fused"])
def test_each_epoch_of_arrays_has_an_order_of_its_own_the_same_in_every_mode(mode):
    """Keras itself repeats one order where a seed is set."""

    class Order(km.Model):
        def __init__(self):
            super().__init__()
            self.number = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def train_step(self, data):
            self.number.assign(4.0 * self.number + data[0, 0])
            return {"order": self.number}

    def orders(mode):
        set_seed(0)
        model = Order()
        model.compile(mode=mode)
        epochs = model.fit(np.arange(4.0)[:, np.newaxis], batch_size=1, epochs=3, verbose=0)
        ends = np.array([0, *epochs.history["order"]])
        return list(ends[1:] - 4.0**4 * ends[:-1])

    found = orders(mode)
    assert found == orders("graph")
    assert len(set(found)) > 1


class OwnStep(km.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def make_functional():
    return km.with_modes(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))


DELETED = [(OwnStep, "fused"), (make_functional, "graph")]
OTHERS = [(make, mode) for make in (OwnStep, make_functional) for mode in MODES]
OTHERS = [pytest.param(*way, marks=pytest.mark.sweep) for way in OTHERS if way not in DELETED]


@pytest.mark.parametrize(("make_model", "mode"), [*DELETED, *OTHERS])
def test_a_deleted_model_leaves_no_graph_behind(make_model, mode, monkeypatch):
    monkeypatch.setattr(shared_programs, "MOST_PROGRAMS", 0)  # They are kept for other models.

    def count_graphs():
        gc.collect()
        return sum(isinstance(one, tf.__internal__.FuncGraph) for one in gc.get_objects())

    before = count_graphs()
    model = make_model()
    model.compile("sgd", "mse", mode=mode)
    fit(model)
    del model
    assert count_graphs() <= before


@pytest.mark.parametrize("mode", ["eager", GRAPH, XLA, "fused"])
def test_a_first_fit_that_fails_can_be_repeated(mode):
    class FailsOnce(OwnStep):
        has_failed = False

        def train_step(self, data):
            logs = super().train_step(data)
            if not self.has_failed:
                self.has_failed = True
                raise ValueError("something is wrong with this step")
            return logs

    model = FailsOnce()
    model.compile(keras.optimizers.SGD(0.1), mode=mode)
    with pytest.raises(ValueError, match="something is wrong"):
        fit(model)
    assert np.isfinite(fit(model, epochs=2).history["loss"]).all()


@pytest.mark.parametrize("mode", ["graph", "xla", "fused"])
def test_a_step_that_makes_variables_each_time_is_refused(mode):
    class MakesVariables(OwnStep):
        def train_step(self, data):
            return {"one": tf.Variable(1.0) + 0.0}

    model = MakesVariables()
    model.compile("sgd", mode=mode)
    with pytest.raises(ValueError, match="[Vv]ariable"):
        fit(model)


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_a_step_may_make_a_variable_of_what_it_computes(mode):
    class Makes(OwnStep):
        numbers = None

        def train_step(self, data):
            if self.numbers is None:
                self.numbers = tf.Variable([tf.reduce_sum(tf.ones(3)), 1.0])
            return {"loss": tf.reduce_sum(self.numbers) + 0.0 * tf.reduce_sum(data[0])}

    model = Makes()
    model.compile("sgd", mode=mode)
    assert fit(model).history["loss"] == [4.0]


class OwnFunctions(OwnStep):
    """A model that takes its batches itself, with an iterator of Keras's or with what is there."""

    wraps = True

    def make_train_function(self, force=False):
        super().make_train_function(force)
        run = self.train_function

        def train(iterator):
            self.num_calls += 1
            return run(iterator) if self.wraps else self.train_step(next(iterator))

        self.num_calls, self.train_function = 0, train


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "wraps"),
    [("graph", False), ("fused", True), pytest.param("auto", False, marks=pytest.mark.sweep)],
)
def test_a_train_function_of_ones_own_takes_iterators(mode, wraps):
    weights = []
    for cls in (OwnStep, OwnFunctions):
        set_seed(0)
        model = cls()
        model.wraps = wraps
        model.compile("sgd", mode=mode)
        fit(model, epochs=2)
        weights.append(model.get_weights())
    assert model.num_calls == 6
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


class OwnPredictions(OwnStep):
    """Predicts by a function of its own, which Keras gives lists of batches."""

    def make_predict_function(self, force=False):
        self.predict_function = lambda batches: tf.concat(
            [self.predict_step(batch) for batch in batches], axis=0
        )


@pytest.mark.parametrize("data", [X, tf.data.Dataset.from_tensor_slices(X).batch(4)])
def test_a_predict_function_of_ones_own_takes_lists_of_batches(data):
    model = OwnPredictions()
    model.compile("sgd", mode="graph", steps_per_execution=2)
    np.testing.assert_allclose(model.predict(data, batch_size=None, verbose=0), model(X), rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", pytest.param("fused", marks=pytest.mark.sweep)])
def test_a_train_function_that_is_assigned_is_used(mode):
    model = compiled(mode)
    model.train_function = lambda iterator: {"own": tf.reduce_sum(next(iterator)[0])}
    assert fit(model).history["own"] == [pytest.approx(X[8:].sum(), rel=1e-5)]
    assert int(model.optimizer.iterations.numpy()) == 0


def test_names_of_a_users_own_are_not_taken():
    """A class may have helpers of its own, and counts, whatever the trainer's are called."""

    class Own(OwnStep):
        def __init__(self):
            super().__init__()
            self._steps, self._selector = 0, "its own"

        def train_step(self, data):
            self._steps += 1
            return super().train_step(data)

        def _train_epoch(self):
            raise AssertionError

        _validate = _make_executor = _build_for = _list_callbacks = _train_epoch

    model = Own()
    model.compile("sgd", "mse", mode="eager")
    fit(model, validation_data=(X, Y))
    assert (model._steps, model._selector, model.steps_per_execution) == (3, "its own", 1)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_a_number_of_steps_that_a_callback_sets_holds_at_once(mode):
    model = compiled(mode)
    ends = []

    class Longer(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ends.append(batch)
            self.model.steps_per_execution = 2

    data = tf.data.Dataset.from_tensors((X, Y)).repeat()
    model.fit(data, steps_per_epoch=5, epochs=2, callbacks=[Longer()], shuffle=False, verbose=0)
    # As in Keras, the last execution counts as a whole one.
    assert ends == [0, 2, 4, 1, 3, 5]
    assert int(model.optimizer.iterations.numpy()) == 5 + 6


def test_callbacks_in_a_list_without_parameters_are_given_them():
    model = compiled("graph")
    callbacks = keras.callbacks.CallbackList([], add_history=True, model=model)
    fit(model, epochs=2, callbacks=callbacks)
    expected = {"verbose": 0, "epochs": 2, "steps": 3, "mode": "graph"}
    assert {name: model.history.params[name] for name in expected} == expected


def test_a_class_may_hand_on_that_no_reader_is_kept():
    class HandsOn(km.SumRegressor):
        def evaluate(self, *args, _use_cached_eval_dataset=False, **kwargs):
            kept = _use_cached_eval_dataset
            return super().evaluate(*args, _use_cached_eval_dataset=kept, **kwargs)

    model = HandsOn(units=())
    model.compile("sgd", mode="eager")
    history = fit(model, validation_data=(X, Y)).history
    assert model.evaluate(X, Y, batch_size=4, verbose=0) == pytest.approx(
        history["val_loss"][0], rel=1e-5
    )
