"""Mode "auto": training steps run in each mode that can run them, timed; the fastest one stays.

Since numbers do not depend on the mode, these are steps like any others.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import modes
from kerasmodes.engine import optimizers, super_batches
from kerasmodes.engine.executors import executor, graph, traced_steps

CANDIDATES = ("graph", "fused", "xla")  # In the order in which they are tried.
FIRST = CANDIDATES[0]

# A mode is tried only if what it is expected to cost, XLA's compilation, is a quarter at the most
# of what is left of the fit. It is expected to take twice as long as the first step in graph mode,
# which is mostly tracing.
COMPILATION_SHARE = 0.25
COMPILATION_TIMES_TRACING = 2.0

# Executions of so many steps are timed, until that many seconds were measured.
TIMED_STEPS = (1, 4, 16, 64, 256)
TIMED_SECONDS = 0.02
# Steps that take that many seconds make up an execution once the mode is chosen.
EXECUTION_SECONDS = 0.5

# What is said of an error, in letters: XLA's are pages long.
REASON_LENGTH = 160


class AutoExecutor(graph.GraphExecutor):
    """Trains in the mode that the model's selector says; tests and predicts as graphs."""

    def serves(self, mode: str) -> bool:
        """Returns whether a model may run in a mode with this executor."""
        # The selector keeps an executor, with its programs, for each mode.
        if self.kind == "train":
            return not modes.MODES[mode].run_eagerly
        return super().serves(mode)

    @property
    def loop_mode(self) -> str | None:
        """The mode whose loop runs the steps; `None` as long as none has run."""
        selector = self.model.mode_selector
        return selector.loop_mode if self.kind == "train" else super().loop_mode

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that the graphs of the steps in a loop use."""
        selector = self.model.mode_selector
        return selector.variables if self.kind == "train" else super().variables

    def run(self, batches: list[super_batches.BatchRange] | Iterator) -> Any:
        """Runs the steps of one execution; see `Executor.run`."""
        if self.kind == "train":
            return self.model.mode_selector.run(batches)
        return super().run(batches)


class ModeSelector:
    """Decides, from one execution of a model's fit to the next, in which mode it runs.

    Args:
        model: A Keras model with modes.
        make_executor: Function of a model, `"train"` and the name of a mode.

    Attributes:
        decided: Whether a mode is chosen. A later, longer fit may try those that are left.
        mode: The fastest mode so far.
        steps: Steps of its executions.
        microseconds: Measured time of a step, by mode.
        impossible: Why a mode is ruled out (what it said of the step, say), by mode.
    """

    def __init__(
        self,
        model: keras.Model,
        make_executor: Callable[[keras.Model, str, str], executor.Executor],
    ) -> None:
        self.decided = False
        self.mode = FIRST
        self.steps = 1
        self.microseconds = {}
        self.impossible = {}
        self._executors = {}
        self._compilation = 0.0
        self._said = None
        self._model, self._make_executor = model, make_executor

    @property
    def untried(self):
        """The modes that were not tried yet."""
        return [m for m in CANDIDATES if m not in self.microseconds and m not in self.impossible]

    @property
    def loop_mode(self):
        """The mode whose loop runs the steps of the fastest mode; `None` if none has run."""
        found = self._executors.get(self.mode)
        return None if found is None else found.loop_mode

    @property
    def variables(self):
        """The variables that the graphs of the steps use, in the modes that were tried."""
        return [variable for one in self._executors.values() for variable in one.variables]

    def begin(
        self, num_steps: int | None, length: int | None, asked: int | None, verbose: Any
    ) -> None:
        """Called at the start of a fit.

        Args:
            num_steps: Steps of the whole fit, or `None` if that is unknown.
            length: Most steps of an execution.
            asked: Steps of an execution that the user asked for, or `None`.
            verbose: That of the fit: 0 says nothing.
        """
        self._verbose = verbose
        self._left, self._spent = num_steps, 0.0
        self._length, self._asked = length, asked
        self._trials = self._try_all()
        self._next = next(self._trials)

    def next_steps(self) -> int:
        """Returns how many steps the next execution should run at the most."""
        return self._asked or min(self._length, self._next[1])

    def run(self, batches: list[super_batches.BatchRange] | Iterator) -> Any:
        """Runs an execution in the mode whose turn it is; see `Executor.run`.

        Single steps of an iterator are no part of a trial: they run in the fastest mode so far.
        """
        if not isinstance(batches, list):
            return self._executor(self.mode).run(batches)
        mode, _ = self._next
        values = None if mode == self.mode else self._copy_values()
        start = time.perf_counter()
        try:
            outputs = self._executor(mode).run(batches)
        except Exception as error:
            if values is None or not self._are_unchanged(values):
                raise
            self.impossible[mode] = _shorten_error(error)
            outputs = self._executor(self.mode).run(batches)
        tf.test.experimental.sync_devices()
        seconds = time.perf_counter() - start
        steps = sum(one.stop - one.start for one in batches)
        self._left = None if self._left is None else self._left - steps
        self._spent += seconds
        self._next = self._trials.send((seconds, steps))
        return outputs

    def _executor(self, mode):
        made = self._executors.get(mode)
        if made is None or not made.has_present_rates():
            self._executors[mode] = self._make_executor(self._model, "train", mode)
        return self._executors[mode]

    def _copy_values(self):
        """Returns each variable of the model and its optimizers, with its value."""
        found = optimizers.find_optimizers(self._model).values()
        variables = [*self._model.variables, *(v for one in found for v in one.variables)]
        return [(variable, np.array(variable.numpy())) for variable in variables]

    def _are_unchanged(self, values):
        """Returns whether the variables still have these values: an attempt has changed nothing."""
        return all(v.numpy().tobytes() == value.tobytes() for v, value in values)

    def _try_all(self):
        """Yields the mode and the steps of each execution; is sent its seconds and steps."""
        for mode in self.untried:
            if mode in self.impossible:
                continue
            while self.microseconds and self._left is None and not self._pays():
                yield self.mode, self._execution_steps()
            if not self.microseconds or self._pays():
                yield from self._try(mode)
            if mode == FIRST and self._convolves_on_a_cpu():
                self.impossible["fused"] = "it runs convolutions on a CPU as graph does"
        self.steps = self._execution_steps()
        self._decide()
        while True:
            yield self.mode, self.steps

    def _try(self, mode):
        first, _ = yield mode, 1
        if not self.microseconds:
            self._compilation = max(self._compilation, COMPILATION_TIMES_TRACING * first)
        total_seconds = total_steps = 0
        for wanted in TIMED_STEPS:
            if mode in self.impossible or total_seconds >= TIMED_SECONDS:
                break
            seconds, steps = yield mode, wanted
            if mode in self.impossible:
                self.microseconds.pop(mode, None)
                break
            total_seconds, total_steps = total_seconds + seconds, total_steps + steps
            self.microseconds[mode] = 1e6 * total_seconds / total_steps
        self.mode = min(self.microseconds, key=self.microseconds.get)

    def rule_out_xla(self, reason: str) -> None:
        """Lets no fit try a mode of XLA's."""
        self.impossible = dict.fromkeys(CANDIDATES[1:], reason)

    def settle_for_graph(self, reason: str, verbose: Any) -> None:
        """Decides without trying, for data on which no other mode runs."""
        self._verbose = verbose
        self.rule_out_xla(reason)
        self._decide()

    def end(self) -> None:
        """Called at the end of a fit: one too short for a decision has been run in graph mode."""
        if not self.decided:
            self.steps = self._execution_steps() if self.microseconds else self._asked or 1
            self._decide()

    def _decide(self):
        self.decided = True
        self._model.adopt_mode(self.mode, self.steps)
        measured = ", ".join(f"{mode} {time:,.1f}" for mode, time in self.microseconds.items())
        words = [
            f"mode={self.mode!r} chosen with steps_per_execution={self.steps}",
            f"µs per step: {measured}" if measured else "",
            *(f"{mode}: too long to compile for this fit" for mode in self.untried),
            *(f"{mode}: ruled out, {why}" for mode, why in self.impossible.items()),
        ]
        if self._verbose != 0 and self._said != self.mode:
            print("\n" + "; ".join(word for word in words if word))
            self._said = self.mode

    def _convolves_on_a_cpu(self):
        """Returns whether a fused loop would be that of graph mode."""
        return traced_steps.convolves_on_a_cpu(self._executor(FIRST).operations)

    def _pays(self):
        """Returns whether XLA's compilation is small beside what is left (or, unknown, was run)."""
        if self._left is None:
            return self._compilation <= COMPILATION_SHARE * self._spent
        left = self._left * 1e-6 * self.microseconds[self.mode]
        return self._compilation <= COMPILATION_SHARE * left

    def _execution_steps(self):
        steps = EXECUTION_SECONDS / (1e-6 * self.microseconds[self.mode])
        return self._asked or max(1, min(self._length, int(steps)))


def _shorten_error(error):
    """Returns the first line of what an error says, with its class if that is not ValueError."""
    words = (str(error).strip() or repr(error)).splitlines()[0]
    words = words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"
    return words if len(words) <= REASON_LENGTH else f"{words[: REASON_LENGTH - 3]}..."
