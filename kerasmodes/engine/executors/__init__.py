"""What runs an execution: one class a mode, and the table that names them.

A new mode is a row in `modes.MODES` and a class in `EXECUTORS`.
"""

import keras

from kerasmodes.engine.executors.auto import AutoExecutor, ModeSelector
from kerasmodes.engine.executors.eager import EagerExecutor
from kerasmodes.engine.executors.executor import Executor
from kerasmodes.engine.executors.fused import FusedExecutor
from kerasmodes.engine.executors.graph import GraphExecutor

__all__ = ["EXECUTORS", "Executor", "ModeSelector", "make_executor"]

EXECUTORS = {
    "eager": EagerExecutor,
    "graph": GraphExecutor,
    "xla": GraphExecutor,
    "fused": FusedExecutor,
    "auto": AutoExecutor,
}


def make_executor(model: keras.Model, kind: str) -> Executor:
    """Returns what runs executions of a model's step in its present mode.

    Args:
        model: A compiled model with modes.
        kind: `"train"`, `"test"` or `"predict"`.
    """
    return EXECUTORS[model.mode](model, kind, model.mode)
