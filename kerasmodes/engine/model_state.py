"""The whole state of a model in training: looked through, copied and restored.

When that is done is up to the caller. Saved files are not here: that is `saving.py`.
"""

import typing
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import finite_data, keras_private, optimizers

# What a variable is for.
KINDS = WEIGHT, OTHER, OPTIMIZER, METRIC = "weight", "other", "optimizer", "metric"


class StateVariable(typing.NamedTuple):
    """One variable of a model, an optimizer or a metric.

    Args:
        name: Its path; of one of several optimizers, with the optimizer's name before it.
        kind: `WEIGHT` if it is trained, `OPTIMIZER`, `METRIC` or `OTHER`.
        parts: Its `tf.Variable`s: one for each replica of this process.
    """

    name: str
    kind: str
    parts: tuple


class ModelState:
    """The variables that a model, its optimizers and its metrics have now.

    What training makes later belongs to another `ModelState`: `is_complete` tells.

    Args:
        model: A built model.
        kinds: Kinds of the variables to take.

    Attributes:
        variables: List of `StateVariable`.
    """

    def __init__(self, model: keras.Model, kinds: Sequence[str] = KINDS) -> None:
        self._model = model
        self.variables = [one for one in _list_variables(model) if one.kind in kinds]
        self._left_out = {}  # By name: whether the variable held NaN.
        self._choose_looked_at()

    def is_complete(self) -> bool:
        """Returns whether the model has no other variables meanwhile."""
        return len(_list_variables(self._model)) == len(self.variables)

    def extend(self) -> "ModelState":
        """Returns the same with the variables that have been made meanwhile."""
        extended = ModelState(self._model)
        extended._left_out = self._left_out
        extended._choose_looked_at()
        return extended

    def complete_values(self, before: "ModelState", values: list) -> list | None:
        """Returns the values of `before`, with those that newer variables began with.

        The metrics are reset for that.

        Args:
            before: An earlier state of the same model.
            values: Its values, from `copy`.

        Returns:
            `None` if weights are new, whose first values nobody knows.
        """
        known, given = _find_first_values(self._model), iter(values)
        for variable in before.variables:
            known[variable.name] = [next(given) for _ in variable.parts]
        if any(variable.name not in known for variable in self.variables):
            return None
        return [value for variable in self.variables for value in known[variable.name]]

    def leave_out_broken(self) -> None:
        """From here on, `find_broken` names of what is infinite now only what becomes NaN.

        A mask may hold infinity on purpose. At what is NaN now it does not look any more.
        """
        broken = self.find_broken()
        for variable in self.variables:
            if variable.name in broken:
                self._left_out[variable.name] = finite_data.has_nan(read(variable.parts[0]))
        self._choose_looked_at()

    def find_broken(self) -> list[str]:
        """Returns the names of the variables that hold NaN or infinity, metrics' states aside.

        A metric may begin at infinity; what it results in, the logs tell.
        """
        # Single operations take as long as a graph of all of them, which had to be traced first.
        broken = [v for v in self._looked_at if not finite_data.is_finite(read(v.parts[0]))]
        broken += [v for v in self._infinite if finite_data.has_nan(read(v.parts[0]))]
        return [variable.name for variable in broken]

    def copy(self) -> list[tf.Tensor]:
        """Returns the values of all variables, which later steps do not change."""
        # What was only read would share its memory with the variable.
        parts = [part for variable in self.variables for part in variable.parts]
        return [tf.raw_ops.DeepCopy(x=read(part)) for part in parts]

    def restore(self, values: list[tf.Tensor]) -> None:
        """Gives the variables the values that `copy` has returned."""
        parts = [part for variable in self.variables for part in variable.parts]
        for part, value in zip(parts, values, strict=True):
            part.assign(value)

    def _choose_looked_at(self):
        """Notes the variables to look at; the first part, that of a replica, stands for all."""
        floats = [v for v in self.variables if v.kind != METRIC and v.parts[0].dtype.is_floating]
        self._looked_at = [v for v in floats if v.name not in self._left_out]
        self._infinite = [v for v in floats if self._left_out.get(v.name) is False]


def read(part: tf.Variable) -> tf.Tensor:
    """Returns the value of a part of a variable, with which it may share its memory."""
    # A third of the time that `read_value` takes.
    return tf.raw_ops.ReadVariableOp(resource=part.handle, dtype=part.dtype)


def find_untracked(model: keras.Model) -> dict[str, Any]:
    """Returns the variables that layers have as attributes and Keras counts as none, by name.

    The states of a stateful recurrent layer are such, each `tf.Variable` of the user's own, and
    the state of a `tf.random.Generator`.
    """
    metrics = [v for one in keras_private.find_all_metrics(model) for v in one.variables]
    known = {id(variable) for variable in (*model.variables, *metrics)}
    known |= {id(v) for _, one in _list_optimizers(model) for v in one.variables}
    found = {}
    for layer in keras_private.find_layers(model):
        for name, value in sorted(vars(layer).items()):
            is_internal = name.startswith("_self_")  # TensorFlow's own lists of the same.
            for place, one in enumerate([] if is_internal else _list_parts(value)):
                if isinstance(one, (keras.Variable, tf.Variable)) and id(one) not in known:
                    known.add(id(one))
                    found[f"{layer.path}/{name}/{place}"] = one
    return found


def _list_parts(value):
    parts = list(value.values()) if isinstance(value, dict) else value
    parts = list(parts) if isinstance(parts, (list, tuple)) else [parts]
    return [part.state if isinstance(part, tf.random.Generator) else part for part in parts]


def _list_variables(model):
    trained = {id(variable) for variable in model.trainable_variables}
    found = {}
    for variable in model.variables:
        kind = WEIGHT if id(variable) in trained else OTHER
        found.setdefault(id(variable), (variable.path, kind, variable))
    for metric in keras_private.find_all_metrics(model):
        for variable in metric.variables:
            found[id(variable)] = (variable.path, METRIC, variable)
    for prefix, optimizer in _list_optimizers(model):
        for variable in optimizer.variables:
            found.setdefault(id(variable), (prefix + variable.path, OPTIMIZER, variable))
    for name, variable in find_untracked(model).items():
        found.setdefault(id(variable), (name, OTHER, variable))
    strategy = model.distribute_strategy
    return [
        StateVariable(name, kind, _split(strategy, variable))
        for name, kind, variable in found.values()
    ]


def _list_optimizers(model):
    """Returns the optimizers, each with what is put before the names of its variables."""
    by_name = optimizers.find_all_optimizers(model)
    return [(f"{name}: " if len(by_name) > 1 else "", one) for name, one in by_name.items()]


def _find_first_values(model):
    """Returns what metrics and built optimizers begin with: the latter, from others like them."""
    found, strategy = {}, model.distribute_strategy
    model.reset_metrics()
    for variable in _list_variables(model):
        if variable.kind == METRIC:
            found[variable.name] = [tf.identity(part) for part in variable.parts]
    for prefix, optimizer in _list_optimizers(model):
        if not optimizer.built:
            continue
        with strategy.scope():
            twin = type(optimizer).from_config(optimizer.get_config())
            twin.build(keras_private.find_variables(optimizer))
        for own, first in zip(optimizer.variables, twin.variables, strict=True):
            found[prefix + own.path] = [tf.identity(part) for part in _split(strategy, first)]
    return found


def _split(strategy: tf.distribute.Strategy, variable: Any):
    """Returns the `tf.Variable`s that a Keras variable stands for."""
    value = variable.value if isinstance(variable, keras.Variable) else variable
    return tuple(strategy.experimental_local_results(value))
