"""What callbacks count: taken from those of a fit, and given to those of a fit that resumes it.

A callback of one's own takes part with two methods: `get_state()` returns a nested structure of
numbers, strings and arrays, and `set_state(state)` takes it.
"""

import pathlib
from typing import Any

import keras

from kerasmodes.engine import event_files, keras_private


def find_writers(callbacks: list) -> list:
    """Returns the callbacks that write to files which hold what fits before have written."""
    kinds = (keras.callbacks.CSVLogger, keras.callbacks.TensorBoard)
    return [one for one in callbacks if isinstance(one, kinds)]


def get_states(callbacks: list) -> list:
    """Returns the class and state of each callback, in their order; `None` for no state."""
    return [{"class": type(one).__name__, "state": _get_state(one)} for one in callbacks]


def set_states(callbacks: list, states: list) -> None:
    """Gives each state to the callback of its class, the first one that has not got any yet."""
    left = list(states)
    for callback in callbacks:
        found = next((one for one in left if one["class"] == type(callback).__name__), None)
        if found is not None:
            left = [one for one in left if one is not found]
            if found["state"] is not None:
                _set_state(callback, found["state"])


def _get_state(callback):
    if hasattr(callback, "get_state"):
        return callback.get_state()
    if isinstance(callback, keras.callbacks.CSVLogger):
        return _read_rows(callback)
    if isinstance(callback, keras.callbacks.TensorBoard):
        return event_files.get_state(callback)
    names = keras_private.find_counts(callback)
    return {name: getattr(callback, name) for name in names if hasattr(callback, name)} or None


def _set_state(callback, state):
    if hasattr(callback, "set_state"):
        callback.set_state(state)
    elif isinstance(callback, keras.callbacks.CSVLogger):
        _write_rows(callback, state)
    elif isinstance(callback, keras.callbacks.TensorBoard):
        event_files.set_state(callback, state)
    else:
        # Nothing else that a file may name: a folder is not always one's own.
        for name in keras_private.find_counts(callback):
            if name in state:
                setattr(callback, name, state[name])


def _read_rows(logger):
    if logger.csv_file is None or logger.csv_file.closed:
        return None
    logger.csv_file.flush()
    text = pathlib.Path(logger.filename).read_bytes().decode()
    return {"text": text, "keys": logger.keys}


def _write_rows(logger, state: dict[str, Any]):
    """Gives a file the rows that it had: those that a stopped fit has added since are dropped."""
    logger.csv_file.close()
    pathlib.Path(logger.filename).write_bytes(state["text"].encode())
    # As Keras opens it.
    logger.csv_file = open(logger.filename, "a")  # noqa: SIM115
    logger.keys, logger.append_header = state["keys"], not state["text"]
