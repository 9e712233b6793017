"""Tests of `km.Model` and `km.ModesMixin`: choosing a mode, debugging in it."""

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config

import kerasmodes as km
from kerasmodes.engine import with_modes

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
MODES = ("eager", "graph", "xla", "fused")
XLA = pytest.param("xla", marks=pytest.mark.sweep)  # Shares its step with "fused".
EAGER, GRAPH = (pytest.param(mode, marks=pytest.mark.sweep) for mode in MODES[:2])


class NotForXla(keras.layers.Layer):
    """A layer that XLA cannot compile."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_jit = False

    def call(self, x):
        return x


def make_sequential(cls=keras.Sequential):
    return cls([keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])


def make_functional(cls=keras.Model):
    inputs = keras.Input((3,))
    return cls(inputs, keras.layers.Dense(1)(inputs))


def fit(model, epochs=1, **arguments):
    return model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, **arguments)


@pytest.mark.parametrize("mode", MODES)
def test_a_model_runs_in_the_mode_asked_for(mode):
    model = km.SumRegressor()
    model.compile(mode=mode)
    assert model.mode == mode


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ({}, "graph"),
        ({"run_eagerly": True}, "eager"),
        ({"jit_compile": True}, "xla"),
        ({"jit_compile": False}, "graph"),
        ({"steps_per_execution": 3}, "graph"),
        ({"steps_per_execution": 3, "jit_compile": True}, "xla"),
    ],
)
def test_without_a_mode_the_rules_of_keras_hold(arguments, mode):
    model = km.SumRegressor()
    model.compile(**arguments)
    assert model.mode == mode
    assert model.steps_per_execution == arguments.get("steps_per_execution", 1)


def test_an_unknown_mode_is_refused():
    words = (
        "`mode` must be one of 'eager', 'graph', 'xla', 'fused', 'auto', or None. "
        "Received: mode='grpah'"
    )
    with pytest.raises(ValueError, match=words):
        km.SumRegressor().compile(mode="grpah")


@pytest.mark.parametrize(
    ("mode", "argument"),
    [("graph", {"run_eagerly": True}), ("eager", {"jit_compile": True})],
)
def test_a_contradicting_argument_is_refused(mode, argument):
    with pytest.raises(ValueError, match=f"must agree with mode='{mode}'"):
        km.SumRegressor().compile(mode=mode, **argument)


def make_gan():
    return km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Default(2, 2))


@pytest.mark.parametrize("make_model", [km.SumRegressor, make_gan, make_functional])
def test_an_unknown_argument_is_refused(make_model):
    with pytest.raises(TypeError, match=r"compile\(\) got an unexpected keyword argument 'mood'"):
        with_modes(make_model()).compile(mood="fused")


def test_a_compile_that_forgets_that_of_its_base_class_is_told_so():
    class Forgets(km.Model):
        def compile(self, optimizer):
            self.optimizer = optimizer

    with pytest.raises(ValueError, match="must call `super.*compile.* Received: that of Forgets"):
        Forgets().compile("adam", mode="graph")


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "grpah"},
        {"mode": "graph", "optimizer": "adamm"},
        *(
            pytest.param({"mode": "graph", **more}, marks=pytest.mark.sweep)
            for more in ({"run_eagerly": True}, {"steps_per_execution": 0}, {"mood": "good"})
        ),
    ],
    ids=lambda arguments: list(arguments)[-1],
)
def test_a_failed_compile_leaves_the_model_as_it_was(arguments):
    model = km.SumRegressor(units=())
    model.compile(optimizer="sgd", mode="eager")
    fit(model)
    optimizer, config = model.optimizer, model.get_compile_config()
    with pytest.raises((ValueError, TypeError)):
        model.compile(**arguments)
    assert model.mode == "eager"
    assert model.optimizer is optimizer
    assert model.get_compile_config() == config
    fit(model)
    assert int(optimizer.iterations.numpy()) == 6


@pytest.mark.parametrize("arguments", [{"mode": "xla"}, {"mode": "fused"}, {"jit_compile": True}])
def test_a_layer_that_refuses_xla_is_an_error_under_xla(arguments):
    model = km.Sequential([keras.Input((3,)), NotForXla(name="stubborn")])
    with pytest.raises(ValueError, match=r"must be 'graph' or 'eager' .*\['stubborn'\]"):
        model.compile(loss="mse", **arguments)


@pytest.fixture
def deterministic_operations():
    """A program that has called TensorFlow's switch, as reproducible ones do."""
    tf.config.experimental.enable_op_determinism()
    yield
    config.disable_op_determinism()


@pytest.mark.parametrize("arguments", [{"mode": "xla"}, {"mode": "fused"}, {"jit_compile": True}])
def test_deterministic_operations_are_an_error_under_xla(deterministic_operations, arguments):
    model, words = make_functional(km.Model), "must be 'graph' or 'eager' where Keras allows no XLA"
    with pytest.raises(ValueError, match=words):
        model.compile("sgd", "mse", **arguments)
    model.compile("sgd", "mse", mode="graph")
    with pytest.raises(ValueError, match=words):
        model.set_mode(**arguments)
    assert model.mode == "graph"


@pytest.mark.slow
def test_deterministic_operations_leave_mode_auto_the_graph(deterministic_operations):
    model = make_functional(km.Model)
    model.compile("sgd", "mse", mode="auto")
    assert fit(model).params["mode"] == "graph"
    assert model.mode_selector.impossible.keys() == {"xla", "fused"}


@pytest.mark.parametrize(
    "mode", [None, *(pytest.param(m, marks=pytest.mark.sweep) for m in ("eager", "graph"))]
)
def test_a_layer_that_refuses_xla_runs_without_it(mode):
    model = km.Sequential([keras.Input((3,)), NotForXla(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", mode=mode)
    assert fit(model).history["loss"]


def make_watched_model(mode):
    """Returns a model and the lists of what Python saw in its step, call and loss."""
    seen = {"train_step": [], "call": [], "loss": []}

    def look(place, tensor):
        seen[place].append(tensor.numpy() if hasattr(tensor, "numpy") else "symbolic")

    class Watched(km.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            look("call", x)
            return self.dense(x)

        def train_step(self, data):
            look("train_step", data[0])
            return super().train_step(data)

    def loss(y_true, y_pred):
        look("loss", y_pred)
        return tf.square(y_true - y_pred)

    model = Watched()
    model.compile("sgd", loss, mode=mode)
    return model, seen


def test_in_eager_mode_python_sees_every_number_of_every_step():
    model, seen = make_watched_model("eager")
    model.dense.build((None, 3))
    fit(model, epochs=2)
    for place in ("train_step", "call"):
        np.testing.assert_array_equal(seen[place], [X[:4], X[4:8], X[8:]] * 2)
    assert len(seen["loss"]) == 6
    assert all(isinstance(value, np.ndarray) for value in seen["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GRAPH, XLA, "fused"])
def test_in_compiled_modes_python_runs_only_to_trace(mode):
    model, seen = make_watched_model(mode)
    fit(model)
    traces = {place: len(values) for place, values in seen.items()}
    fit(model, epochs=3)
    assert {place: len(values) for place, values in seen.items()} == traces
    assert {value for values in seen.values() for value in values} == {"symbolic"}


@pytest.mark.parametrize("mode", [EAGER, GRAPH, XLA, "fused"])
def test_a_model_that_cannot_be_changed_gets_modes(mode):
    model = make_functional()
    weights = model.get_weights()
    assert with_modes(model) is model
    assert with_modes(model) is model  # a second time does nothing
    model.compile("sgd", "mse", mode=mode)
    assert model.mode == mode
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])
    assert fit(model).history["loss"]


def test_other_models_of_its_class_stay_without_modes():
    with_modes(make_sequential())
    assert type(make_sequential()) is keras.Sequential


@pytest.mark.parametrize("way", ["arguments", "constructor"])
def test_a_subclass_may_be_functional(way):
    class Own(km.Model):
        def train_step(self, data):
            return {**super().train_step(data), "mine": 1.0}

    class OwnConstructor(Own):
        def __init__(self, width):
            inputs = keras.Input((width,))
            super().__init__(inputs, keras.layers.Dense(1)(inputs))

    model = make_functional(Own) if way == "arguments" else OwnConstructor(3)
    model.compile("sgd", "mse", mode="fused")
    assert fit(model).history["mine"] == [1]
    assert isinstance(model, km.Model)
    assert [layer.name.split("_")[0] for layer in model.layers] == ["input", "dense"]


def test_functional_models_leave_the_others_alone():
    make_functional(km.Model)

    class Own(km.Model):
        pass

    make_functional(Own)
    assert not hasattr(km.SumRegressor(), "inputs")
    assert not issubclass(km.Model, type(make_functional()))


def test_a_mode_is_not_set_before_compile():
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before calling `set_mode"):
        km.SumRegressor().set_mode("fused")


@pytest.mark.slow
def test_a_compiled_model_gets_another_mode_and_keeps_its_optimizer():
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode="graph")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    model.set_mode("fused")
    model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
    assert model.mode == "fused"
    assert int(model.optimizer.iterations.numpy()) == 2


@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep), "fused"])
def test_a_stack_of_layers_may_grow_and_shrink(mode):
    x = np.ones((4, 3), "float32")
    model = km.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse", mode=mode)
    assert model.predict(x, verbose=0).shape == (4, 1)
    model.pop()
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), rtol=1e-6)
    model.add(keras.layers.Dense(4))
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), rtol=1e-6)


def test_a_pickle_of_a_model_that_was_given_modes_has_the_class_of_before():
    model = km.with_modes(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    model.compile("sgd", "mse", mode="fused")
    copied = pickle.loads(pickle.dumps(model))
    assert type(copied) is keras.Sequential
    np.testing.assert_array_equal(copied.get_weights()[0], model.get_weights()[0])


class SetMode(keras.callbacks.Callback):
    """Sets another mode after the first execution."""

    accepts_joined_steps = True

    def on_train_batch_end(self, batch, logs=None):
        if self.model.mode == "eager":
            self.model.set_mode("graph")


def test_a_callback_may_set_another_mode():
    histories = []
    for callbacks in ([], [SetMode()]):
        keras.utils.set_random_seed(0)
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode="eager")
        x = np.linspace(0, 1, 24).reshape(8, 3)
        fitted = model.fit(x, x[:, :1], batch_size=2, verbose=0, callbacks=callbacks)
        histories.append(fitted.history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-6)
    assert fitted.params["mode"] == model.mode == model.train_function.mode == "graph"


def test_a_callback_may_not_set_the_mode_that_tries_others():
    class SetAuto(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.set_mode("auto")

    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager")
    with pytest.raises(ValueError, match='`mode` must be set to "auto" before a fit'):
        model.fit(np.ones((4, 3)), np.ones((4, 1)), batch_size=2, verbose=0, callbacks=[SetAuto()])


def test_a_class_that_pickles_its_models_in_its_own_way_still_does():
    class Own(keras.Sequential):
        def __reduce__(self):
            return keras.Sequential.from_config, (self.get_config(),)

    model = km.with_modes(Own([keras.Input((3,)), keras.layers.Dense(1)]))
    assert type(pickle.loads(pickle.dumps(model))) is keras.Sequential


def test_what_a_compile_of_ones_own_has_resolved_is_saved():
    @keras.saving.register_keras_serializable(package="test_model")
    class Own(km.Model):
        def compile(self, rate=None, **kwargs):
            super().compile(optimizer=None, **kwargs)
            self.rate = 0.5 if rate is None else rate

        def get_compile_config(self):
            return super().get_compile_config(rate=self.rate)

    model = Own()
    model.compile(mode="graph")
    config = model.get_compile_config()
    assert (config["args"], config["kwargs"]) == ([0.5], {"mode": "graph"})


def make_nested(cls):
    inputs = keras.Input((3,))
    parts = [cls(inputs, keras.layers.Dense(2)(inputs)) for _ in range(2)]
    return cls(inputs, keras.layers.Dense(1)(parts[0](inputs) + parts[1](inputs)))


def test_weights_of_models_within_a_model_are_those_of_stock_keras(tmp_path):
    for one, other in ((keras.Model, km.Model), (km.Model, keras.Model)):
        saved, loaded = make_nested(one), make_nested(other)
        saved.save_weights(tmp_path / "model.weights.h5")
        loaded.load_weights(tmp_path / "model.weights.h5")
        for value, expected in zip(loaded.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)


def test_an_attribute_that_tells_something_else_is_not_hidden():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.mode = "doubled"

    with pytest.raises(TypeError, match="no attribute 'mode' of its own.*Received: Own.mode"):
        with_modes(Own())


def test_a_class_does_not_hide_what_the_modes_tell():
    with pytest.raises(TypeError, match="no attribute 'mode' of its own.*Received: Own.mode"):

        class Own(km.Model):
            mode = "doubled"
