"""`ValidationCheck`: a step of validation early in a long fit, which may fail after an epoch."""

from typing import Any

import keras
import numpy as np

from kerasmodes.engine import data_checks, kept_state
from kerasmodes.engine.executors import eager
from kerasmodes.engine.readers import Reader

# A shorter fit comes to its validation soon.
LONG_STEPS = 100
NOTE = (
    "This is one step of validation, run early: it would have failed at the end of the first epoch."
)


class ValidationCheck(keras.callbacks.Callback):
    """Runs one step of validation after the first execution, and puts back what it has changed.

    The model is built by then. The step runs eagerly: it compiles nothing.

    Args:
        arguments: Those of `evaluate`, with data in arrays.
    """

    accepts_joined_steps = True

    def __init__(self, arguments: dict[str, Any]):
        super().__init__()
        self._arguments = arguments
        self._is_done = False

    def on_train_batch_end(self, batch, logs=None):
        if not self._is_done:
            self._is_done = True
            _validate_step(self.model, self._arguments)


def add_validation_check(
    callbacks: keras.callbacks.CallbackList, model: keras.Model, reader: Any, arguments: Any
) -> None:
    """Adds a `ValidationCheck` to the callbacks of the first long fit of a model.

    Args:
        callbacks: The callbacks.
        model: The model, on one device.
        reader: The `Reader` of the training data.
        arguments: Those of `evaluate`, or `None` for no validation. Only arrays are looked at: to
            read a data set may change its order.
    """
    is_short = reader.num_batches is not None and reader.num_batches < LONG_STEPS
    is_alone = model.distribute_strategy.num_replicas_in_sync == 1
    was_tested = model.test_function is not None  # Then 6 ms for nothing new.
    if arguments is None or is_short or was_tested or not is_alone:
        return
    if data_checks.has_own_evaluate(model):  # Its step takes what that makes of the data.
        return
    data = [arguments[name] for name in ("x", "y", "sample_weight")]
    if all(isinstance(part, (np.ndarray, type(None))) for part in keras.tree.flatten(data)):
        check = ValidationCheck(arguments)
        check.set_model(model)
        callbacks.callbacks.append(check)


def _validate_step(model, arguments):
    size = arguments["batch_size"] or 32  # Keras's
    data = {
        name: keras.tree.map_structure(
            lambda part: None if part is None else part[:size], arguments[name]
        )
        for name in ("x", "y", "sample_weight")
    }
    state = kept_state.KeptStep(model)
    reader = Reader(model, **data, batch_size=size)
    try:
        for _, _, read in reader.executions():
            eager.EagerExecutor(model, "test", "eager")(read())
    except Exception as error:
        error.add_note(NOTE)
        raise
    finally:
        state.restore()
