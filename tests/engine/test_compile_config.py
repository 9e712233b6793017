"""Tests of what `compile` was given: it survives saving, with the optimizers' state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)


@keras.saving.register_keras_serializable("tests")
class TwoOptimizers(km.Model):
    """A user's model: two parts, an optimizer for each, arguments of its own."""

    def __init__(self, width=2, **kwargs):
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
        pair = [keras.optimizers.SGD(rate, momentum=0.9) for rate in (0.1, 0.01)]
        self.optimizers = pair if place == "list" else dict(zip("ab", pair, strict=True))
        self.penalty = 0.0

    def parts(self):
        optimizers = self.optimizers
        first, second = optimizers.values() if isinstance(optimizers, dict) else optimizers
        return [(first, self.body), (second, self.head)]


@keras.saving.register_keras_serializable("tests")
class NamedArguments(km.Model):
    """A user's model whose `compile` names what it takes."""

    def build(self, input_shape):
        self.built = True

    def compile(self, optimizer="sgd", mode=None):
        super().compile(optimizer, mode=mode)


@keras.saving.register_keras_serializable("tests")
class SavedSequential(km.ModesMixin, keras.Sequential):
    """The mixin before a class of Keras."""


@keras.saving.register_keras_serializable("tests")
def loss_of_two_terms(y_true, y_pred):
    return tf.reduce_mean(tf.square(y_true - y_pred)) + 0.1 * tf.reduce_mean(tf.abs(y_pred))


def make_sequential(cls=keras.Sequential):
    return cls([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])


def make_functional(cls=keras.Model):
    inputs = keras.Input((3,))
    return cls(inputs, keras.layers.Dense(1)(inputs))


def fit(model, epochs=1, **arguments):
    return model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, **arguments)


def check_goes_on_as_if_never_stopped(model, path):
    """Trains, saves, loads; then both train on and must stay equal. Returns the loaded model.

    An optimizer of momentum has a state that counts, and traces fewer operations than Adam.
    """
    fit(model)
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.mode == model.mode
    expected = fit(model, epochs=2).history["loss"]
    np.testing.assert_allclose(fit(loaded, epochs=2).history["loss"], expected, rtol=1e-5)
    return loaded


@pytest.mark.slow
def test_the_mixin_serves_any_class_of_keras(tmp_path):
    model = make_sequential(SavedSequential)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", mode="fused")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    assert type(loaded) is SavedSequential


# Functional models are in most files; the mixin above is saved in the same way.
@pytest.mark.sweep
@pytest.mark.slow
def test_a_functional_model_has_modes(tmp_path):
    model = make_functional(km.Model)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", mode="graph")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    assert isinstance(loaded, km.Model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "optimizers"),
    [
        ("eager", "objects"),
        pytest.param("graph", "strings", marks=pytest.mark.sweep),
        pytest.param("fused", "objects", marks=pytest.mark.sweep),
    ],
)
def test_a_users_two_optimizers_survive_saving(tmp_path, mode, optimizers):
    model = TwoOptimizers()
    model.build((None, 3))
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
    np.testing.assert_allclose(fit(loaded).history["loss"], expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["dict", pytest.param("list", marks=pytest.mark.sweep)])
def test_optimizers_in_a_list_or_dictionary_survive_saving(tmp_path, place):
    model = OptimizersInPlaces()
    model.build((None, 3))
    model.compile(place=place, mode="eager")
    check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")


def test_weights_alone_can_be_saved_and_loaded(tmp_path):
    model = TwoOptimizers()
    model.build((None, 3))
    model.compile("sgd", mode="eager")
    fit(model)
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = TwoOptimizers()
    loaded.build((None, 3))
    loaded.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(loaded(X), model(X))


@pytest.mark.slow
def test_a_users_own_loss_and_metrics_survive_saving(tmp_path):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", loss_of_two_terms, metrics=["mae"], mode="eager")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    evaluate = {"x": X, "y": Y, "batch_size": 4, "verbose": 0, "return_dict": True}
    logs, expected = (m.evaluate(**evaluate) for m in (loaded, model))
    assert logs == pytest.approx(expected)


def test_a_changed_learning_rate_survives_saving(tmp_path):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode="eager")
    fit(model)
    model.optimizer.learning_rate = 0.125
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.learning_rate.numpy() == 0.125


def test_the_number_of_steps_survives_saving(tmp_path):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode="eager", steps_per_execution=7)
    fit(model)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").steps_per_execution == 7


class KeepsToItself(km.SumRegressor):
    def compile(self, optimizer, **kwargs):
        super().compile(optimizer)


def test_the_dtype_of_summed_gradients_holds_where_a_class_does_not_pass_it_on():
    model = KeepsToItself(units=())
    model.compile("sgd", gradient_dtype="bfloat16")
    assert model.gradient_dtype == "bfloat16"


@pytest.mark.parametrize("make", [lambda: km.SumRegressor(units=()), TwoOptimizers, NamedArguments])
def test_the_dtype_of_summed_gradients_survives_saving(tmp_path, make):
    model = make()
    model.build((None, 3))
    model.compile("sgd", mode="eager", gradient_dtype="bfloat16")
    model.save(tmp_path / "model.keras")
    model.compile("sgd")
    assert model.gradient_dtype is None
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.gradient_dtype == "bfloat16"
    model.gradient_dtype = None
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").gradient_dtype is None


@pytest.mark.slow
def test_a_frozen_layer_survives_saving(tmp_path):
    model = make_sequential(SavedSequential)
    model.layers[0].trainable = False
    frozen = model.layers[0].kernel.numpy()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", mode="graph")
    loaded = check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].kernel, frozen)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


@pytest.mark.slow
def test_a_frozen_part_of_a_users_model_can_be_frozen_again(tmp_path):
    model = km.SumRegressor((2,))
    model.build((None, 3))
    model.hidden_layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), mode="eager")
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.hidden_layers[0].trainable = False  # no class of Keras saves this of its parts
    expected = fit(model).history["loss"]
    np.testing.assert_allclose(fit(loaded).history["loss"], expected, rtol=1e-5)


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
    model.build((None, 3))
    model.compile("sgd", mode="eager")
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
    model.head.build((None, 2))
    model.built = True
    model.compile("sgd", mode="eager")
    fit(model)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="must be built before its optimizers' state"):
        keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.slow
@pytest.mark.sweep
def test_a_model_trained_on_replicas_goes_on_on_one_device(tmp_path, two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9))
    check_goes_on_as_if_never_stopped(model, tmp_path / "model.keras")


@pytest.mark.slow
def test_a_model_trained_on_one_device_goes_on_on_replicas(tmp_path, two_replicas):
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), mode="eager")
    fit(model)
    model.save(tmp_path / "model.keras")
    with two_replicas.scope():
        loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = fit(model).history["loss"]
    np.testing.assert_allclose(fit(loaded).history["loss"], expected, rtol=1e-5)
