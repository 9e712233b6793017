"""`NaNReport`: where numbers that are not finite came from, as fields and in words."""

import dataclasses
import pathlib
import textwrap
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.callbacks import saved_batches
from kerasmodes.engine import finite_data, output_watch, value_origins

DATA, FORWARD, LOSS, METRIC = "data", "forward", "loss", "metric"
BACKWARD, UPDATE, STEP = "backward", "update", "step"
VARIABLE, CALLBACK, UNKNOWN = "variable", "callback", "unknown"

# Numbers above it overflow soon: the square of the largest float is not finite.
LARGE = 1e18
MOST_NAMES = 3
WIDTH = 100


@dataclasses.dataclass(frozen=True)
class ValueRange:
    """What numbers there are in an array.

    Args:
        name: What the array is.
        shape, dtype: Its shape and the name of its dtype.
        least, most: The least and the largest finite number; `None` if none is finite.
        num_broken: How many numbers are not finite.
    """

    name: str
    shape: tuple
    dtype: str
    least: float | None
    most: float | None
    num_broken: int

    def __str__(self) -> str:
        size = int(np.prod(self.shape))
        numbers = "no finite number"
        if self.least is not None:
            numbers = f"{self.least:.6g} to {self.most:.6g}"
        broken = f", {self.num_broken} of {size} not finite" if self.num_broken else ""
        return f"{self.dtype}{list(self.shape)}  {numbers}{broken}"


@dataclasses.dataclass(frozen=True)
class NaNReport:
    """Why a fit was stopped by `km.callbacks.NaNGuard`. `str()` of it is a paragraph and a table.

    Args:
        epoch, step: The step after which a number was not finite first, counted from 0 as callbacks
            count. `step` is `None` if it was not a step of training.
        is_validation: Whether a log of the validation was not finite, after steps that were.
        validation_step: The batch of the validation data after which a log was not finite, from 0;
            `None` if it was not one of them, or not found again.
        mode: The mode that the model was in.
        logs, variables: The names of the logs and variables that were not finite after it.
        stage: Where the first such number came from: `"data"`; `"forward"` for a layer; `"loss"`;
            `"metric"`; `"backward"` for a gradient; `"update"` for an optimizer; `"step"` for what
            a `train_step` computes itself; `"variable"` for a weight or setting that was not finite
            before; `"callback"` for a log that a callback has added; or `"unknown"`.
        operation: TensorFlow's name of the operation, such as `"Log"`, or `None`.
        gradient_of: The operation whose gradient it is a part of, or `None`.
        layer: Path of the layer that it ran in, or `None`.
        metric: Name of the metric that it ran in, or `None`.
        place: Place of the first such number in what the operation returned: its first index is, as
            a rule, the example within the batch. `None` if it is not known.
        source: The line of the program that called it, or `None`.
        gradient: Path of the first weight whose gradient was not finite, or `None`.
        variable: Name of the variable that was updated, or was not finite before, or `None`.
        optimizer: The model's attribute that holds the optimizer of the update, or `None`.
        part: Which part of the batch was not finite, such as `"x"`; `None` if the data are finite.
        example: The first example within the batch that holds such a number, or `None`.
        feature: Tuple of its other indices, or `None`.
        ranges: Tuple of `ValueRange`: the operation's inputs, and those of its layer.
        batch: The arrays of the batch by name, or `None`.
        batch_path: The file in which they are, or `None`.
        restored_to: Epoch and step before which the model's state was that which it has now, or
            `None` if there was none to go back to.
        advice: What this fault is often due to, or an empty string.
        remark: What hinders the search, or an empty string.
    """

    epoch: int
    step: int | None
    mode: str
    logs: tuple
    variables: tuple
    stage: str = UNKNOWN
    is_validation: bool = False
    validation_step: int | None = None
    operation: str | None = None
    gradient_of: str | None = None
    layer: str | None = None
    metric: str | None = None
    place: tuple | None = None
    source: str | None = None
    gradient: str | None = None
    variable: str | None = None
    optimizer: str | None = None
    part: str | None = None
    example: int | None = None
    feature: tuple | None = None
    ranges: tuple = ()
    batch: dict | None = None
    batch_path: pathlib.Path | None = None
    restored_to: tuple | None = None
    advice: str = ""
    remark: str = ""

    def __str__(self) -> str:
        words = " ".join(
            part
            for part in (
                self._describe_moment(),
                self._describe_origin(),
                self.advice,
                self.remark,
                self._describe_state(),
            )
            if part
        )
        rows = [(one.name, str(one)) for one in self.ranges]
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join([words, *(f"  {name:<{width}}  {text}" for name, text in rows)])

    def _describe_moment(self):
        moment = "" if self.step is None else f", step {self.step + 1}"
        if self.is_validation:
            number = self.validation_step
            moment = ", validation" + ("" if number is None else f" batch {number + 1}")
        logs = ("the outputs" if n == output_watch.OUTPUTS else f"log {n!r}" for n in self.logs)
        names = [*logs, *map(repr, self.variables)]
        listed = ", ".join(names[:MOST_NAMES])
        listed += f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return (
            f"Training was stopped in epoch {self.epoch + 1}{moment} (mode {self.mode!r}): NaN or "
            f"infinity in {listed or 'the logs'}."
        )

    def _describe_origin(self):
        where = f" of metric {self.metric!r}" if self.metric else ""
        where += f" in layer {self.layer!r}" if self.layer else ""
        source = f" ({self.source})" if self.source else ""
        operation = f"operation {self.operation}"
        if self.stage == DATA:
            index = [self.example, *self.feature]
            return f"It came from the data: {self.part}{index} of the batch is not finite."
        if self.stage == BACKWARD:
            of = f"gradient of {self.gradient_of or self.operation}{where}{source}"
            weight = f", then in the gradient of {self.gradient!r}" if self.gradient else ""
            return f"The forward pass was finite; it came up in the {of}{weight}."
        if self.stage == UPDATE:
            return (
                f"The gradients were finite; it came up in the update of {self.variable!r} by "
                f"{self.optimizer!r} ({operation})."
            )
        if self.stage == VARIABLE:
            return f"It came from {self.variable!r}, which was not finite before the step."
        if self.stage == CALLBACK:
            return "A callback has added it: the steps and their numbers are finite."
        if self.stage == UNKNOWN:
            return ""
        part = " of the loss" if self.stage == LOSS else ""
        place = f", at {list(self.place)} of its result" if self.place else ""
        return f"The first one came from the {operation}{part}{where}{source}{place}."

    def _describe_state(self):
        saved = f" The batch is in {self.batch_path}." if self.batch_path else ""
        if self.is_validation or self.stage == CALLBACK:
            return f"The model is as it was after the last step.{saved}"
        if self.restored_to is None:
            return f"There is no earlier state to restore.{saved}"
        epoch, step = self.restored_to
        return (
            "The model, its optimizers and metrics have the state before epoch "
            f"{epoch + 1}, step {step + 1} again.{saved}"
        )


def explain(failed: Any) -> dict[str, Any]:
    """Returns the fields of a report that say where the numbers came from.

    Args:
        failed: A `replay.FailedStep`.
    """
    fields = {"epoch": failed.epoch, "step": failed.step}
    fields["batch"] = saved_batches.list_arrays(failed.batch)
    gradients = failed.broken_gradients
    if failed.error is not None:
        fields["remark"] = f"Eagerly, the step raised {textwrap.shorten(str(failed.error), WIDTH)}."
    elif not failed.is_broken_eagerly:
        fields["remark"] = (
            "The same step is finite when it runs eagerly. Either its numbers are close to "
            "overflow, so that operations in another order are enough; or it draws random numbers, "
            "and XLA draws others, except those of km.random."
        )
    if failed.origin is None:
        return fields | _find_bad_data(failed.batch)
    fields |= _explain_origin(failed.origin, failed.batch, gradients)
    if fields["stage"] == UPDATE and fields["variable"] is None:
        fields["variable"] = next(iter(failed.variables), None)
    return fields


def describe_range(name: str, values: Any) -> ValueRange | None:
    """Returns what numbers there are in a tensor, or `None` if it holds no floats."""
    array = finite_data.as_floats(values)
    if array is None or array.size == 0:
        return None
    is_finite = np.isfinite(array)
    finite = array[is_finite]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    num_broken = int(array.size - finite.size)
    return ValueRange(name, array.shape, array.dtype.name, least, most, num_broken)


def _find_bad_data(batch):
    """Returns the fields of the first number of a batch that is not finite, none if all are."""
    for path, part in keras.tree.flatten_with_path(batch):
        place = finite_data.find_first(part)
        if place is not None:
            return _locate(batch, path, part, place)
    return {}


def _locate(batch, path, part, place):
    name = saved_batches.name_part(batch, path)
    return {
        "stage": DATA,
        "part": name,
        "example": place[0] if place else None,
        "feature": place[1:],
        "ranges": _list_ranges({name: part}),
    }


def _explain_origin(origin, batch, gradients):
    if origin.data_path is not None:
        return _find_bad_data(batch)
    if origin.name == "variable":
        return {"stage": VARIABLE, "variable": origin.variable}
    optimizer = origin.find_scope(value_origins.OPTIMIZER)
    forward = origin.gradient_of if origin.is_backward and origin.gradient_of else origin
    layer = forward.find_scope(value_origins.LAYER)
    metric = forward.find_scope(value_origins.METRIC)
    place = forward.place or origin.place
    named = {f"input {n} of {origin.name}": t for n, t in enumerate(origin.inputs)}
    named |= _name_inputs("layer", layer) | _name_inputs("metric", metric)
    if gradients and optimizer is None:
        named[f"gradient of {gradients[0][1]}"] = gradients[0][2]
    ranges = _list_ranges(named)
    return {
        "stage": _find_stage(origin, optimizer),
        "operation": origin.name,
        "gradient_of": forward.name if forward is not origin else None,
        "layer": layer.name if layer else None,
        "metric": metric.name if metric else None,
        "place": origin.broken_at,
        "source": str(place) or None if place else None,
        "gradient": gradients[0][1] if gradients and optimizer is None else None,
        "variable": origin.variable,
        "optimizer": optimizer.name if optimizer else None,
        "ranges": ranges,
        "advice": _advise(forward.name, ranges[: len(origin.inputs)]),
    }


def _name_inputs(kind, scope):
    """Returns what a layer or metric was called with, by names for a table."""
    parts = keras.tree.flatten(scope.inputs) if scope is not None else []
    parts = [part for part in parts if isinstance(part, (tf.Tensor, np.ndarray))]
    return {f"input {number} of the {kind}": part for number, part in enumerate(parts)}


def _find_stage(origin, optimizer):
    if optimizer is not None:
        return UPDATE
    if origin.find_scope(value_origins.METRIC) is not None:
        return METRIC
    if origin.is_backward:
        return BACKWARD
    stages = {value_origins.LAYER: FORWARD, value_origins.LOSS: LOSS}
    return stages[origin.scopes[-1].kind] if origin.scopes else STEP


def _list_ranges(named):
    ranges = [describe_range(name, values) for name, values in named.items()]
    return tuple(one for one in ranges if one is not None)


def _advise(operation, ranges):
    """Returns what a fault of an operation is often due to, by the ranges of its inputs."""
    bounds = [(r.least, r.most) for r in ranges if r.least is not None]
    if any(max(abs(least), abs(most)) > LARGE for least, most in bounds):
        return "Numbers this large overflow: try a lower learning rate, or clip the gradients."
    if operation in ("Log", "Log1p") and bounds and bounds[0][0] <= 0:
        return "The logarithm of 0 or less is not finite: add a small number, or clip."
    if operation in ("Exp", "Expm1", "Cosh", "Sinh"):
        return "Exponentials overflow above 88 in float32, above 11 in float16: limit the input."
    if operation in ("Sqrt", "Rsqrt") and bounds and bounds[-1][0] <= 0:
        return "At 0, a square root has no finite slope: add a small number under the root."
    if "Div" in operation and len(bounds) > 1 and bounds[1][0] <= 0 <= bounds[1][1]:
        return "It divides by 0: add a small number, or use tf.math.divide_no_nan."
    return ""
