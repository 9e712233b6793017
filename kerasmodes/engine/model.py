"""Keras models with modes: `Model` and `Sequential`, and `with_modes` for a model of others."""

import functools
import types

import keras

from kerasmodes.engine import compile_config, compiled_loss, keras_private, modes_mixin
from kerasmodes.engine.modes_mixin import ModesMixin


@keras.saving.register_keras_serializable(package="kerasmodes")
class Model(ModesMixin, keras.Model):
    """`keras.Model` with modes: override `train_step`, keep `compile`, `fit`, `save`.

    Example:

    ```python
    class MyModel(km.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                losses = keras.losses.mean_squared_error(y, self(x, training=True))
                loss = km.average_loss(losses)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            self.track_loss(loss, num_examples=tf.shape(x)[0])
            return self.get_metrics_result()
    ```
    """

    def __new__(cls, *args, **kwargs):
        if cls is Model and keras_private.functional_init_arguments(args, kwargs):
            cls = Functional
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        if keras_private.functional_init_arguments(args, kwargs):
            keras_private.make_class_functional(type(self), Model, Functional)
        super().__init__(*args, **kwargs)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Functional(Model, keras_private.Functional):
    """What `Model(inputs, outputs)` makes; nothing to be named in a program.

    It has the name of Keras's class, by which files of weights call a model within a model: those
    of a stock model are loaded here, and the other way round.
    """


@keras.saving.register_keras_serializable(package="kerasmodes")
class Sequential(ModesMixin, keras.Sequential):
    """`keras.Sequential` with modes: a stack of layers, given as a list or by `add`.

    Example:

    ```python
    model = km.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error", mode="fused")
    ```
    """

    def add(self, layer, rebuild=True):
        super().add(layer, rebuild)
        self._drop_functions()

    def pop(self, rebuild=True):
        layer = super().pop(rebuild)
        self._drop_functions()
        return layer

    def _drop_functions(self):
        # What was traced has the layers of before; a step that runs in Python has the present ones.
        self.train_function = self.test_function = self.predict_function = None


def with_modes(model: keras.Model) -> keras.Model:
    """Returns the same model, its class extended by the modes.

    For a model whose class is not yours to change. What its class overrides, it still does; the
    class itself and other models of it stay as they are. A compiled model stays compiled, in
    Keras's own rules. Files, clones and copies of it have the class that it had (name one of your
    own in `custom_objects`): call `with_modes` on them again.

    Args:
        model: A Keras model; one with modes is returned as it is.

    Raises:
        TypeError: If `model` is no Keras model, or hides an attribute of the modes: its own `mode`.

    Example:

    ```python
    model = km.with_modes(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]))
    model.compile("adam", "mean_squared_error", mode="fused")
    ```
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: model={model!r}")
    if not isinstance(model, ModesMixin):
        cls, steps_per_execution = type(model), model.steps_per_execution
        modes_mixin.check_names(cls, vars(model).keys() - {"steps_per_execution"})
        arguments = keras_private.find_compile_arguments(model)
        del model.steps_per_execution  # From here on a property of the class.
        is_registered = keras.saving.get_registered_name(cls) != cls.__name__
        model.__class__ = _extend_registered(cls) if is_registered else _extend(cls)
        model.steps_per_execution = steps_per_execution
        model.train_function = model.test_function = model.predict_function = None
        compiled_loss.replace_compiled_loss(model)
        if arguments is not None and compile_config.compiles_as_keras(model):
            model.keep_compile_arguments((), arguments)
    return model


def _extend(cls):
    """Returns the class of a model whose class is extended by the modes."""
    # A file or a pickle names a class by its module: it finds the one that everybody knows.
    names = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "is_loaded_with_modes": False,
        "__reduce__": functools.partialmethod(_reduce_as, cls),
    }
    return type(cls.__name__, (_Unnoticed, cls, Model), names)


class _Unnoticed:
    """The first base of what `with_modes` makes: no class of a library is told of it.

    Libraries register the classes that extend theirs, or ask for arguments of them.
    """

    def __init_subclass__(cls):
        ModesMixin.__init_subclass__.__func__(cls)


@functools.cache  # Keras holds for good what is registered.
def _extend_registered(cls):
    """Returns the extension of a class that files name by what it is registered as."""
    package, _, name = keras.saving.get_registered_name(cls).partition(">")
    register = keras.saving.register_keras_serializable(package, name)
    extension = register(_extend(cls))
    register(cls)  # The name stands for the class again, and for both of them in files.
    return extension


def _reduce_as(model, cls):
    """Returns what `pickle` keeps of a model: it is loaded by another class."""
    load, *rest = cls.__reduce__(model)
    if getattr(load, "__self__", None) is type(model):  # Which only this program knows.
        load = types.MethodType(load.__func__, cls)
    return load, *rest
