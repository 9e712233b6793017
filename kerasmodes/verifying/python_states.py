"""What a step changes that is no variable: Python's numbers and lists, and generators.

A graph is traced once: it keeps what these were then.
"""

import dis
import functools
import inspect
import itertools
import random
import types
from typing import Any

import keras
import numpy as np

from kerasmodes.engine import Model, keras_private

PYTHON_RANDOM, NUMPY_RANDOM = "Python's random", "numpy.random"
LIBRARIES = ("keras.", "kerasmodes.", "tensorflow.")
# Longer ones are data, and take long to look through.
MOST_ITEMS = 1_000
# Attributes that Keras makes later.
OF_KERAS = ("history", "train_function", "test_function", "predict_function")


class PythonState:
    """The Python state around a model's step.

    Looked at are attributes of the model and of layers whose class is the user's, what the
    functions of these classes use of their module and of the function that they were made in, and
    the generators of Python and NumPy.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model) -> None:
        layers = keras_private.find_layers(model)
        self._owners = [one for one in layers if _find_own_classes(one)]
        classes = {cls: None for one in self._owners for cls in _find_own_classes(one)}
        self._functions = [one for cls in classes for one in _list_functions(cls)]
        self._before = {}

    def read(self) -> None:
        """Notes the state, for `find_changed`."""
        self._before = self._read()

    def find_changed(self) -> list[str]:
        """Returns the names of what has changed since `read`."""
        now, before = self._read(), self._before
        return [name for name in now if now[name] != before.get(name)]

    def read_attributes(self) -> dict[str, Any]:
        """Returns what tells states of the attributes apart, by name."""
        found = {}
        for owner in self._owners:
            libraries = _list_names_of_keras() | _list_names_of_libraries(type(owner))
            for name, value in list(vars(owner).items()):
                if name not in libraries and not name.startswith(("_self_", "_tf_")):
                    _note(found, f"{type(owner).__name__}.{name}", value)
        return found

    def _read(self):
        found = {
            PYTHON_RANDOM: hash(random.getstate()),
            NUMPY_RANDOM: _describe_words(np.random.get_state(legacy=False)),
            **self.read_attributes(),
        }
        for function in self._functions:
            for name, value in _list_used(function):
                _note(found, f"{name} of {function.__module__}", value)
        return found


@functools.cache
def _list_names_of_keras():
    """Returns the attributes of Keras and the modes, some of which a step changes."""
    return frozenset(vars(Model(name="a"))) | set(OF_KERAS)


@functools.cache
def _list_names_of_libraries(cls):
    """Returns the attributes that the classes of libraries behind one have, or set in a method."""
    behind = [one for one in cls.__mro__ if one.__module__.startswith(LIBRARIES)]
    names = {name for one in behind for name in vars(one)}
    for one in (value for cls in behind for value in vars(cls).values()):
        one = inspect.unwrap(one.fset if isinstance(one, property) else one)
        if isinstance(one, types.FunctionType):
            found = dis.get_instructions(one)
            names.update(each.argval for each in found if each.opname == "STORE_ATTR")
    return frozenset(names)


def _find_own_classes(layer):
    """Returns the classes of a layer that are the user's."""
    return [
        cls
        for cls in type(layer).__mro__
        if not cls.__module__.startswith(LIBRARIES)
        and cls.__module__ != "builtins"
        # `with_modes` makes a class in the name of the module of another.
        and any(isinstance(one, types.FunctionType) for one in vars(cls).values())
    ]


def _list_functions(cls):
    return [one for one in vars(cls).values() if isinstance(one, types.FunctionType)]


def _list_used(function):
    """Yields name and value of what a function uses from around it."""
    around = function.__globals__
    for name in function.__code__.co_names:
        if name in around:
            yield name, around[name]
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        if name != "__class__":
            yield name, cell.cell_contents


def _note(found, name, value):
    words = _describe(value)
    if words is not None:
        found[name] = words


def _describe(value: Any):
    """Returns what tells two states of a value apart, or `None` of a kind that has none."""
    if isinstance(value, (bool, int, float, str, np.generic, random.Random)):
        return value.getstate() if isinstance(value, random.Random) else repr(value)
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return _describe_words(value.get_state(legacy=False))
    if isinstance(value, itertools.count):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.size <= MOST_ITEMS else None
    if isinstance(value, (list, tuple, dict, set)) and len(value) <= MOST_ITEMS:
        items = value.values() if isinstance(value, dict) else value
        simple = (bool, int, float, str)
        return len(value), tuple(repr(one) for one in items if isinstance(one, simple))
    return None


def _describe_words(state):
    words = state["state"]
    return words["key"].tobytes(), words["pos"], state["gauss"]


def find_differences(model: keras.Model, other: keras.Model) -> list[str]:
    """Returns the names of the Python state that two models of the same kind do not share."""
    one, two = (PythonState(each).read_attributes() for each in (model, other))
    return [name for name in one if one[name] != two.get(name)]
