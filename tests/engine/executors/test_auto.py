"""Tests of `mode="auto"`: what is tried, what stays, and that no step is lost or run twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine.executors import auto

X, Y = km.data.sums(num_samples=400, num_features=3, seed=1)


def set_worth(monkeypatch, share):
    """Makes XLA's compilation seem free or endless: on a shared machine times are anything."""
    monkeypatch.setattr(auto, "COMPILATION_SHARE", share)


@pytest.fixture
def always_worth(monkeypatch):
    set_worth(monkeypatch, 1e9)


@pytest.fixture
def never_worth(monkeypatch):
    set_worth(monkeypatch, 0.0)


def fit(model, x=X, y=Y, **arguments):
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0, "epochs": 4, **arguments}
    return model.fit(x, y, **arguments)


def trained(mode, units=(), **arguments):
    set_seed(0)
    model = km.SumRegressor(units)
    model.build((None, 3))
    model.compile("sgd", mode=mode)
    return model, fit(model, **arguments)


@pytest.mark.slow
def test_every_mode_is_tried_and_the_fastest_stays_with_the_numbers_of_any(always_worth, capsys):
    units = (4,)  # A linear model's loss would become 0.
    model, history = trained("auto", units, verbose=2)
    times = history.params["microseconds_per_step"]
    assert set(times) == {"graph", "fused", "xla"}
    assert model.mode == history.params["mode"] == min(times, key=times.get)
    assert model.steps_per_execution > 1
    assert f"mode='{model.mode}' chosen with steps_per_execution=" in capsys.readouterr().out
    expected, graph = trained("graph", units)
    assert int(model.optimizer.iterations.numpy()) == 400
    assert history.history["loss"] == pytest.approx(graph.history["loss"], rel=1e-5)
    for weight, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-3)


def test_a_short_fit_stays_in_graph_mode_and_says_why(never_worth, capsys):
    model, history = trained("auto", verbose=2)
    assert model.mode == "graph"
    assert set(history.params["microseconds_per_step"]) == {"graph"}
    assert "fused: too long to compile for this fit" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.sweep
def test_a_longer_fit_tries_what_a_short_one_did_not(monkeypatch):
    set_worth(monkeypatch, 0.0)
    model, _ = trained("auto")
    set_worth(monkeypatch, 1e9)
    assert set(fit(model).params["microseconds_per_step"]) == {"graph", "fused", "xla"}
    assert int(model.optimizer.iterations.numpy()) == 800


@pytest.mark.slow
def test_a_chosen_mode_stays_for_all_that_follows(always_worth):
    model, _ = trained("auto", validation_data=(X, Y))
    mode, loss = model.mode, model.evaluate(X, Y, batch_size=4, verbose=0)
    predicted = model.predict(X, batch_size=4, verbose=0)
    assert predicted.shape == (400, 1)
    assert loss == pytest.approx(np.mean((predicted - Y) ** 2), rel=1e-4)
    fit(model)
    assert model.mode == mode
    assert int(model.optimizer.iterations.numpy()) == 800


@pytest.mark.slow
def test_no_step_is_lost_when_a_mode_turns_out_impossible(always_worth, capsys):
    class WithPythonInside(km.SumRegressor):
        def train_step(self, data):
            tf.py_function(lambda: None, [], [])
            return super().train_step(data)

    model = WithPythonInside(units=())
    model.build((None, 3))
    model.compile("sgd", mode="auto")
    fit(model, verbose=2)
    assert model.mode == "graph"
    assert int(model.optimizer.iterations.numpy()) == 400
    assert "fused: ruled out, " in (said := capsys.readouterr().out)
    assert "EagerPyFunc" in said


def test_data_that_only_a_graph_takes_run_in_one(always_worth):
    class Lengths(km.Model):
        def train_step(self, data):
            return {"length": tf.reduce_mean(tf.cast(tf.strings.length(data), tf.float32))}

    model = Lengths()
    model.compile(mode="auto")
    data = tf.data.Dataset.from_tensor_slices(["a", "bcd"])
    assert model.fit(data, shuffle=False, verbose=0).params["mode"] == "graph"


def test_layers_that_refuse_xla_run_as_a_graph_alone(always_worth, capsys):
    layers = [keras.layers.RandomCrop(2, 2, seed=1), keras.layers.Flatten()]
    model = km.Sequential([keras.Input((3, 3, 1)), *layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse", mode="auto")
    history = fit(model, np.ones((40, 3, 3, 1), "float32"), Y[:40], epochs=4, verbose=2)
    assert list(history.params["microseconds_per_step"]) == ["graph"]
    assert model.mode == "graph"
    words = "fused: ruled out, XLA cannot compile its layers ['random_crop"
    assert words in capsys.readouterr().out


@pytest.mark.slow
def test_an_own_number_of_steps_is_kept(always_worth):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode="auto", steps_per_execution=7)
    ends = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda end, logs: ends.append(end))
    fit(model, epochs=1, callbacks=[callback])
    assert ends == [*range(6, 100, 7), 99]
    assert model.steps_per_execution == 7


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_data_of_unknown_length_pay_for_a_trial_with_time_already_spent(never_worth):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: True)
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="auto")
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert model.mode == "graph"
    assert int(model.optimizer.iterations.numpy()) == 200


@pytest.mark.slow
def test_breakpoints_can_be_had_at_any_time():
    model, _ = trained("auto", epochs=1)
    model.run_eagerly = True
    assert model.mode == "eager"
    fit(model, X[:20], Y[:20], epochs=1)
    assert int(model.optimizer.iterations.numpy()) == 105


@pytest.mark.slow
def test_several_replicas_run_in_graph_mode(two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode="auto")
    fit(model, X[:8], Y[:8], epochs=1)
    assert model.mode == "graph"


def test_it_is_saved_as_it_was_asked_for(tmp_path):
    model, _ = trained("auto", epochs=1)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").mode == "auto"


class FailingInXLA(km.SumRegressor):
    """A model whose step fails as it is told when it is traced once more after graph mode."""

    def __init__(self, error, **kwargs):
        super().__init__(units=(), **kwargs)
        self.error = error

    def train_step(self, data):
        with tf.init_scope():
            has_run = self.optimizer.built and int(self.optimizer.iterations.numpy()) > 0
        if has_run:
            raise self.error
        return super().train_step(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            NotImplementedError("no kernel\nand a long list"),
            "NotImplementedError: no kernel\n",
            id="NotImplementedError",
        ),
        pytest.param(
            tf.errors.InternalError(None, None, "no kernel"),
            "InternalError: no kernel\n",
            id="InternalError",
            marks=pytest.mark.sweep,
        ),
    ],
)
def test_any_error_of_a_trial_rules_the_mode_out(always_worth, capsys, error, words):
    model = FailingInXLA(error)
    model.compile("sgd", mode="auto")
    fit(model, verbose=2)
    assert model.mode == "graph"
    assert int(model.optimizer.iterations.numpy()) == 400
    assert f"xla: ruled out, {words}" in capsys.readouterr().out


def test_a_trial_that_has_changed_something_is_not_run_again(always_worth):
    class Counting(FailingInXLA):
        def train_step(self, data):
            with tf.init_scope():
                self.count.assign_add(1)
            return super().train_step(data)

    model = Counting(NotImplementedError("no such kernel"))
    model.count = model.add_weight(shape=(), dtype="int32", trainable=False)
    model.compile("sgd", mode="auto")
    with pytest.raises(NotImplementedError, match="no such kernel"):
        fit(model)


def test_a_choice_is_said_once(never_worth, capsys):
    model, _ = trained("auto", epochs=1, verbose=2)
    for _ in range(3):
        fit(model, epochs=1, verbose=2)
    assert capsys.readouterr().out.count("chosen with") == 1


@pytest.mark.slow
def test_convolutions_on_a_cpu_are_tried_in_graph_and_xla(always_worth, capsys):
    assert tf.config.list_physical_devices("GPU") == []
    convolution = keras.layers.Conv2D(2, 3)
    layers = [keras.Input((5, 5, 1)), convolution, keras.layers.Flatten(), keras.layers.Dense(1)]
    model = km.with_modes(keras.Sequential(layers))
    model.compile("sgd", "mse", mode="auto")
    history = fit(model, np.ones((400, 5, 5, 1)), Y, epochs=2, verbose=2)
    assert list(history.params["microseconds_per_step"]) == ["graph", "xla"]
    said = capsys.readouterr().out
    assert "fused: ruled out, it runs convolutions on a CPU as graph does" in said
    assert int(model.optimizer.iterations.numpy()) == 200


def test_single_steps_run_in_the_mode_that_was_chosen():
    """With K = 1, a data set is read by an iterator, not in super-batches."""

    class Python(km.Model):
        def train_step(self, data):
            loss = tf.py_function(lambda: 1.0, [], tf.float32)
            return {"loss": tf.ensure_shape(loss, ())}

    model = Python()
    model.compile(mode="auto")
    model.fit(X, Y, batch_size=400, verbose=0)
    selector = model.mode_selector
    selector.microseconds = {"graph": 2.0, "fused": 2.0, "xla": 1.0}
    selector.mode = "xla"
    model.adopt_mode("xla", 1)
    with pytest.raises(ValueError, match="mode='xla' must be given a step of operations"):
        model.fit(tf.data.Dataset.from_tensors((X, Y)), verbose=0)


class CountsTests(km.SumRegressor):
    def __init__(self):
        super().__init__(units=())
        self.num_tests = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def test_step(self, data):
        self.num_tests.assign_add(1)
        return super().test_step(data)


def test_a_validation_keeps_its_steps_when_a_mode_is_chosen_after_the_first_one():
    """A K that is found is one for batches that are stacked, not for those read one by one."""

    class Chooses(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.adopt_mode("graph", 4)

    model = CountsTests()
    model.build((None, 3))
    model.compile("sgd", mode="auto")
    data = tf.data.Dataset.from_tensors((X, Y)).repeat()
    validation = {"validation_data": data, "validation_steps": 2}
    fit(model, X[:4], Y[:4], epochs=2, callbacks=[Chooses()], **validation)
    assert int(model.num_tests.numpy()) == 2 * 2


def test_nothing_is_chosen_while_steps_run_eagerly():
    x, y = km.data.sums(num_samples=20, seed=0)
    model = km.SumRegressor(())
    model.compile("sgd", mode="auto")
    model.run_eagerly = True
    model.fit(x, y, batch_size=10, verbose=0)
    assert (model.mode, model.history.params["mode"]) == ("eager", "eager")
    model.run_eagerly = False
    model.fit(x, y, batch_size=10, verbose=0)
    assert model.mode == "graph"  # So short a fit stays in it.
