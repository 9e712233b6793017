"""A few steps of a model in one way of running it, all variables and logs recorded at each step."""

import contextlib
import dataclasses
import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import comparing, strategies
from kerasmodes.engine import keras_private, model_state, optimizers
from kerasmodes.verifying import python_states
from kerasmodes.verifying.recipes import Recipe

COMPARED = (model_state.WEIGHT, model_state.OTHER, model_state.OPTIMIZER)


@dataclasses.dataclass(frozen=True)
class Way:
    """A way of running the same steps.

    Args:
        mode: The name of a mode, or `"keras"`.
        num_replicas: Replicas, each on a logical CPU device.
        steps_per_execution: Steps between two looks at the variables.
        is_synchronized: Whether batch normalization is made to synchronize its statistics.
        applies_gradients: Whether plain SGD with a rate of 1 takes the place of each optimizer, so
            that the first update of a weight is its gradient, negative.
    """

    mode: str
    num_replicas: int = 1
    steps_per_execution: int = 1
    is_synchronized: bool = False
    applies_gradients: bool = False

    def __str__(self) -> str:
        return self.mode if self.num_replicas == 1 else f"{self.num_replicas} replicas"


@dataclasses.dataclass
class Record:
    """What a run has left behind.

    Args:
        way: The `Way` of it.
        names, kinds: Lists of the variables' names and kinds, as `model_state.StateVariable`.
        start: List of their values at the start; `None` for a variable that the steps have made.
        steps: Dict from the number of steps that have run to the variables' values, a list.
        logs: Dict from the number of steps to the logs, a dict of arrays.
        error: What the run raised, in words, or `None`.
        changed: Names of what the steps changed that is no variable: attributes, global variables,
            and generators of random numbers.
    """

    way: Way
    names: list[str] = dataclasses.field(default_factory=list)
    kinds: list[str] = dataclasses.field(default_factory=list)
    start: list = dataclasses.field(default_factory=list)
    steps: dict[int, list] = dataclasses.field(default_factory=dict)
    logs: dict[int, dict] = dataclasses.field(default_factory=dict)
    error: str | None = None
    changed: list[str] = dataclasses.field(default_factory=list)


class Run:
    """A model that runs in one way, and can begin again at its start.

    Args:
        recipe: How it is made and fed.
        way: How its steps are run.
        start: List of the values of the variables to begin with, from another run's `start`;
            `None` begins with its own.
    """

    def __init__(self, recipe: Recipe, way: Way, start: list | None = None) -> None:
        self.recipe, self.way = recipe, way
        self.strategy = None
        if way.num_replicas > 1:
            self.strategy = strategies.get_strategy(f"cpu:{way.num_replicas}")
        with self.strategy.scope() if self.strategy else contextlib.nullcontext():
            self.model = recipe.make_model(way.mode, way.steps_per_execution)
            _build(self.model, recipe.element_spec)
            if way.is_synchronized:
                for layer in find_unsynchronized(self.model):
                    layer.synchronized = True
            if way.applies_gradients:
                replace_optimizers(self.model)
        self.state = model_state.ModelState(self.model, COMPARED)
        self.has_other_start = False
        if start is not None:
            self._begin_with(start)
        self.start = self.state.copy()
        self._set_seeds()

    @classmethod
    def continue_with(cls, recipe: Recipe, way: Way, model: keras.Model) -> "Run":
        """Returns a run of a model that exists already, as it stands."""
        run = cls.__new__(cls)
        run.recipe, run.way, run.model, run.strategy = recipe, way, model, None
        run.state = model_state.ModelState(model, COMPARED)
        run.start = run.state.copy()
        return run

    def train(self, first: int = 0, last: int | None = None) -> Record:
        """Runs the steps from `first` to `last`, by default all, and returns their record."""
        last = self.recipe.steps if last is None else last
        watcher = _Watcher(self.model, self.state, self.start)
        error = None
        try:
            self.model.fit(
                **self.recipe.take(first, last), epochs=1, verbose=0, callbacks=[watcher]
            )
        except Exception as failure:  # Whatever a step raises belongs into the report.
            error = f"{type(failure).__name__}: {failure}"
        return watcher.make_record(self.way, error)

    def rewind(self, shift: float = 0.0) -> bool:
        """Begins again; returns whether that can be done.

        Args:
            shift: How far each trained weight is moved, relative to its size or 0.01.
        """
        now = model_state.ModelState(self.model)
        values = now.complete_values(self.state, self.start)
        if values is None:
            return False
        now.restore(values)
        if shift:
            generator = np.random.default_rng(0)
            for variable in self.state.variables:
                if variable.kind == model_state.WEIGHT and variable.parts[0].dtype.is_floating:
                    _shift(variable.parts, shift, generator)
        self._set_seeds()
        return True

    def _begin_with(self, start):
        parts = [variable.parts for variable in self.state.variables]
        fits = len(parts) == len(start) and all(
            tuple(own[0].shape) == np.shape(value) for own, value in zip(parts, start, strict=True)
        )
        if not fits:
            return
        for own, value in zip(parts, start, strict=True):
            self.has_other_start |= not np.array_equal(own[0].numpy(), value, equal_nan=True)
            for part in own:
                part.assign(value)

    def _set_seeds(self):
        """Lets every generator of the program draw as from the start."""
        random.seed(comparing.SEED)
        np.random.seed(comparing.SEED)
        if self.strategy is None:
            # What a graph draws from is the generator that there was when it was traced.
            if not hasattr(self, "_seeds"):
                keras_private.set_global_seed(np.array([comparing.SEED, 0]))
                self._seeds = keras_private.find_global_seeds()
            keras_private.set_global_seeds(self._seeds)
            keras_private.set_global_seed(np.array([comparing.SEED, 0]))


class _Watcher(keras.callbacks.Callback):
    """Records variables, logs, and what a step changes that is no variable."""

    def __init__(self, model, state, start):
        super().__init__()
        self._state = state
        parts = [part for variable in state.variables for part in variable.parts]
        self._start = {id(part): value for part, value in zip(parts, start, strict=True)}
        self._values, self._logs, self._changed = {}, {}, {}
        self._python = python_states.PythonState(model)

    def on_train_batch_begin(self, batch, logs=None):
        self._python.read()

    def on_train_batch_end(self, batch, logs=None):
        self._changed |= dict.fromkeys(self._python.find_changed())
        self._state = model_state.ModelState(self.model, COMPARED)
        self._values[batch + 1] = {
            id(one.parts[0]): _copy(one.parts[0]) for one in self._state.variables
        }
        self._logs[batch + 1] = _flatten(logs or {})

    def make_record(self, way, error):
        variables = self._state.variables
        ids = [id(one.parts[0]) for one in variables]
        return Record(
            way,
            names=[one.name for one in variables],
            kinds=[one.kind for one in variables],
            start=[None if self._start.get(i) is None else _as_array(self._start[i]) for i in ids],
            steps={step: [values.get(i) for i in ids] for step, values in self._values.items()},
            logs=self._logs,
            error=error,
            changed=list(self._changed),
        )


def copy_values(state: model_state.ModelState) -> list[np.ndarray]:
    """Returns the values of all variables of a state as arrays, those of the first replica."""
    return [_copy(variable.parts[0]) for variable in state.variables]


def find_unsynchronized(model: keras.Model) -> list:
    """Returns the layers of batch normalization whose replicas each have their own statistics."""
    kind = keras.layers.BatchNormalization
    layers = keras_private.find_layers(model)
    return [one for one in layers if isinstance(one, kind) and not one.synchronized]


def replace_optimizers(model: keras.Model) -> None:
    """Puts plain SGD with a rate of 1 in the place of each optimizer that is an attribute."""
    for name, one in optimizers.find_optimizers(model).items():
        if "/" in name:  # In a list or dict of the model.
            continue
        weights = keras_private.find_variables(one) if one.built else model.trainable_variables
        plain = keras.optimizers.SGD(1.0)
        plain.build(weights)
        setattr(model, name, plain)


def _build(model, element_spec):
    """Makes the weights that can be made without a step; those that cannot, a step makes."""
    if keras_private.has_all_weights(model) or keras_private.is_built(model):
        return
    if type(model).call is keras.Model.call:  # A model whose step calls its parts.
        return
    keras_private.build_from_specs(model, element_spec)


def _shift(parts, shift, generator):
    value = parts[0].numpy()
    signs = generator.choice([-1.0, 1.0], value.shape)
    moved = value + shift * signs * np.maximum(np.abs(value), 1e-2)
    for part in parts:
        part.assign(moved.astype(value.dtype))


def _copy(part):
    return _as_array(tf.raw_ops.DeepCopy(x=model_state.read(part)))


def _as_array(tensor):
    array = tensor.numpy()
    # NumPy computes in no less than float32 with what TensorFlow calls bfloat16.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _flatten(logs: dict[str, Any], prefix: str = "") -> dict[str, np.ndarray]:
    found = {}
    for name, value in logs.items():
        if isinstance(value, dict):
            found |= _flatten(value, f"{prefix}{name}/")
        else:
            found[prefix + name] = np.asarray(value, np.float64)
    return found
