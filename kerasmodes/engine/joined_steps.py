"""Steps that run together in one execution because nobody asks for each: who asks, and how many.

Stock Keras returns to Python after each step. For a small model that costs several times as much as
the step itself. The loop of a mode runs one step or many with the same program, so the numbers are
the same to the bit.
"""

import time
from collections.abc import Callable

import keras

# Keras's progress bar shows a new number after so many seconds, not sooner.
SECONDS = 0.05
MOST_STEPS = 100  # More of them save nothing: what remains of the return costs 1 in 100.

# Operations that call Python within a step: what they change, the next step must see.
PYTHON_OPERATIONS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}

HOOKS = {
    "train": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
}


def has_listener(callbacks: keras.callbacks.CallbackList, kind: str) -> bool:
    """Returns whether a callback asks for each step.

    Args:
        callbacks: The callbacks of a fit or an evaluation.
        kind: `"train"` or `"test"`.
    """
    return any(_listens(callback, HOOKS[kind]) for callback in callbacks.callbacks)


class StepJoiner:
    """Finds how many steps an execution has that ends before a progress bar would show it.

    Args:
        find_operations: Function that returns the names of TensorFlow's operations in the steps
            that have run.
    """

    def __init__(self, find_operations: Callable[[], set[str]]) -> None:
        self._find_operations = find_operations
        self._num_steps = 1
        self._start = None

    def begin_epoch(self) -> None:
        """Leaves out of the times what happens between two epochs."""
        self._start = None

    def next_steps(self) -> int:
        """Returns how many steps the next execution has; the one before has just ended."""
        if self._find_operations() & PYTHON_OPERATIONS:
            return 1
        now = time.perf_counter()
        if self._start is not None:
            seconds = now - self._start
            if seconds < SECONDS / 2:
                self._num_steps = min(MOST_STEPS, 2 * self._num_steps)
            elif seconds > SECONDS:
                self._num_steps = max(1, self._num_steps // 2)
        self._start = now
        return self._num_steps


def _listens(callback, hooks):
    # Those of ours say so; an attribute of a user's own class may, too.
    if getattr(callback, "accepts_joined_steps", False):
        return False
    if isinstance(callback, keras.callbacks.ProgbarLogger):
        return False
    if isinstance(callback, (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)):
        return callback.save_freq != "epoch"
    plain = keras.callbacks.Callback
    return any(
        hook in vars(callback) or getattr(type(callback), hook) is not getattr(plain, hook)
        for hook in hooks
    )
