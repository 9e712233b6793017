"""Callbacks that change in each batch what steps read: refused where steps are joined unasked.

A callback that sets the learning rate after each batch is called once an execution. Where the user
has not said how long one is, the rate would follow from the mode, in `"auto"` from times.
"""

import contextlib
import sys
from typing import Any

import keras

from kerasmodes.engine import code_places, keras_private, model_state, optimizers

WRITES = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


@contextlib.contextmanager
def refuse_changes(model: keras.Model, num_steps: int):
    """While open, callbacks of batches may set no variable that steps read.

    Metrics and random states are free.

    Args:
        model: The model that is fitted.
        num_steps: Steps of the present execution. All is allowed to a callback where it is one, or
            where the user has given `steps_per_execution`.

    Raises:
        ValueError: If one has set something.
    """
    if num_steps == 1 or model.has_asked_steps:
        yield
        return
    writes = []

    def look(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        name = op_type.decode() if isinstance(op_type, bytes) else op_type
        if graph is None and name in WRITES and not writes and not _accepts_joined_steps():
            place, _ = code_places.find_place(sys._getframe(1))
            writes.extend([(one, place) for one in _find_names(model, inputs[0])])

    keras_private.add_op_callback(look)
    try:
        yield
    finally:
        keras_private.remove_op_callback(look)
    if writes:
        name, place = writes[0]
        raise ValueError(
            "`steps_per_execution` must be 1 for a callback that changes in each batch what steps "
            f"read. Received: mode={model.mode!r} with {num_steps} steps in one execution, and a "
            f"callback that sets {name!r} ({place}). Compile with "
            "steps_per_execution=1, or with mode='graph'."
        )


def _find_names(model: keras.Model, handle: Any) -> list[str]:
    """Returns the name of a variable that steps read, by its handle; an empty list of any other."""
    found = {variable.path: variable for variable in model.weights}
    for optimizer in optimizers.find_all_optimizers(model).values():
        found |= {variable.path: variable for variable in optimizer.variables}
    found |= _find_foreign(model) | model_state.find_untracked(model)
    return [name for name, one in found.items() if _find_handle(one) is handle]


def _find_foreign(model):
    """Returns the variables of numbers that steps read and neither model nor optimizer has."""
    metrics = [v for one in keras_private.find_all_metrics(model) for v in one.variables]
    known = {id(_find_handle(variable)) for variable in (*model.variables, *metrics)}
    used = getattr(model.train_function, "variables", [])
    return {v.name: v for v in used if v.dtype.is_floating and id(v.handle) not in known}


def _find_handle(variable):
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def _accepts_joined_steps():
    """Returns whether the callback that runs has said that it is content with several steps."""
    frame = sys._getframe(2)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.callbacks.Callback):
            return getattr(owner, "accepts_joined_steps", False)
        frame = frame.f_back
    return False
