"""Tests of models as libraries bring them: with a `fit`, `compile` or `evaluate` of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

IMAGES = np.linspace(0.0, 1.0, 4 * 6 * 5, dtype="float32").reshape(4, 6, 5, 1)
X, Y = np.eye(4, 3, dtype="float32"), np.linspace(0.0, 1.0, 4, dtype="float32")[:, np.newaxis]


class Pipeline(keras.Model):
    """As tasks of keras-hub: `fit` and `evaluate` resize what they are given."""

    def __init__(self, **kwargs):
        inputs = keras.Input((2, 2, 1))
        outputs = keras.layers.Dense(1)(keras.layers.Flatten()(inputs))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

    def fit(self, x, y, validation_data=None, **kwargs):
        data = self._resize(tf.data.Dataset.from_tensor_slices((x, y)))
        return super().fit(data, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        kwargs.pop("_use_cached_eval_dataset", None)
        data = self._resize(tf.data.Dataset.from_tensor_slices((x, y)))
        return super().evaluate(data, **{**kwargs, "batch_size": None})

    def _resize(self, data):
        return data.map(lambda x, y: (tf.image.resize(x, (2, 2)), y)).batch(1)


@pytest.mark.parametrize(
    "num_copies",
    [
        pytest.param(1, id="short", marks=pytest.mark.sweep),
        pytest.param(25, id="long enough for an early check"),
    ],
)
def test_validation_data_are_what_the_models_own_evaluate_takes(num_copies):
    model = km.with_modes(Pipeline())
    model.compile("sgd", "mse", mode="eager")
    x, y = np.tile(IMAGES, (num_copies, 1, 1, 1)), np.tile(Y, (num_copies, 1))
    logs = model.fit(x, y, validation_data=(IMAGES, Y), verbose=0).history
    assert logs["val_loss"] == [model.evaluate(IMAGES, Y, verbose=0)]


def test_a_file_of_a_model_with_modes_has_the_name_that_its_class_is_registered_by(tmp_path):
    @keras.saving.register_keras_serializable("library")
    class Registered(keras.Sequential):
        pass

    models = [Registered([keras.Input((3,)), keras.layers.Dense(1)]) for _ in range(2)]
    km.with_modes(models[0]).save(tmp_path / "model.keras")
    assert type(keras.models.load_model(tmp_path / "model.keras")) is Registered
    assert type(km.with_modes(models[1])) is type(models[0])  # Keras holds for good what it knows.


@keras.saving.register_keras_serializable("library")
class OwnConfig(keras.Model):
    """As approximators of bayesflow, and as Keras advises: files have an argument of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(1)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x)

    def compile(self, *args, note=None, **kwargs):
        self.note = note
        super().compile(*args, **kwargs)

    def get_compile_config(self):
        return {**super().get_compile_config(), "note": self.note}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


@keras.saving.register_keras_serializable("library")
class OwnConfigWithModes(OwnConfig, km.Model):
    pass


def save_and_load(model, path):
    model.build((None, 3))
    model.compile("adam", "mse", note="own", mode="eager", steps_per_execution=2)
    model.fit(X, Y, batch_size=2, verbose=0)
    model.save(path)
    return keras.models.load_model(path)


@pytest.mark.parametrize("has_base", [False, True], ids=["with_modes", "base class"])
def test_a_class_that_saves_its_compile_itself_is_loaded_by_itself(has_base, tmp_path):
    model = OwnConfigWithModes() if has_base else km.with_modes(OwnConfig())
    loaded = save_and_load(model, tmp_path / "model.keras")
    assert type(loaded) is (OwnConfigWithModes if has_base else OwnConfig)
    assert (loaded.note, loaded.steps_per_execution) == ("own", 2)
    assert getattr(loaded, "mode", None) == ("eager" if has_base else None)
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)


class OwnSetMode(keras.Sequential):
    """As models that have a training and a generating mode."""

    def set_mode(self, name):
        self.name_of_mode = name


def test_a_method_of_a_library_that_has_the_name_of_one_of_the_modes_is_refused():
    words = "no attribute 'set_mode' of its own.*Received: OwnSetMode.set_mode.*km.Model"
    with pytest.raises(TypeError, match=words):
        km.with_modes(OwnSetMode())
    with pytest.raises(TypeError, match=words):
        type("Mine", (OwnSetMode, km.Sequential), {})


def test_with_modes_makes_no_class_that_a_library_registers():
    made = []

    class Registry(keras.Sequential):
        def __init_subclass__(cls, kind, **kwargs):
            super().__init_subclass__(**kwargs)
            made.append(kind)

    class Own(Registry, kind="own"):
        pass

    model = km.with_modes(Own([keras.Input((3,)), keras.layers.Dense(1)]))
    model.compile("sgd", "mse", mode="eager")
    assert model.fit(X, Y, verbose=0).history
    assert made == ["own"]
