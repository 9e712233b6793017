"""Which operations of a step draw random numbers, where: every operation of an eager step is seen.

Draws of `km.random` are none of these: they are the same in every mode and on any replicas. So are
most of `keras.random`, but the state of their generators is in no file.
"""

import pathlib
import sys
import typing

import keras
import tensorflow as tf

from kerasmodes import random
from kerasmodes.engine import code_places, keras_private, keras_random
from kerasmodes.verifying.recipes import Recipe
from kerasmodes.verifying.runs import Run, Way

STATEFUL = ("Random", "Truncated", "Multinomial", "Parameterized")
STATELESS = ("StatelessRandom", "StatelessTruncated", "StatelessMultinomial", "StatelessParam")
# They hand out keys and counters, and draw nothing.
OTHERS = ("StatelessRandomGet", "RandomDataset")
OWN_FILE = str(pathlib.Path(random.__file__))
PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")


class Draw(typing.NamedTuple):
    """An operation that draws random numbers, or calls Python.

    Args:
        operation: TensorFlow's name of its kind.
        layer: The place of the innermost layer in which it ran among the model's, or `None`.
        layer_name: The class and the name of that layer, or `None`.
        code: The line of the program, in words.
        is_replaced: Whether a function of `keras.random` draws whose numbers are the same in every
            mode and on any replicas; see `keras_random.py`.
    """

    operation: str
    layer: int | None
    layer_name: str | None
    code: str
    is_replaced: bool

    @property
    def is_stateful(self) -> bool:
        """Whether its state is no variable, so that no run can begin with the same."""
        return self.operation.startswith(STATEFUL) or self.operation in PYTHON

    def __str__(self) -> str:
        if self.layer_name:
            return self.layer_name
        return f"{self.operation} in {self.code}" if self.code else self.operation


def find_draws(recipe: Recipe, model: keras.Model) -> list[Draw]:
    """Returns what draws random numbers in the first step of a recipe, each once.

    Args:
        recipe: How models are made and fed.
        model: One of them, by whose names layers are named.
    """
    found = {}
    keras_random.replace_draws()
    run = Run(recipe, Way("eager"))
    named = keras_private.find_layers(model)
    places = {id(layer): place for place, layer in enumerate(keras_private.find_layers(run.model))}

    def look(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        name = op_type.decode() if isinstance(op_type, bytes) else op_type
        is_draw = name.startswith(STATEFUL + STATELESS) and not name.startswith(OTHERS)
        if is_draw or name in PYTHON:
            frames = list(_list_frames())
            if not any(frame.f_code.co_filename == OWN_FILE for frame in frames):
                code, _ = code_places.find_place(sys._getframe(1))
                place = places.get(id(_find_layer(frames)))
                is_replaced = any(map(keras_private.is_replaced_draw, frames))
                draw = Draw(name, place, _name_layer(named, place), str(code), is_replaced)
                found[draw] = None

    runs_eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    keras_private.add_op_callback(look)
    try:
        run.train(0, 1)
    finally:
        keras_private.remove_op_callback(look)
        tf.config.run_functions_eagerly(runs_eagerly)
    return list(found)


def find_seed_generators(model: keras.Model) -> dict[int, keras.random.SeedGenerator]:
    """Returns Keras's generators of seeds in a model, by the place of their layer among all.

    Those of `km.random` are left out.
    """
    found = {}
    for place, layer in enumerate(keras_private.find_layers(model)):
        if isinstance(layer, random.SeedGenerator):
            continue
        for name, value in vars(layer).items():
            if isinstance(value, keras.random.SeedGenerator) and not name.startswith("_self_"):
                found.setdefault(place, value)
    return found


def _name_layer(layers, place):
    if place is None or place >= len(layers):
        return None
    return f"{type(layers[place]).__name__} {layers[place].name!r}"


def _list_frames():
    """Yields the frames that have called an operation, the innermost first."""
    frame = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _find_layer(frames):
    """Returns the layer in whose `call` an operation runs, or `None`."""
    for frame in frames:
        owner = frame.f_locals.get("self")
        if frame.f_code.co_name == "call" and isinstance(owner, keras.layers.Layer):
            return None if isinstance(owner, keras.Model) else owner
    return None
