"""Tests of `km.Model` and `km.ModesMixin`: choosing a mode, debugging in it, saving it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.model import with_modes

MODES = ("eager", "graph", "xla", "fused")
X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)


@keras.saving.register_keras_serializable("tests")
class TwoOptimizers(km.Model):
    """A user's model: two parts, an optimizer for each, arguments of its own."""

    def __init__(self, width=4, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.body, self.head = keras.layers.Dense(width), keras.layers.Dense(1)

    def build(self, input_shape):
        self.body.build(input_shape)
        self.head.build((None, self.width))

    def call(self, x):
        return self.head(self.body(x))

    def compile(self, body_optimizer, head_optimizer="sgd", penalty=0.0, **kwargs):
        super().compile(optimizer=None, **kwargs)
        self.body_optimizer = keras.optimizers.get(body_optimizer)
        self.head_optimizer = keras.optimizers.get(head_optimizer)
        self.penalty = penalty

    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = km.average_loss(tf.square(self(x) - y)) + self.penalty
        for optimizer, part in self.parts():
            variables = part.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}

    def parts(self):
        return [(self.body_optimizer, self.body), (self.head_optimizer, self.head)]

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("tests")
class OptimizersInPlaces(TwoOptimizers):
    """The same, its optimizers in a list or a dictionary."""

    def compile(self, place="list", **kwargs):
        super(TwoOptimizers, self).compile(optimizer=None, **kwargs)
        pair = [keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.01)]
        self.optimizers = pair if place == "list" else dict(zip("ab", pair, strict=True))
        self.penalty = 0.0

    def parts(self):
        optimizers = self.optimizers
        first, second = optimizers.values() if isinstance(optimizers, dict) else optimizers
        return [(first, self.body), (second, self.head)]


@keras.saving.register_keras_serializable("tests")
class SequentialWithModes(km.ModesMixin, keras.Sequential):
    """The mixin before a class of Keras."""


@keras.saving.register_keras_serializable("tests")
def loss_of_two_terms(y_true, y_pred):
    return tf.reduce_mean(tf.square(y_true - y_pred)) + 0.1 * tf.reduce_mean(tf.abs(y_pred))


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


def check_goes_on_as_if_never_stopped(model, path):
    """Trains, saves, loads; then both train on and must stay equal. Returns the loaded model."""
    fit(model)
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.mode == model.mode
    expected = fit(model, epochs=2).history["loss"]
    np.testing.assert_allclose(fit(loaded, epochs=2).history["loss"], expected, rtol=1e-6)
    return loaded


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


@pytest.mark.parametrize("mode", ["graph", "xla", "fused"])
def test_run_eagerly_can_be_switched_on_and_off_after_compile(mode):
    model = TwoOptimizers()
    model.compile("sgd", mode=mode)
    executions = count_executions(model)
    model.run_eagerly = True
    fit(model)
    assert model.mode == "eager"
    assert executions == [True] * 3
    model.run_eagerly = False
    fit(model)
    assert model.mode == mode
    assert executions[3:].count(True) == 0
    assert int(model.body_optimizer.iterations.numpy()) == 6


def count_executions(model):
    """Returns a list that grows by "eager or not" whenever Python runs through the train step."""
    executions, train_step = [], model.train_step

    def counted_step(data):
        executions.append(tf.executing_eagerly())
        return train_step(data)

    model.train_step = counted_step
    return executions


def test_compile_again_changes_the_mode():
    model = km.SumRegressor()
    for mode in (*MODES, "graph"):
        model.compile(mode=mode)
        fit(model)
        assert model.mode == mode


def test_an_unknown_mode_is_refused():
    words = (
        "`mode` must be one of 'eager', 'graph', 'xla', 'fused', or None. Received: mode='grpah'"
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


@pytest.mark.parametrize("make_model", [km.SumRegressor, km.MSGGAN, make_functional])
def test_an_unknown_argument_is_refused(make_model):
    with pytest.raises(TypeError, match="mood"):
        with_modes(make_model()).compile(mood="fused")


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "grpah"},
        {"mode": "graph", "run_eagerly": True},
        {"mode": "graph", "steps_per_execution": 0},
        {"mode": "graph", "mood": "good"},
        {"mode": "graph", "optimizer": "adamm"},
    ],
    ids=lambda arguments: list(arguments)[-1],
)
def test_a_failed_compile_leaves_the_model_as_it_was(tmp_path, arguments):
    model = km.SumRegressor()
    model.compile(optimizer="sgd", mode="eager")
    fit(model)
    optimizer = model.optimizer
    with pytest.raises((ValueError, TypeError)):
        model.compile(**arguments)
    assert model.mode == "eager"
    assert model.optimizer is optimizer
    assert isinstance(optimizer, keras.optimizers.SGD)
    check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")


@pytest.mark.parametrize("mode", ["xla", "fused"])
def test_replicas_and_xla_do_not_go_together_yet(two_replicas, mode):
    with two_replicas.scope():
        model = km.SumRegressor()
    with pytest.raises(ValueError, match="`mode` must be 'eager' or 'graph' under a strategy"):
        model.compile(mode=mode)


@pytest.mark.parametrize("arguments", [{"mode": "xla"}, {"mode": "fused"}, {"jit_compile": True}])
def test_a_layer_that_refuses_xla_is_an_error_under_xla(arguments):
    model = SequentialWithModes([keras.Input((3,)), NotForXla(name="stubborn")])
    with pytest.raises(ValueError, match=r"must be 'graph' or 'eager' .*\['stubborn'\]"):
        model.compile(loss="mse", **arguments)


@pytest.mark.parametrize("mode", ["eager", "graph", None])
def test_a_layer_that_refuses_xla_runs_without_it(mode):
    model = SequentialWithModes([keras.Input((3,)), NotForXla(), keras.layers.Dense(1)])
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


@pytest.mark.parametrize("mode", ["graph", "xla", "fused"])
def test_in_compiled_modes_python_runs_only_to_trace(mode):
    model, seen = make_watched_model(mode)
    fit(model)
    traces = {place: len(values) for place, values in seen.items()}
    fit(model, epochs=3)
    assert {place: len(values) for place, values in seen.items()} == traces
    assert {value for values in seen.values() for value in values} == {"symbolic"}


@pytest.mark.parametrize("mode", MODES)
def test_a_step_on_a_single_batch_sees_tensors(mode):
    class Own(TwoOptimizers):
        def train_step(self, data):
            assert all(tf.is_tensor(part) for part in data[:2])
            return super().train_step(data[:2])

    model = Own()
    model.compile("sgd", mode=mode)
    model.train_on_batch(X, Y)
    assert int(model.body_optimizer.iterations.numpy()) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_validation_step_runs_in_the_mode(mode):
    model = km.SumRegressor()
    model.compile(mode=mode, metrics=["mae"])
    logs = fit(model, validation_data=(X, Y)).history
    assert logs["val_loss"] == pytest.approx([model.evaluate(X, Y, verbose=0)[0]])
    assert logs["val_mae"] == pytest.approx([np.abs(model.predict(X, verbose=0) - Y).mean()])


@pytest.mark.parametrize("mode", ["graph", "fused"])
@pytest.mark.parametrize(
    ("steps_per_epoch", "steps_per_execution"), [(5, 100), (5, 2), (4, 2), (1, 3), (7, 7)]
)
def test_an_epoch_has_exactly_the_steps_asked_for(mode, steps_per_epoch, steps_per_execution):
    if mode == "graph":
        steps_per_execution = 1
    model = km.SumRegressor(units=())
    model.compile("sgd", mode=mode, steps_per_execution=steps_per_execution)
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


def test_validation_has_exactly_the_steps_asked_for():
    losses = []
    for mode in ("graph", "fused"):
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.set_weights([np.ones((3, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(0.0), mode=mode)
        data = tf.data.Dataset.from_tensor_slices((X, Y + np.arange(12)[:, np.newaxis])).batch(1)
        history = fit(model, validation_data=data.repeat(), validation_steps=3).history
        losses.append([*history["val_loss"], model.evaluate(data.repeat(), steps=3, verbose=0)])
    np.testing.assert_allclose(losses, (0 + 1 + 4) / 3, rtol=1e-5)


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_predict_gives_exactly_the_steps_asked_for(mode):
    model = km.SumRegressor()
    model.compile(mode=mode)
    data = tf.data.Dataset.from_tensor_slices(X).batch(2).repeat()
    assert model.predict(data, steps=3, verbose=0).shape == (6, 1)


@pytest.mark.parametrize("mode", MODES)
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


def test_the_mixin_serves_any_class_of_keras(tmp_path):
    model = make_sequential(SequentialWithModes)
    model.compile(keras.optimizers.Adam(0.1), "mse", mode="fused")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    assert type(loaded) is SequentialWithModes


def test_a_functional_model_has_modes(tmp_path):
    model = make_functional(km.Model)
    model.compile(keras.optimizers.Adam(0.1), "mse", mode="fused")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    assert isinstance(loaded, km.Model)


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


@pytest.mark.parametrize("mode", ["graph", "fused"])
@pytest.mark.parametrize("optimizers", ["strings", "objects"])
def test_a_users_two_optimizers_survive_saving(tmp_path, mode, optimizers):
    model = TwoOptimizers()
    if optimizers == "strings":
        model.compile("adam", head_optimizer="rmsprop", penalty=0.5, mode=mode)
    else:
        adam, sgd = keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.01, momentum=0.9)
        model.compile(adam, sgd, mode=mode, penalty=0.5)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.mode, loaded.penalty) == (mode, 0.5)
    for name in ("body_optimizer", "head_optimizer"):
        expected, optimizer = getattr(model, name), getattr(loaded, name)
        assert type(optimizer) is type(expected)
        assert int(optimizer.iterations.numpy()) == 3
        for one, other in zip(optimizer.variables, expected.variables, strict=True):
            np.testing.assert_array_equal(one, other)
    expected = fit(model).history["loss"]
    np.testing.assert_allclose(fit(loaded).history["loss"], expected, rtol=1e-6)


@pytest.mark.parametrize("place", ["list", "dict"])
def test_optimizers_in_a_list_or_dictionary_survive_saving(tmp_path, place):
    model = OptimizersInPlaces()
    model.compile(place=place)
    check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")


def test_weights_alone_can_be_saved_and_loaded(tmp_path):
    model = TwoOptimizers()
    model.compile("adam", mode="graph")
    fit(model)
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = TwoOptimizers()
    loaded.build((None, 3))
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded(X), model(X))


def test_a_users_own_loss_and_metrics_survive_saving(tmp_path):
    model = km.SumRegressor()
    model.compile("adam", loss_of_two_terms, metrics=["mae"], mode="graph")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    logs, expected = (m.evaluate(X, Y, verbose=0, return_dict=True) for m in (loaded, model))
    assert logs == pytest.approx(expected)


def test_a_changed_learning_rate_survives_saving(tmp_path):
    model = km.SumRegressor()
    model.compile("adam")
    fit(model)
    model.optimizer.learning_rate = 0.125
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.learning_rate.numpy() == 0.125


def test_the_number_of_steps_survives_saving(tmp_path):
    model = km.SumRegressor()
    model.compile(mode="fused", steps_per_execution=7)
    fit(model)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").steps_per_execution == 7


def test_a_frozen_layer_survives_saving(tmp_path):
    model = make_sequential(SequentialWithModes)
    model.layers[0].trainable = False
    frozen = model.layers[0].kernel.numpy()
    model.compile("adam", "mse", mode="graph")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].kernel, frozen)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


def test_a_frozen_part_of_a_users_model_can_be_frozen_again(tmp_path):
    model = km.SumRegressor()
    model.hidden_layers[0].trainable = False
    model.compile("adam")
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.hidden_layers[0].trainable = False  # no class of Keras saves this of its parts
    expected = fit(model).history["loss"]
    np.testing.assert_allclose(fit(loaded).history["loss"], expected, rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_model_can_be_saved_before_training(tmp_path, compiled):
    model = TwoOptimizers()
    if compiled:
        model.compile("adam", mode="xla")
    model.build((None, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.compiled == compiled
    assert loaded.mode == ("xla" if compiled else "graph")
    np.testing.assert_array_equal(loaded(X), model(X))


def test_a_model_can_be_loaded_without_compiling(tmp_path):
    model = TwoOptimizers()
    model.compile("adam", mode="eager")
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded(X), model(X))


def test_what_cannot_be_built_names_the_way_out(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    class Unbuildable(TwoOptimizers):
        def build(self, input_shape):
            raise RuntimeError("no shapes here")

        def build_from_config(self, config):
            pass

    model = Unbuildable()
    model.body.build((None, 3))
    model.head.build((None, 4))
    model.built = True
    model.compile("adam")
    fit(model)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="must be built before its optimizers' state"):
        keras.models.load_model(tmp_path / "model.keras")


def test_a_model_trained_on_replicas_goes_on_on_one_device(tmp_path, two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor()
        model.compile("adam")
    check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")


def test_a_model_trained_on_one_device_goes_on_on_replicas(tmp_path, two_replicas):
    model = km.SumRegressor()
    model.compile("adam")
    fit(model)
    model.save(tmp_path / "model.keras")
    with two_replicas.scope():
        loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = fit(model).history["loss"]
    np.testing.assert_allclose(fit(loaded).history["loss"], expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize("mode", MODES)
def test_the_end_of_data_of_unknown_length_runs_no_step(mode):
    model = TwoOptimizers()
    model.compile("adam", mode=mode)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).filter(lambda x, y: True)
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert int(model.body_optimizer.iterations.numpy()) == 6
