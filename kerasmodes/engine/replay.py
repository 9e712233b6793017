"""Executions run again from a state before them, to find the step after which numbers broke.

They are steps of training, or of validation.
Compiled steps halve the search; the step that is found runs once more, eagerly, where
`value_origins.py` looks at each operation.
"""

import contextlib
import typing
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import finite_data, super_batches
from kerasmodes.engine.executors.executor import Executor
from kerasmodes.engine.model_state import ModelState
from kerasmodes.engine.value_origins import Operation, ValueOrigins


class KeptExecution(typing.NamedTuple):
    """The data of an execution.

    Args:
        epoch: The epoch, from 0.
        step: The first of its steps, from 0 in each epoch.
        batches: List of `super_batches.BatchRange`, or of batches.
        rates: Values of the optimizers' learning rates, if an epoch begins, where a callback may
            set them; otherwise `None`.
    """

    epoch: int
    step: int
    batches: list
    rates: list | None = None

    @property
    def num_steps(self) -> int:
        """How many steps it has."""
        if self.is_stacked:
            return sum(one.stop - one.start for one in self.batches)
        return len(self.batches)

    @property
    def is_stacked(self) -> bool:
        """Whether the batches are ranges of super-batches."""
        return isinstance(self.batches[0], super_batches.BatchRange)

    def cut(self, start: int, stop: int) -> Any:
        """Returns what an executor runs for some of the steps."""
        if not self.is_stacked:
            return iter(self.batches[start:stop])
        parts, passed = [], 0
        for super_batch, first, last in self.batches:
            low, high = max(first, first + start - passed), min(last, first + stop - passed)
            if low < high:
                parts.append(super_batches.BatchRange(super_batch, low, high))
            passed += last - first
        return parts

    def read(self, step: int) -> Any:
        """Returns the batch of one of its steps."""
        if self.is_stacked:
            return next(super_batches.iterate_batches(self.cut(step, step + 1)))
        return super_batches.convert_batch(self.batches[step])


class FailedStep(typing.NamedTuple):
    """The step after which a number was not finite.

    Args:
        epoch, step: Which step, both from 0.
        batch: Its batch.
        values: The state before it, from `ModelState.copy`.
        logs: Names of the logs that were not finite after it.
        variables: Names of the variables that were not.
        is_broken_eagerly: Whether it fails when it runs eagerly, too.
        origin: The operation from which they came, or `None` if it was not found.
        broken_gradients: See `ValueOrigins`.
        error: What the step raised when it ran eagerly, or `None`.
    """

    epoch: int
    step: int
    batch: Any
    values: list
    logs: list[str]
    variables: list[str]
    is_broken_eagerly: bool
    origin: Operation | None
    broken_gradients: list
    error: Exception | None


class Replay:
    """Runs executions of a model's fit again.

    Args:
        model: The model.
        state: Its `ModelState`.
        find_broken_logs: Function of the logs of a step that returns those that are not finite, a
            dictionary.
        set_rates: Function of `KeptExecution.rates` that gives the optimizers these, or `None`.
        kind: `"train"` or `"test"`: which of the model's steps.
    """

    def __init__(
        self,
        model: keras.Model,
        state: ModelState,
        find_broken_logs: Callable[[dict], dict],
        set_rates: Callable[[list], None] | None = None,
        kind: str = "train",
    ) -> None:
        self._model, self._state = model, state
        self._find_broken_logs = find_broken_logs
        self._set_rates = set_rates
        self._kind = kind

    def find_failed_step(self, values: list, executions: list[KeptExecution]) -> FailedStep | None:
        """Returns the first step after which a number is not finite, or `None` if all are finite.

        Args:
            values: The state before the first execution, from `ModelState.copy`.
            executions: The executions since then, in their order.
        """
        epoch = executions[0].epoch
        for execution in executions:
            self._state.restore(values)
            if execution.epoch != epoch:
                self._model.reset_metrics()
                epoch = execution.epoch
            if execution.rates is not None:
                self._set_rates(execution.rates)
            values = self._state.copy()
            if self._is_broken_after(execution, 0, execution.num_steps):
                return self._search(execution, values)
            values = self._state.copy()
        return None

    def _search(self, execution, values):
        """Returns the failed step of an execution, of which one fails; halves it again and again.

        Args:
            execution: The execution.
            values: The state before it.
        """
        good, bad = 0, execution.num_steps
        while bad - good > 1:
            middle = (good + bad) // 2
            self._state.restore(values)
            if self._is_broken_after(execution, good, middle):
                bad = middle
            else:
                good, values = middle, self._state.copy()
        self._state.restore(values)
        return self._explain(execution, good, values)

    def _is_broken_after(self, execution, start, stop):
        run = getattr(self._model, f"{self._kind}_function")
        logs = run(execution.cut(start, stop))
        return bool(self._find_broken_logs(logs) or self._state.find_broken())

    def _explain(self, execution, number, values):
        batch = execution.read(number)
        with _eager_functions(self._model), ValueOrigins(self._model, self._state) as origins:
            logs, error = self._run_eagerly(execution.cut(number, number + 1), origins)
        logs = self._find_broken_logs(logs)
        tensors = tf.nest.flatten(list(logs.values()))
        variables = self._state.find_broken()
        is_broken = bool(logs or variables or error)
        return FailedStep(
            epoch=execution.epoch,
            step=execution.step + number,
            batch=batch,
            values=values,
            logs=list(logs),
            variables=variables,
            is_broken_eagerly=is_broken,
            origin=origins.find(tensors, variables) if is_broken else None,
            broken_gradients=origins.broken_gradients,
            error=error,
        )

    def _run_eagerly(self, batches, origins):
        """Returns the logs of a single step, and the error that it has raised, if any."""
        executor = Executor(self._model, self._kind, "eager")
        executor.step = origins.watch(executor.step)
        try:
            return executor(batches), None
        except (tf.errors.OpError, ArithmeticError) as error:
            return {}, error


@contextlib.contextmanager
def _eager_functions(model):
    """While open, the functions of a step that TensorFlow would trace run eagerly."""
    runs_eagerly, functions_run_eagerly = model.run_eagerly, tf.config.functions_run_eagerly()
    model.run_eagerly = True
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(functions_run_eagerly)
        model.run_eagerly = runs_eagerly


def find_broken_numbers(logs: dict[str, Any]) -> dict[str, Any]:
    """Returns those of a step's logs that are not finite, by name; nested ones are unfolded."""
    broken = {}
    for name, value in logs.items():
        if isinstance(value, dict):
            broken |= find_broken_numbers(value)
        elif not finite_data.is_all_finite(value):
            broken[name] = value
    return broken


def list_names(logs: dict[str, Any]) -> list[str]:
    """Returns the names of logs; nested ones are unfolded."""
    names = []
    for name, value in logs.items():
        names += list_names(value) if isinstance(value, dict) else [name]
    return names
