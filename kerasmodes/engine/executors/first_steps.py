"""An executor whose first steps run eagerly, and all others as those of another executor."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from kerasmodes.engine import super_batches
from kerasmodes.engine.executors import eager, executor


class FirstStepsExecutor(executor.Executor):
    """Runs some training steps line by line, then hands executions on.

    Executions begin and end where they do without it, so that callbacks see the same.

    Args:
        others: The executor of the steps that follow.
        num_steps: Positive int, steps to run eagerly.
    """

    def __init__(self, others: executor.Executor, num_steps: int) -> None:
        super().__init__(others.model, others.kind, others.mode)
        self.others = others
        self.num_left = num_steps
        self._eager = eager.EagerExecutor(others.model, others.kind, "eager")

    @property
    def loop_mode(self) -> str | None:
        """The mode of the loop in which the other steps run."""
        return self.others.loop_mode

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that the graphs of the other steps use."""
        return self.others.variables

    def serves(self, mode: str) -> bool:
        """Returns whether another fit may run with it: one that was interrupted is not resumed."""
        return False

    def __call__(self, batches: list[super_batches.BatchRange] | Iterator) -> Any:
        """Runs an execution; see `Executor.run`."""
        if self.num_left <= 0:
            return self.others(batches)
        if not isinstance(batches, list):
            self.num_left -= self.model.steps_of_iterators
            return self._eager(batches)
        first, rest = super_batches.split(batches, self.num_left)
        self.num_left -= sum(one.stop - one.start for one in first)
        logs = self._eager(first)
        return self.others(rest) if rest else logs
