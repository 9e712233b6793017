"""The interface of all executors, and what of them does not depend on the mode."""

import collections.abc
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import modes
from kerasmodes.engine import (
    keras_private,
    loss_scaling,
    optimizers,
    output_watch,
    replication,
    super_batches,
)
from kerasmodes.engine.executors import step_errors


class Executor:
    """Runs the executions of one of a model's steps, each batch by itself.

    A mode's own class overrides `run`, if it has a faster way for many steps; or it replaces `step`
    in its `__init__`, which every executor calls. A plain `Executor` runs steps in Python, where
    `run_step` may be overridden, too. A `GraphExecutor` calls it only while it traces.

    Args:
        model: A compiled Keras model with modes.
        kind: `"train"`, `"test"` or `"predict"`: which of its steps.
        mode: The name of the mode.

    Attributes:
        step: The model's function of one batch.
        runner: What runs a function of one batch on the replicas.
        errors: What explains the errors of the step.
    """

    def __init__(self, model: keras.Model, kind: str, mode: str) -> None:
        self.model, self.kind, self.mode = model, kind, mode
        self.step = getattr(model, f"{kind}_step")
        if kind != "predict":
            self.step = _check_logs(self.step, kind)
        self.runner = replication.find_runner(model, kind)
        if kind == "train" and self.runner.is_alone:
            self.step = loss_scaling.warn_of_unscaled_loss(self.step, model)
        self.errors = step_errors.StepErrors(model, kind)
        self._rates = optimizers.list_rates(model)

    @property
    def watched(self) -> output_watch.Watched | None:
        """What the model's `OutputWatch` looks at in the steps; `None` without one."""
        watch = self.model.output_watch if self.kind == "train" else None
        return None if watch is None else watch.watched

    @property
    def loop_mode(self) -> str | None:
        """The mode whose loop runs the steps; `None` where steps have no loop, or none has run."""
        return None

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that the graphs of the steps in a loop use; empty where there are none."""
        return []

    def serves(self, mode: str) -> bool:
        """Returns whether a model may run in a mode with this executor."""
        return mode == self.mode

    def has_present_rates(self) -> bool:
        """Returns whether the optimizers have the learning rates that the steps were made with.

        A number that is set later is a new value of the same variable; a schedule is another rate.
        """
        present = optimizers.list_rates(self.model)
        return [*map(id, present)] == [*map(id, self._rates)]

    def __call__(self, batches: Any) -> Any:
        """Runs an execution; see `run`. This is what Keras calls."""
        if isinstance(batches, tf.distribute.DistributedIterator):
            return self._run_distributed(batches)
        if isinstance(batches, list) and not isinstance(batches[0], super_batches.BatchRange):
            batches = iter(batches)  # From `predict_on_batch`.
        outputs = self.runner.complete(self.run, batches)
        is_list = self.kind == "predict"
        return keras_private.concatenate_tensors(outputs) if is_list else outputs

    def run(self, batches: list[super_batches.BatchRange] | Iterator) -> Any:
        """Runs the steps of one execution.

        Args:
            batches: Ranges of batches, all of which are run; or an iterator, of which as many are
                run as the model's `steps_of_iterators` says, or as there are left.

        Returns:
            The last step's logs; when predicting, a list of outputs.

        Raises:
            StopIteration: If the iterator is at its end.
            tf.errors.OutOfRangeError: The same, of an iterator of TensorFlow's.
        """
        if isinstance(batches, list):
            steps = map(self._run_batch, super_batches.iterate_batches(batches))
            return self.find_outputs(steps)
        return self._run_steps(self._run_next, batches)

    def run_step(self, batch: Any) -> Any:
        """Returns the outputs of the step on one batch, on all replicas."""
        return self.runner.run(self.step, (batch,))

    def run_watched_step(self, batch: Any, watched: output_watch.Watched | None) -> Any:
        """Returns the outputs of `run_step`, with what is looked at; see `output_watch.py`."""
        return output_watch.watch_run(self.run_step, self.model, watched)(batch)

    def find_outputs(self, steps: Iterable) -> Any:
        """Returns the outputs of an execution, of those of its steps.

        Args:
            steps: The outputs, with what is looked at. One step's logs are held at a time.
        """
        watched = self.watched
        if self.kind == "predict":
            return list(steps)
        if watched is None:
            return collections.deque(steps, maxlen=1).pop()
        merge = functools.partial(output_watch.merge_logs, watched=watched)
        return self.model.output_watch.take_logs(functools.reduce(merge, steps))

    def _run_batch(self, batch):
        with self.errors.explain(batch):
            return self.run_watched_step(batch, self.watched)

    def _run_next(self, iterator):
        return self._run_batch(super_batches.convert_batch(next(iterator)))

    def _run_steps(self, run_next, iterator):
        """Calls a function of an iterator for each step of an execution, as far as the data go."""
        first = run_next(iterator)
        return self.find_outputs(itertools.chain([first], self._run_others(run_next, iterator)))

    def _run_others(self, run_next, iterator):
        for _ in range(1, self.model.steps_of_iterators):
            try:
                yield run_next(iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                return

    def _run_distributed(self, iterator):
        """Runs an execution on data that the user's own program has shared out."""

        def run_next(iterator):
            return self._step_on_shards(next(iterator), self.watched)

        outputs = self._run_steps(run_next, iterator)
        if self.kind != "predict":
            return outputs
        return keras_private.concatenate_tensors([part for parts in outputs for part in parts])

    @functools.cached_property
    def _step_on_shards(self):
        def step(shards, watched):
            return output_watch.watch_run(run, self.model, watched)(shards)

        strategy, is_list = self.model.distribute_strategy, self.kind == "predict"
        run = functools.partial(replication.run_on_shards, strategy, self.step, is_list)
        mode = modes.MODES[self.mode]
        if mode.run_eagerly:
            return step
        return tf.function(
            step, autograph=False, reduce_retracing=True, jit_compile=mode.jit_compile or None
        )


def is_of_user(function: Callable | None) -> bool:
    """Returns whether what is to run executions is no executor: it takes what Keras hands out.

    Args:
        function: A model's `train_function`, or its other ones; `None` before there is any.
    """
    return function is not None and not isinstance(function, Executor)


def _check_logs(step, kind):
    """Returns the step, which raises if it returns anything but logs: a forgotten `return`."""

    def run_step(batch):
        logs = step(batch)
        if not isinstance(logs, collections.abc.Mapping):
            received = None if logs is None else f"a {type(logs).__name__}"
            raise TypeError(
                f"`{kind}_step` must return a dictionary of logs, such as {{'loss': loss}}. "
                f"Received: {received}"
            )
        return logs

    return run_step
