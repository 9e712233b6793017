"""Tests of `km.to_keras`: the same numbers, in a program that cannot import kerasmodes."""

import functools
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
PROGRAM = """
import pathlib, sys
sys.modules["kerasmodes"] = None  # importing it is an ImportError from here on
import keras, numpy as np
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    numbers = np.load(path.with_suffix(".npz"))
    inputs = [numbers[name] for name in sorted(numbers) if name.startswith("input")]
    outputs = keras.models.load_model(path)(inputs if len(inputs) > 1 else inputs[0])
    for place, output in enumerate(keras.tree.flatten(outputs)):
        np.testing.assert_allclose(output, numbers[f"output{place}"], rtol=1e-6, atol=1e-6)
    print(path.stem)
"""


class Tower(km.Model):
    """A network of its own kind, with a layer of the package in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3, "tanh")
        self.dropout = km.random.Dropout(0.5)
        self.normalization = keras.layers.BatchNormalization()

    def call(self, x, training=False):
        x = self.normalization(self.dense(x), training=training)
        return self.dropout(x, training=training)


class Towers(km.Model):
    """Networks in a network: one of them twice, with operations between."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.tower = Tower()
        self.head = make_functional((3,))

    def call(self, pair):
        left, right = pair
        return self.head(keras.ops.abs(self.tower(left) - self.tower(right)))


def make_functional(shape=(4,)):
    inputs = keras.Input(shape)
    x = km.random.Dropout(0.5)(keras.layers.Dense(3, "relu")(inputs))
    return km.Model(inputs, [keras.layers.Dense(2)(x), keras.ops.mean(x, axis=-1)])


def make_layers():
    layers = [keras.Input((4,)), keras.layers.Dense(3, "relu"), km.random.Dropout(0.5)]
    return [*layers, keras.layers.Dense(1)]


def make_called(model, *inputs):
    model(*inputs)
    for layer in model._flatten_layers():  # What is not the initial state has to be copied.
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign_add(tf.ones(layer.moving_mean.shape))
    return model


def make_gan(preset, num_scales=1, num_classes=None):
    gan = km.MSGGAN((8, 8, 1), num_scales, 3, num_classes, preset, seed=0)
    for weight in gan.average.network.weights if gan.average else []:
        weight.assign_add(tf.ones_like(weight))
    return gan


LATENTS = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 2, 1], "int32")
MODELS = {
    "functional": lambda: (make_functional(), X),
    "sequential": lambda: (km.Sequential(make_layers()), X),
    "unnamed": lambda: (make_called(km.Sequential(make_layers()[1:]), X), X),
    "foreign": lambda: (km.with_modes(keras.Sequential(make_layers())), X),
    "without_modes": lambda: (keras.Sequential(make_layers()), X),
    "regressor": lambda: (make_called(km.SumRegressor((3, 2)), X), X),
    "tower": lambda: (make_called(Tower(), X), X),
    "towers": lambda: (make_called(Towers(), [X, X[::-1]]), [X, X[::-1]]),
    "class_gan": lambda: (make_gan(km.presets.Default(8, 8), 3, 3), [LATENTS, LABELS]),
    "tutorial_gan": lambda: (make_gan(km.presets.Tutorial(2, 2)), LATENTS),
    "paper_gan": lambda: (make_gan(km.presets.Paper(4, 4)), LATENTS),
}


DIFFERENT = ("functional", "towers", "class_gan", "paper_gan")
ALL_DIFFERENT = (*DIFFERENT, "sequential", "tutorial_gan")


def flatten(outputs):
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


SLOW = [name for name in MODELS if name.endswith("gan")]
PARAMETERS = [
    pytest.param(
        name,
        marks=[pytest.mark.slow] * (name in SLOW) + [pytest.mark.sweep] * (name == "class_gan"),
    )
    for name in MODELS
]


@functools.cache
def find(name):
    """Returns a model, its plain one, and inputs."""
    keras.utils.set_random_seed(0)
    model, inputs = MODELS[name]()
    return model, km.to_keras(model), inputs


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_plain_model_computes_the_same_numbers(name):
    model, plain, inputs = find(name)
    for one, other in zip(flatten(plain(inputs)), flatten(model(inputs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    assert "kerasmodes" not in plain.to_json()


def save_all(folder, names):
    """Saves plain models, each with inputs and outputs."""
    for name in names:
        model, plain, inputs = find(name)
        plain.save(folder / f"{name}.keras")
        numbers = {f"input{place}": one for place, one in enumerate(flatten(inputs))}
        outputs = flatten(model(inputs))
        numbers |= {f"output{place}": array for place, array in enumerate(outputs)}
        np.savez(folder / name, **numbers)


@pytest.mark.slow
def test_plain_models_are_loaded_where_kerasmodes_is_hidden(tmp_path, monkeypatch, capsys):
    save_all(tmp_path, DIFFERENT)
    for name in [name for name in sys.modules if name.split(".")[0] == "kerasmodes"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [*keras.saving.get_custom_objects()]:  # What kerasmodes and the tests registered.
        monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    exec(PROGRAM, {})
    assert capsys.readouterr().out.split() == sorted(DIFFERENT)


@pytest.mark.sweep
@pytest.mark.workers
def test_plain_models_are_loaded_in_a_program_without_kerasmodes(tmp_path):
    save_all(tmp_path, ALL_DIFFERENT)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": ""}
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.stdout.split() == sorted(ALL_DIFFERENT), run.stderr


def find_names(name):
    return [one.name for one in find(name)[1].inputs]


def test_inputs_keep_their_names():
    assert find_names("regressor") == ["x"]
    assert find_names("towers") == ["pair_0", "pair_1"]
    for name in ("functional", "sequential", "unnamed"):
        assert find_names(name)[0].startswith("input_layer")


@pytest.mark.slow
def test_inputs_of_a_gan_are_latents_and_labels():
    assert find_names("class_gan") == ["latents", "labels"]


def test_a_plain_model_has_its_own_weights():
    model, plain, x = find("tower")
    before = flatten(model(x))[0]
    plain.set_weights([weight + 1 for weight in plain.get_weights()])
    np.testing.assert_array_equal(flatten(model(x))[0], before)
    assert np.any(flatten(plain(x))[0] != before)
    plain.set_weights([weight - 1 for weight in plain.get_weights()])


def test_a_network_that_is_used_twice_is_one_network():
    model, plain, *_ = find("towers")
    assert len(plain.weights) == len(model.weights)


def test_dropout_stays_and_is_that_of_keras():
    _, plain, x = find("tower")
    (dropout,) = [layer for layer in plain.layers if isinstance(layer, keras.layers.Dropout)]
    assert (dropout.rate, type(dropout)) == (0.5, keras.layers.Dropout)
    assert np.mean(flatten(plain(x, training=True))[0] == 0) > 0.1


@pytest.mark.slow
def test_a_class_that_is_none_gives_nan():
    _, plain, _ = find("class_gan")
    images = flatten(plain([LATENTS[:3], np.array([0, 3, -1])]))[-1]
    assert [bool(np.isnan(image).any()) for image in images] == [False, True, True]


@pytest.mark.slow
def test_training_continues_with_the_optimizer_s_state():
    x, y = km.data.sums(num_samples=32, num_features=4, seed=0)
    inputs = keras.Input((4,))
    model = km.Model(inputs, keras.layers.Dense(1)(inputs))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "mse", metrics=["mae"], mode="eager")
    fit = {"x": x, "y": y, "batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(**fit)
    plain = km.to_keras(model)
    plain.run_eagerly = True  # Quicker than to trace a few steps.
    found, expected = plain.fit(**fit).history, model.fit(**fit).history
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name] == pytest.approx(expected[name], rel=1e-5)


def test_a_model_with_a_step_of_its_own_is_not_compiled():
    model = km.SumRegressor(())
    model.build((None, 4))
    model.compile()
    assert not km.to_keras(model).compiled


class TwoArguments(Towers):
    def call(self, left, right):
        return super().call((left, right))


class BuiltForTwo(TwoArguments):
    def build(self, left_shape, right_shape):
        self.built = True


class WithoutCall(km.Model):
    pass


class WithTensorFlow(Tower):
    def call(self, x, training=False):
        return tf.nn.relu(super().call(x))


class WithWeight(Tower):
    def build(self, shape):
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, x):
        return super().call(x) * self.scale


class Noise(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = km.random.SeedGenerator(1)

    def call(self, x):
        return x + km.random.normal(tf.shape(x), seed=self.seeds)


class Mask(km.random.Dropout):
    def call(self, inputs, training=False):
        return inputs * self.rate


def make_built_by_hand():
    model = Tower()
    model.dense.build((None, 4))
    model.normalization.build((None, 3))
    model.built = True
    return model


def make_without_call():
    model = WithoutCall()
    model.built = True
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Tower, "`model` must be built: call it once, or its `build`. Received: the Tower"),
        (lambda: km.Sequential([keras.layers.Dense(1)]), "`model` must be built"),
        (make_built_by_hand, "must know the shapes of all that its `call` needs. Received: a T"),
        (lambda: make_called(TwoArguments(), X, X), "all that its `call` needs. Received: a Two"),
        (make_without_call, "must have a `call`. Received: a WithoutCall without one"),
        (lambda: make_called(WithTensorFlow(), X), "without tf.*call ends in ValueError.*export"),
        (lambda: make_called(WithWeight(), X), "keep its weights in layers. .*'.*scale' of its"),
        (lambda: keras.Sequential([keras.Input((4,)), Noise()]), "the SeedGenerator '.*' of keras"),
        (lambda: keras.Sequential([keras.Input((4,)), Mask(0.5)]), "with the Mask 'mask.*' of ker"),
        pytest.param(
            lambda: find("paper_gan")[0].discriminator,
            "MinibatchStandardDeviation",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_keras_could_not_load_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        km.to_keras(make())


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="`model` must be a keras.Model. Received: model=<Dense"):
        km.to_keras(keras.layers.Dense(1))


def test_the_way_out_for_unknown_shapes_works():
    model = make_built_by_hand()
    inputs = keras.Input((4,))
    plain = km.to_keras(km.Model(inputs, model.call(inputs)))
    np.testing.assert_allclose(plain(X), model(X), atol=1e-6)


def test_the_way_out_for_two_inputs_is_named_and_works():
    model = make_called(TwoArguments(), X, X[::-1])
    with pytest.raises(ValueError, match="Give .* with left = keras.Input.*, right") as caught:
        km.to_keras(model)
    found = re.search(r"Give (.*) with", str(caught.value))[1]
    given = {"km": km, "model": model, "left": keras.Input((4,)), "right": keras.Input((4,))}
    plain = km.to_keras(eval(found, given))
    for one, other in zip(flatten(plain([X, X[::-1]])), flatten(model(X, X[::-1])), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_two_inputs_of_a_model_that_says_both_shapes_are_inputs():
    model = make_called(BuiltForTwo(), X, X[::-1])
    plain = km.to_keras(model)
    assert [one.name for one in plain.inputs] == ["left", "right"]
    for one, other in zip(flatten(plain([X, X[::-1]])), flatten(model(X, X[::-1])), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
