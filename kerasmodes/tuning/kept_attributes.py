"""Attributes of a `PyDataset` as plain data, for a file: nothing of it can be code.

Random generators are restored into objects that are there: a file names no class to make.
"""

import copy
import itertools
import math
import pickle
import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import packing

KINDS = (
    "numbers, strings, None, arrays and tensors of them, random generators of NumPy, Python, Keras "
    "and TensorFlow that it had from its beginning, and lists, tuples and dictionaries of these"
)
_TIMES_AND_TEXT = "USMm"  # Kinds of NumPy's types that TensorFlow's names leave out.


def _read_numpy(generator):
    seed = getattr(generator.bit_generator, "seed_seq", None)
    return [generator.bit_generator.state, getattr(seed, "n_children_spawned", 0)]


def _restore_numpy(generator, state):
    generator.bit_generator.state, spawned = state
    spawned -= _read_numpy(generator)[1]
    if spawned > 0:
        generator.bit_generator.seed_seq.spawn(spawned)


def _read_python(generator):
    version, words, gauss = generator.getstate()
    return [version, np.array(words, np.uint32), gauss]


def _restore_python(generator, state):
    version, words, gauss = state
    generator.setstate((version, tuple(words.tolist()), gauss))


# How their states are read and restored. A subclass may keep more.
GENERATORS = {
    np.random.Generator: (_read_numpy, _restore_numpy),
    np.random.RandomState: (lambda g: g.get_state(legacy=False), lambda g, s: g.set_state(s)),
    random.Random: (_read_python, _restore_python),
    keras.random.SeedGenerator: (lambda g: g.state.numpy(), lambda g, s: g.state.assign(s)),
    tf.random.Generator: (lambda g: g.state.numpy(), lambda g, s: g.reset(s)),
}


class AttributeWriter:
    """Describes attributes by what `packing.pack` takes; what they share, they share again."""

    def __init__(self):
        self._places = {}  # Of objects that are described already, by their ids.

    def describe(self, value: Any, before: Any, name: str) -> Any:
        """Returns what `AttributeReader.read` makes an equal value of.

        Args:
            value: The attribute, or a part of it.
            before: What was there at first: random generators can be restored where it has one.
            name: What an error calls it.

        Raises:
            TypeError: If there is anything in it that is not among `KINDS`.
        """
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is tuple:
            return {"tuple": self._describe_parts(value, before, name)}
        if isinstance(value, np.generic):
            return {"scalar": self._describe_array(np.asarray(value), name)}
        if id(value) in self._places:
            return {"same": self._places[id(value)]}
        self._places[id(value)] = len(self._places)
        if type(value) is list:
            return {"list": self._describe_parts(value, before, name)}
        if type(value) is dict:
            keys = self._describe_parts(list(value), None, f"{name}.keys()")
            places = {key: f"{name}[{key!r}]" for key in value}
            return {
                "dict": [
                    [key, self.describe(value[place], _find_part(before, place), places[place])]
                    for key, place in zip(keys, value, strict=True)
                ]
            }
        if type(value) is np.ndarray:
            return {"array": self._describe_array(value, name)}
        if isinstance(value, tf.Tensor) and hasattr(value, "numpy"):
            return {"tensor": self._describe_array(np.asarray(value.numpy()), name)}
        if type(value) in GENERATORS and type(value) is type(before):
            read, _ = GENERATORS[type(value)]
            return {"generator": read(value)}
        raise TypeError(f"{name}, a {type(value).__name__}")

    def _describe_parts(self, value, before, name):
        return [
            self.describe(one, _find_part(before, place), f"{name}[{place}]")
            for place, one in enumerate(value)
        ]

    def _describe_array(self, array, name):
        shape = list(array.shape)
        if array.dtype == object:
            return {"objects": [shape, self._describe_parts(array.ravel().tolist(), None, name)]}
        if array.dtype.kind in _TIMES_AND_TEXT:
            flat = np.frombuffer(array.tobytes(), np.uint8)
            return {"typed": [array.dtype.str, shape, flat]}
        if not packing.is_plain(array):
            raise TypeError(f"{name}, an array of {array.dtype}")
        return array


class AttributeReader:
    """Makes values of what an `AttributeWriter` has described, in the same order.

    Raises:
        ValueError: If there is no random generator where one is to be restored.
    """

    def __init__(self):
        self._made = []
        self._restored = {}  # Random generators by their ids.

    def read(self, content: Any, own: Any, name: str) -> Any:
        """Returns the value that was described.

        Args:
            content: What `AttributeWriter.describe` has returned.
            own: What is there now: random generators are restored into those that it has.
            name: What an error calls it.
        """
        if not isinstance(content, dict):
            return content
        ((kind, inner),) = content.items()
        if kind == "same":
            return self._made[inner]
        if kind == "tuple":
            return tuple(self._read_parts(inner, own, name))
        if kind == "scalar":
            return self._read_array(inner, name)[()]
        place = len(self._made)
        self._made.append([] if kind == "list" else {} if kind == "dict" else None)
        if kind == "list":
            self._made[place].extend(self._read_parts(inner, own, name))
        elif kind == "dict":
            self._fill(self._made[place], inner, own, name)
        elif kind == "array":
            self._made[place] = self._read_array(inner, name)
        elif kind == "tensor":
            self._made[place] = tf.convert_to_tensor(self._read_array(inner, name))
        elif kind == "generator":
            self._made[place] = self._restore(inner, own, name)
        else:
            raise ValueError(f"What is kept of {name} must be {KINDS}. Received: {kind!r}")
        return self._made[place]

    def _read_parts(self, parts, own, name):
        return [
            self.read(one, _find_part(own, place), f"{name}[{place}]")
            for place, one in enumerate(parts)
        ]

    def _fill(self, made, parts, own, name):
        # Keys first, as they were described.
        keys = self._read_parts([key for key, _ in parts], None, name)
        for key, (_, value) in zip(keys, parts, strict=True):
            made[key] = self.read(value, _find_part(own, key), f"{name}[{key!r}]")

    def _read_array(self, content, name):
        if not isinstance(content, dict):
            return content
        if "objects" in content:
            shape, parts = content["objects"]
            array = np.empty(math.prod(shape), object)
            for place, one in enumerate(self._read_parts(parts, None, name)):
                array[place] = one
            return array.reshape(shape)
        words, shape, flat = content["typed"]
        dtype = np.dtype(words)
        if dtype.kind not in _TIMES_AND_TEXT:
            raise ValueError(f"An array in {name} must hold text or times. Received: {dtype}")
        return flat.view(dtype).reshape(shape)

    def _restore(self, state, own, name):
        if type(own) not in GENERATORS:
            raise ValueError(
                f"{name} must be a random generator, as it was in the trial that continues. "
                f"Received: {own!r}"
            )
        if id(own) in self._restored:  # It was one for two that parted.
            own = copy_generator(own)
        self._restored[id(own)] = own
        _, restore = GENERATORS[type(own)]
        restore(own, state)
        return own


def copy_generator(generator: Any) -> Any:
    """Returns a random generator that draws the same; `copy.deepcopy` cannot copy Keras's."""
    if type(generator) is not keras.random.SeedGenerator:
        return copy.deepcopy(generator)
    copied = keras.random.SeedGenerator.from_config(generator.get_config())
    copied.state.assign(generator.state)
    return copied


def is_unchanged(value: Any, before: Any, name: str) -> bool:
    """Returns whether two values are known to be the same, to the bit.

    Args:
        value: An attribute, or a part of it.
        before: The other one.
        name: What an error calls it.

    Raises:
        TypeError: If nobody can tell: `pickle` cannot write an object that is in it.
    """
    if value is before:
        return True
    if type(value) is not type(before):
        return False
    if type(value) in (list, tuple):
        is_as_long = len(value) == len(before)
        return is_as_long and all(map(is_unchanged, value, before, itertools.repeat(name)))
    if type(value) is dict:
        parts, others = ([*one, *one.values()] for one in (value, before))
        return is_unchanged(parts, others, name)
    if type(value) in GENERATORS:
        read, _ = GENERATORS[type(value)]
        return is_unchanged(read(value), read(before), name)
    if type(value) is np.ndarray and value.dtype != object:
        is_alike = value.dtype == before.dtype and value.shape == before.shape
        return is_alike and value.tobytes() == before.tobytes()
    try:  # What an object is made of, as it tells itself; nothing is loaded.
        return pickle.dumps(value) == pickle.dumps(before)
    except Exception as error:
        raise TypeError(f"{name}, {error}") from error


def _find_part(whole, place):
    """Returns what is at a place of a list, tuple or dictionary, or `None`."""
    if type(whole) is dict:
        return whole.get(place)
    if type(whole) in (list, tuple) and isinstance(place, int) and place < len(whole):
        return whole[place]
    return None
