"""Which line of whose program runs an operation: read from Python's stack."""

import linecache
import os
import pathlib
import sys
import typing
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import keras_private

ENGINE = str(pathlib.Path(__file__).parent) + os.sep
LIBRARIES = tuple(str(pathlib.Path(module.__file__).parent) + os.sep for module in (keras, tf)) + (
    ENGINE,
)
# What is Keras's, but says nothing of what is computed.
PLUMBING = ("backend", "ops", "utils", "trainers")
# The functions of the engine behind which a step begins, in its own thread or in that which waits.
STEP = ("run_watched_step", "_run_eagerly")


class CodePlace(typing.NamedTuple):
    """A line of a program.

    Args:
        path: The file, or `None` if no line of the user's has called the operation.
        line: The number of the line.
        function: The innermost function of Keras's that says what is computed, or `None`.
    """

    path: str | None
    line: int | None
    function: str | None

    def __str__(self) -> str:
        code = linecache.getline(self.path, self.line).strip() if self.path else ""
        if not self.path:
            return self.function or ""
        return f"{self.path}:{self.line}" + (f": {code}" if code else "")


def find_place(frame: Any = None):
    """Returns the place of the operation that runs, and what `find_differentiated` finds.

    Args:
        frame: The frame of Python's from which outwards is searched; `None` is that of the caller.
    """
    frame, function, differentiated = frame or sys._getframe(1), None, None
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(ENGINE) and frame.f_code.co_name in STEP:
            break
        differentiated = differentiated or keras_private.find_differentiated(frame)
        if not path.startswith(LIBRARIES) and not path.startswith("<"):
            return CodePlace(path, frame.f_lineno, function), differentiated
        if function is None and _is_telling(path, frame.f_code.co_name):
            function = frame.f_code.co_name
        frame = frame.f_back
    return CodePlace(None, None, function), differentiated


def _is_telling(path, function):
    if function.startswith("__") or not path.startswith(LIBRARIES[0]):
        return False
    parts = path[len(LIBRARIES[0]) :].split(os.sep)
    return len(parts) > 1 and parts[0] == "src" and parts[1] not in PLUMBING
