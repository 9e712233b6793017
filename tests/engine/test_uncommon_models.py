"""Tests of models never compiled, cloned, wrapped, adapted, or compiled in ways of their own."""

import copy

import keras
import numpy as np
import pytest
import sklearn.base
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import with_modes

X, Y = km.data.sums(num_samples=12, num_features=3, seed=1)
MODES = ("eager", "graph", "xla", "fused")
# What these decide is the same in the other modes; the sweep has them.
FUSED = ["fused", *(pytest.param(m, marks=pytest.mark.sweep) for m in MODES[:3])]


@keras.saving.register_keras_serializable("uncommon")
class Subclassed(km.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(1)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)


def make_functional(cls=km.Model):
    inputs = keras.Input((3,))
    return cls(inputs, keras.layers.Dense(1)(inputs))


def make_sequential(cls=km.Sequential):
    return cls([keras.Input((3,)), keras.layers.Dense(1)])


MODELS = {
    "functional": make_functional,
    "Sequential": make_sequential,
    "subclass": Subclassed,
    "SumRegressor": km.SumRegressor,
    "with_modes": lambda: with_modes(make_sequential(keras.Sequential)),
}


def fit(model, **arguments):
    model.fit(X, Y, batch_size=4, shuffle=False, verbose=0, **arguments)
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_was_never_compiled_predicts(kind):
    model = MODELS[kind]()
    expected = model(X).numpy()
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(X), expected, rtol=1e-5, atol=1e-6)
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"You must call `compile\(\)` before"):
            method(X, Y)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["subclass"]
    + [
        pytest.param(kind, marks=pytest.mark.sweep)
        for kind in ("Sequential", "functional", "SumRegressor")
    ],
)
def test_a_model_loaded_without_compile_predicts(kind, tmp_path):
    model = MODELS[kind]()
    model.build((None, 3))
    model.compile("sgd", "mse", mode="graph")
    fit(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
def test_a_compiled_model_stays_compiled_with_modes():
    weights = []
    for is_stock in (True, False):
        keras.utils.set_random_seed(0)
        model = make_sequential(keras.Sequential)
        how = {"jit_compile": False, "steps_per_execution": 2}
        if is_stock:
            how = {"run_eagerly": True}  # Quicker than to trace a few steps.
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", **how)
        if not is_stock:
            with_modes(model)
            assert (model.mode, model.steps_per_execution) == ("graph", 2)
        weights.append(fit(model).get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.slow
def test_what_a_class_overrides_is_called_with_modes():
    class Own(keras.Sequential):
        def fit(self, *args, **kwargs):
            self.has_fit = True
            return super().fit(*args, **kwargs)

    model = with_modes(make_sequential(Own))
    model.compile("sgd", "mse", mode="fused")
    ends = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    fit(model, callbacks=[note])
    assert model.has_fit
    assert ends == [2]
    with pytest.raises(TypeError, match=r"class Wrong\(Own, km.Sequential\)"):
        type("Wrong", (km.ModesMixin, Own), {})
    right = make_sequential(type("Right", (Own, km.Sequential), {}))
    right.compile("sgd", "mse", mode="fused")
    assert fit(right).has_fit


@keras.saving.register_keras_serializable("uncommon")
class OwnCompile(Subclassed):
    """Without `**kwargs`, as many published examples are."""

    def compile(self, own_optimizer, thing=None):
        super().compile()
        self.own_optimizer, self.thing = own_optimizer, thing

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = km.average_loss(tf.square(self(x) - y))
        self.own_optimizer.apply(tape.gradient(loss, self.trainable_variables), self.weights)
        return {"own": loss}


@pytest.mark.parametrize("mode", FUSED)
def test_one_word_is_enough_for_a_compile_without_kwargs(mode, tmp_path):
    model = OwnCompile()
    model.build((None, 3))
    model.compile(keras.optimizers.SGD(0.1), mode=mode)
    assert fit(model).mode == mode
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.mode == mode
    assert int(loaded.own_optimizer.iterations.numpy()) == 3
    with pytest.raises(ValueError, match="`mode` must be one of"):
        model.compile(None, mode="grpah")
    assert model.own_optimizer is not None


def test_a_foreign_class_with_a_compile_without_kwargs_takes_the_word_too():
    class Foreign(keras.Sequential):
        def compile(self, rate):
            super().compile(keras.optimizers.SGD(rate), "mse")

    model = with_modes(make_sequential(Foreign))
    model.compile(0.1, mode="fused", steps_per_execution=2)
    assert (fit(model).mode, model.steps_per_execution) == ("fused", 2)


def test_an_argument_that_cannot_be_saved_does_not_stop_a_fit_and_is_named_on_loading(tmp_path):
    class Thing:
        pass

    model = OwnCompile()
    model.compile(keras.optimizers.SGD(0.1), Thing(), mode="graph")
    fit(model, callbacks=[keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")])
    with pytest.warns(UserWarning, match=r"`compile\(\)` was not called .*thing \(Thing\)"):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before"):
        fit(loaded)


def unregistered(x):
    return x


class WithoutConfig:
    def get_config(self):
        raise NotImplementedError


@keras.saving.register_keras_serializable("uncommon")
class OwnArguments(Subclassed):
    def compile(self, first, *rest, **swallowed):
        super().compile(first, "mse")
        self.rest = rest


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize(
    "thing",
    [
        lambda x: x,
        *(pytest.param(one, marks=pytest.mark.sweep) for one in (unregistered, WithoutConfig())),
    ],
)
def test_an_argument_that_cannot_be_read_does_not_stop_loading(thing, tmp_path):
    model = OwnCompile()
    model.compile(keras.optimizers.SGD(0.1), thing)
    # The loaded file is that of another program, which does not know the names of this one.
    fit(model).save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match=r"`compile\(\)` was not called"):
        keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.slow
def test_positional_arguments_are_saved_and_a_mode_is_not_swallowed(tmp_path):
    model = OwnArguments()
    model.compile("sgd", 1, 2.0, "three", mode="fused", anything=None)
    assert fit(model).mode == "fused"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.mode, list(loaded.rest)) == ("fused", [1, 2.0, "three"])


def test_a_gan_that_was_never_compiled_says_so():
    gan = km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Default(2, 2))
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before"):
        gan.evaluate(np.zeros((4, 8, 8, 1), "float32"))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("subclass", "fused"),
        pytest.param("functional", None, marks=pytest.mark.sweep),
        pytest.param("Sequential", "graph", marks=pytest.mark.sweep),
        pytest.param("functional", "fused", marks=pytest.mark.sweep),
        pytest.param("SumRegressor", None, marks=pytest.mark.sweep),
    ],
)
def test_a_clone_of_a_compiled_model_trains_as_it(kind, mode):
    model = MODELS[kind]()
    model.compile(keras.optimizers.SGD(0.1), "mse", mode=mode)
    model(X)
    clone = keras.models.clone_model(model)
    clone(X)
    clone.set_weights(model.get_weights())
    fit(clone), fit(model)
    for one, other in zip(clone.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_scikit_learn_takes_a_compiled_model():
    model = make_functional()
    model.compile("sgd", "mse", mode="graph")
    regressor = keras.wrappers.SKLearnRegressor(model, fit_kwargs={"verbose": 0})
    regressor = sklearn.base.clone(regressor)
    assert regressor.fit(X, Y[:, 0]).predict(X).shape[0] == 12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`")
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.parametrize("change", [pytest.param("lora", marks=pytest.mark.sweep), "int8"])
def test_adapted_and_quantized_models_are_saved_and_loaded(change, tmp_path):
    model = make_sequential()
    model.compile("sgd", "mse", mode="graph")
    fit(model)
    if change == "lora":
        model.layers[0].enable_lora(2)
        model.compile("sgd", "mse", mode="graph")
        fit(model)
    else:
        model.quantize("int8")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-5)
    assert loaded.mode == "graph"


@pytest.mark.parametrize("mode", ["xla", "fused"])
def test_a_layer_that_xla_refuses_is_named_with_the_mode(mode):
    model = km.Sequential([keras.Input((8, 8, 1)), keras.layers.RandomZoom(0.2)])
    words = (
        rf"`mode` must be 'graph' or 'eager'.*Received: mode='{mode}' with layers \['random_zoom"
    )
    with pytest.raises(ValueError, match=words):
        model.compile("sgd", "mse", mode=mode)


def test_steps_per_execution_is_any_integer_and_may_be_assigned():
    model = make_functional()
    model.compile("sgd", "mse", mode="fused", steps_per_execution=np.int64(2))
    ends = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    fit(model, callbacks=[note])
    model.compile("sgd", "mse", mode="fused")
    model.steps_per_execution = 1
    fit(model, callbacks=[note])
    assert ends == [1, 2, 0, 1, 2]
    with pytest.raises(ValueError, match="`steps_per_execution` must be a positive integer. Rec"):
        model.steps_per_execution = 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("make", "mode"),
    [(make_functional, "fused"), pytest.param(make_sequential, None, marks=pytest.mark.sweep)],
)
def test_the_old_file_format_is_read_again(make, mode, tmp_path):
    model = make()
    # Stock Keras cannot read the word "mse" from this format.
    model.compile(keras.optimizers.SGD(0.1), keras.losses.MeanSquaredError(), mode=mode)
    fit(model).save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    # It does not train on in stock Keras either: its optimizer is built for other variables.
    np.testing.assert_allclose(loaded.predict(X), model.predict(X), rtol=1e-6)


def make_own(compile):
    """Returns a model whose class has that `compile`."""
    return type("Own", (Subclassed,), {"compile": compile})()


def compile_and_drop(self, optimizer, **kwargs):
    super(type(self), self).compile(optimizer, "mse")


@pytest.mark.parametrize("mode", FUSED)
def test_a_compile_that_hands_nothing_on_does_not_lose_the_mode(mode):
    model = make_own(compile_and_drop)
    model.build((None, 3))
    model.compile("sgd", mode=mode, steps_per_execution=2)
    assert (fit(model).mode, model.steps_per_execution) == (mode, 2)


def test_a_compile_that_decides_the_mode_itself_decides():
    def compile(self, optimizer, **kwargs):
        super(type(self), self).compile(optimizer, "mse", **{**kwargs, "mode": "xla"})

    model = make_own(compile)
    model.compile("sgd", mode="eager")
    assert model.mode == "xla"


def test_a_compile_with_a_mode_of_another_meaning_keeps_it():
    def compile(self, optimizer, mode="triplets"):
        super(type(self), self).compile(optimizer, "mse")
        self.kind = mode

    model = make_own(compile)
    model.compile("sgd", mode="pairs", steps_per_execution=2)
    assert (model.kind, model.mode, model.steps_per_execution) == ("pairs", "graph", 2)


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_a_compile_that_knows_the_mode_alone_takes_what_goes_with_it(mode):
    def compile(self, optimizer, mode=None):
        super(type(self), self).compile(optimizer, "mse", mode=mode)

    model = make_own(compile)
    model.compile("sgd", mode=mode, steps_per_execution=2)
    assert (model.mode, model.steps_per_execution) == (mode, 2)
    with pytest.raises(ValueError, match="`run_eagerly` must agree with mode"):
        model.compile("sgd", mode=mode, run_eagerly=mode != "eager")


def test_a_compile_that_knows_steps_per_execution_alone_decides_it():
    def compile(self, optimizer, steps_per_execution=3):
        super(type(self), self).compile(optimizer, "mse", steps_per_execution=steps_per_execution)

    model = make_own(compile)
    model.build((None, 3))
    model.compile("sgd", mode="fused")
    assert (model.mode, model.steps_per_execution) == ("fused", 3)
    model.compile("sgd", mode="fused", steps_per_execution=2)
    ends = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    fit(model, callbacks=[note])
    assert ends == [1, 2]


def test_a_compile_that_knows_run_eagerly_alone_is_told_of_a_contradiction():
    def compile(self, optimizer, run_eagerly=False):
        super(type(self), self).compile(optimizer, "mse", run_eagerly=run_eagerly)

    model = make_own(compile)
    model.compile("sgd", mode="eager")
    assert model.mode == "eager"
    with pytest.raises(ValueError, match="`run_eagerly` must agree with mode='fused'"):
        model.compile("sgd", mode="fused", run_eagerly=True)


def test_a_compile_with_the_signature_of_keras_lets_fit_find_the_steps():
    def compile(self, optimizer, loss=None, run_eagerly=False, steps_per_execution=1):
        super(type(self), self).compile(
            optimizer, loss, run_eagerly=run_eagerly, steps_per_execution=steps_per_execution
        )

    model = make_own(compile)
    model(X)
    ends = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    model.compile("sgd", "mse", mode="fused")
    fit(model, callbacks=[note])
    model.compile("sgd", "mse", mode="fused", steps_per_execution=1)
    fit(model, callbacks=[note])
    assert ends == [2, 0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "mode"),
    [(make_sequential, "fused"), pytest.param(make_functional, None, marks=pytest.mark.sweep)],
)
def test_a_file_of_a_model_with_modes_holds_the_class_that_it_had(make, mode, tmp_path):
    cls = keras.Model if make is make_functional else keras.Sequential
    model = make(cls)
    stock = type(model)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    with_modes(model)
    if mode is not None:
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse", mode=mode)
    fit(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is stock
    loaded.run_eagerly = True  # Quicker than to trace a few steps.
    fit(loaded), fit(model)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.slow
def test_a_copy_of_a_model_with_modes_has_the_class_that_it_had():
    model = with_modes(make_sequential(keras.Sequential))
    model.compile("sgd", "mse", mode="fused")
    copied = copy.deepcopy(model)
    assert type(copied) is keras.Sequential
    np.testing.assert_allclose(copied.predict(X), model.predict(X), rtol=1e-5)
