"""What runs an execution: one class a mode, and the table that names them.

A new mode is a row in `modes.MODES` and a class in `EXECUTORS`. The way from `fit` to a step:
`Trainer.fit` -> `Reader.executions` -> `Executor.__call__` -> its `run`. From there, in Python:
`run_step` -> the model's `train_step`. In a graph, for arrays and for several steps: `Loops.run` ->
a program of `programs.py` -> a `TracedStep` -> `Executor.step` -> `train_step`.
"""

import keras

from kerasmodes.engine.executors.auto import AutoExecutor, ModeSelector
from kerasmodes.engine.executors.eager import EagerExecutor
from kerasmodes.engine.executors.executor import Executor, is_of_user
from kerasmodes.engine.executors.fused import FusedExecutor
from kerasmodes.engine.executors.graph import GraphExecutor

__all__ = ["EXECUTORS", "Executor", "ModeSelector", "is_of_user", "make_executor"]

EXECUTORS = {
    "eager": EagerExecutor,
    "graph": GraphExecutor,
    "xla": GraphExecutor,
    "fused": FusedExecutor,
    "auto": AutoExecutor,
}


def make_executor(model: keras.Model, kind: str, mode: str) -> Executor:
    """Returns what runs executions of a model's step in a mode.

    Args:
        model: A compiled model with modes.
        kind: `"train"`, `"test"` or `"predict"`.
        mode: The name of the mode.
    """
    return EXECUTORS[mode](model, kind, mode)
