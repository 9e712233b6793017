"""How many steps an execution has: what was asked for, or what is found for it.

Stock Keras returns to Python after each step, unless it was told otherwise. For a small model that
costs several times as much as the step itself. The loop of a mode runs one step or many with the
same program, so the numbers are the same to the bit.
"""

import time
from collections.abc import Callable
from typing import Any

import keras

from kerasmodes import modes
from kerasmodes.engine import keras_private

# Keras's progress bar shows a new number after so many seconds, not sooner.
SECONDS = 0.05
MOST_STEPS = 100  # More of them save nothing: what remains of the return costs 1 in 100.

# Operations that call Python within a step: what they change, the next step must see.
PYTHON_OPERATIONS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}

HOOKS = {
    "train": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
}


class ExecutionLength:
    """Finds how many steps the next execution of a model has.

    The first of these that applies:

    1. the number that the user asked for;
    2. where no callback asks for each step, as many steps as end before a progress bar would show
       them: they are joined;
    3. the number that mode "auto" tries next;
    4. the number that follows from the size of the model and of the data.

    Args:
        model: The model whose steps run.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._joiner = self._selector = self._callbacks = self._kind = None
        self._limits = {}

    @property
    def asked(self) -> int | None:
        """Steps of an execution that the user asked for, or `None` where they are found."""
        return None if self._joiner else self._model.asked_steps_per_execution

    @property
    def is_joined(self) -> bool:
        """Whether executions have several steps because nobody asks for each."""
        return self._joiner is not None

    @property
    def fits_epochs(self) -> bool:
        """Whether an execution ends with the epoch; otherwise it has K steps, as in Keras."""
        return self.is_joined or self._model.fits_epochs

    def follow_callbacks(self, callbacks: keras.callbacks.CallbackList, kind: str) -> None:
        """Lets executions have several steps, as long as no callback asks for each.

        That is for modes that join steps, on one device, where no number of steps was given.

        Args:
            callbacks: The callbacks. When an epoch begins, they are asked again.
            kind: `"train"` or `"test"`.
        """
        self._callbacks, self._kind = callbacks, kind
        self._find_joiner()

    def follow_selector(self, selector: Any) -> None:
        """Lets executions be as long as a selector of modes wants them.

        Args:
            selector: An `executors.ModeSelector`.
        """
        self._selector = selector

    def set_limit(self, owner: Any, num_steps: int) -> None:
        """Lets no execution be longer, unless its length was asked for.

        Args:
            owner: Who sets it; a second limit of the same owner replaces the first.
            num_steps: Steps of the longest execution.
        """
        self._limits[owner] = num_steps

    def begin_epoch(self) -> None:
        """Finds again whether steps are joined; what happens between two epochs is not timed."""
        self._find_joiner()
        if self._joiner:
            self._joiner.begin_epoch()

    def find_next(self, source: Any, has_run: bool) -> int:
        """Returns how many steps the next execution has at the most.

        Args:
            source: The source of stacked batches that it reads.
            has_run: Whether a step has run since the data were opened.
        """
        if self.asked:
            return self.asked
        return min(self._find_free(source, has_run), source.length, *self._limits.values())

    def _find_joiner(self):
        model, kind = self._model, self._kind
        is_alone = model.distribute_strategy.num_replicas_in_sync == 1
        joins = model.given_mode is not None and modes.MODES[model.mode].joins_steps
        joins = joins and is_alone and self._callbacks is not None and not model.has_asked_steps
        if not joins or has_listener(self._callbacks, kind):
            self._joiner = None
        elif self._joiner is None:
            self._joiner = StepJoiner(
                lambda: getattr(getattr(model, f"{kind}_function"), "operations", set())
            )

    def _find_free(self, source, has_run):
        if self._joiner:
            return self._joiner.next_steps()
        if self._selector:
            return self._selector.next_steps()
        if not has_run and not keras_private.has_all_weights(self._model):
            return 1  # Only a step tells how much work one is.
        num_weights = sum(weight.shape.num_elements() for weight in self._model.weights)
        length = modes.count_steps_of_execution(num_weights, source.batch_size)
        return min(source.length, length)


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
