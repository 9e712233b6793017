"""What is verified, as it is run again and again: how a model is made, and on which batches."""

import importlib
import inspect
import os
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import comparing
from kerasmodes.engine import compile_config, with_modes

# Of Keras, what `compile` is given is pickled by its configuration.
CONFIGURED = (keras.optimizers.Optimizer, keras.losses.Loss, keras.Metric)
HOW_TO_SHIP = (
    "To run on replicas in a process of its own, it must be a function at the top of a module, or "
    "'module:function'; what `compile` is given must be picklable. Or leave that out: replicas=1."
)


class Recipe:
    """How a model is made, compiled and fed, the same at each call.

    Args:
        build_model: Function without arguments that returns a new Keras model.
        data: Tuple of arrays, which begin again where they are too few; or a `tf.data.Dataset` or
            `keras.utils.PyDataset` of at least `steps` batches.
        steps: Steps of a run.
        batch_size: Examples in a batch, if `data` holds arrays.
        compile_arguments: Dict of what `compile` is given.
    """

    def __init__(
        self,
        build_model: Callable,
        data: Any,
        steps: int,
        batch_size: int,
        compile_arguments: dict[str, Any],
    ) -> None:
        self.build_model = build_model
        self.steps, self.batch_size = steps, batch_size
        self.compile_arguments = compile_arguments
        self._fit_arguments = comparing.fix_batches(data, steps, batch_size)
        self._made = []

    def make_model(self, mode: str, steps_per_execution: int = 1) -> keras.Model:
        """Returns a new model with the same initial weights at each call, compiled for a mode.

        Raises:
            TypeError: If `build_model` does not return a Keras model.
            ValueError: If it returns one that it has returned before, or what `compile` is given
                does not suit the model.
        """
        model = comparing.make_model(self.build_model, self._made)
        self._made.append(model)
        _check_compile_arguments(model, self.compile_arguments)
        given = keras.tree.map_structure(comparing.copy_state, self.compile_arguments)
        is_compiled = model.compiled
        if mode == comparing.BASELINE:
            if not is_compiled:
                model.compile(**given)
            return model
        model = with_modes(model)
        settings = {"mode": mode, "steps_per_execution": steps_per_execution}
        if is_compiled:
            model.set_mode(**settings)
        else:
            model.compile(**given, **settings)
        return model

    def take(self, first: int, last: int) -> dict[str, Any]:
        """Returns the arguments of `fit` for the steps from `first` to `last`, not included."""
        given = dict(self._fit_arguments)
        if self.holds_dataset:
            part = given["x"].skip(first).take(last - first)
            given["x"] = part.apply(tf.data.experimental.assert_cardinality(last - first))
            return given
        place = slice(first * self.batch_size, last * self.batch_size)
        for name in given.keys() & {"x", "y", "sample_weight"}:
            given[name] = keras.tree.map_structure(lambda one: one[place], given[name])
        return given

    @property
    def holds_dataset(self) -> bool:
        """Whether the batches are those of a `tf.data.Dataset`."""
        return isinstance(self._fit_arguments["x"], tf.data.Dataset)

    @property
    def element_spec(self) -> Any:
        """Nested `tf.TensorSpec` of a batch, as a step is given it."""
        if self.holds_dataset:
            return self._fit_arguments["x"].element_spec
        given = self._fit_arguments
        parts = [given[name] for name in ("x", "y", "sample_weight") if name in given]

        def describe(array):
            array = tf.convert_to_tensor(array[:1])
            return tf.TensorSpec((self.batch_size, *array.shape[1:]), array.dtype)

        specs = (keras.tree.map_structure(describe, part) for part in parts)
        return keras.utils.pack_x_y_sample_weight(*specs)

    def ship(self, folder: str | os.PathLike) -> bytes:
        """Returns what `unpack` makes the same recipe of in another process.

        Args:
            folder: Where the batches of a data set are written.

        Raises:
            ValueError: If the function, or what `compile` is given, cannot be sent.
        """
        given = dict(self._fit_arguments)
        parts = (self.steps, self.batch_size, _pack(self.compile_arguments))
        try:
            words = pickle.dumps((_pack_function(self.build_model), *parts))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"`build_model` must be sent to another process. Received: "
                f"build_model={self.build_model!r}, {error}. {HOW_TO_SHIP}"
            ) from error
        if self.holds_dataset:
            path = str(pathlib.Path(folder) / "batches")
            given["x"].save(path)
            given["x"] = path
        return pickle.dumps((words, self.holds_dataset, given))

    @classmethod
    def unpack(cls, shipped: bytes) -> "Recipe":
        """Returns the recipe that `ship` has sent."""
        words, holds_dataset, given = pickle.loads(shipped)
        function, steps, batch_size, compile_arguments = pickle.loads(words)
        recipe = cls.__new__(cls)
        recipe.build_model = find_function(function) if isinstance(function, str) else function
        recipe.steps, recipe.batch_size = steps, batch_size
        recipe.compile_arguments = _unpack(compile_arguments)
        if holds_dataset:
            batches = tf.data.Dataset.load(given["x"]).cache()
            given["x"] = batches.apply(tf.data.experimental.assert_cardinality(steps))
        recipe._fit_arguments, recipe._made = given, []
        return recipe


def _check_compile_arguments(model, given):
    if model.compiled and given:
        words = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ValueError(
            "`compile` arguments must be left out for a model that is compiled already. "
            f"Received: {words}"
        )
    if model.compiled or "optimizer" in given:
        return
    # Keras's own `compile` would take RMSprop, which nobody has asked for.
    parameter = inspect.signature(type(model).compile).parameters.get("optimizer")
    is_needed = parameter is not None and parameter.default is parameter.empty
    if is_needed or compile_config.compiles_as_keras(model):
        raise ValueError(
            "`optimizer` must be given for a model that is not compiled, such as optimizer='adam'. "
            f"Received: {type(model).__name__} with {given or 'no arguments of compile'}"
        )


def find_function(name: str, argument: str = "build_model") -> Callable:
    """Returns the function that `"module:function"` names.

    Args:
        name: The words.
        argument: What they were given for; errors name it.

    Raises:
        ValueError: If there is no such module or function.
    """
    module, colon, function = name.partition(":")
    received = f"Received: {argument}={name!r}"
    if not (module and colon and function):
        raise ValueError(f"`{argument}` must be named as 'module:function'. {received}")
    try:
        found = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"`{argument}` must name a module that can be imported. {received}, {error}"
        ) from error
    except AttributeError as error:
        raise ValueError(f"`{argument}` must name a function. {received}, {error}") from error
    if not callable(found):
        raise ValueError(f"`{argument}` must name a function. {received}, which is {found!r}")
    return found


class _Configured:
    """Stands for an optimizer, loss or metric in what is pickled."""

    def __init__(self, one):
        self.config = keras.saving.serialize_keras_object(one)
        self.classes = {type(one).__name__: type(one)}

    def make(self):
        return keras.saving.deserialize_keras_object(self.config, custom_objects=self.classes)


def _pack(arguments):
    return keras.tree.map_structure(
        lambda one: _Configured(one) if isinstance(one, CONFIGURED) else one, arguments
    )


def _unpack(arguments):
    return keras.tree.map_structure(
        lambda one: one.make() if isinstance(one, _Configured) else one, arguments
    )


def _pack_function(function):
    """Returns a function, or its name where that finds it again without the program itself."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", ".")
    is_found = module not in (None, "__main__") and "." not in name and "<" not in name
    return f"{module}:{name}" if is_found and not _is_other(function, module) else function


def _is_other(function, module):
    """Returns whether the module has another object by the name of a function."""
    found = getattr(importlib.import_module(module), function.__name__, None)
    return found is not function
