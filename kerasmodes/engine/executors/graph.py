"""Modes "graph" and "xla": each step is a graph of TensorFlow's, or compiled by XLA.

Arrays, and several steps of one execution, run in a loop over super-batches, see `loops.py`; single
steps of other data, as a function of the batch or of the iterator.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import modes
from kerasmodes.engine import (
    kept_sizes,
    keras_private,
    keras_random,
    kernel_numbers,
    output_watch,
    super_batches,
    zero_gradients,
)
from kerasmodes.engine.executors import (
    executor,
    loops,
    replica_programs,
    traced_steps,
    unknown_sizes,
    xla_errors,
)


class GraphExecutor(executor.Executor):
    """Runs steps as graphs."""

    def __init__(self, model: keras.Model, kind: str, mode: str) -> None:
        super().__init__(model, kind, mode)
        self._jit_compile = modes.MODES[mode].jit_compile or None
        if self._jit_compile:
            keras_private.encode_categories_for_xla()
            keras_private.count_rounds_for_xla()
            keras_random.replace_draws()
            zero_gradients.keep_zeros()
            kernel_numbers.keep_numbers()
            kept_sizes.keep_sizes()
        self._loops = {}  # By what is watched in the steps.

    @property
    def loop_mode(self) -> str | None:
        """The mode whose loop runs the steps; `None` as long as none has run."""
        return next((one.mode for one in self._loops.values() if one.mode), None)

    @property
    def operations(self) -> set[str]:
        """The names of TensorFlow's operations in the steps that have run in a loop."""
        return set().union(*(one.operations for one in self._loops.values()))

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that the graphs of the steps in a loop use."""
        return [variable for one in self._loops.values() for variable in one.variables]

    def find_loop_mode(self, traced: traced_steps.TracedStep) -> str:
        """Returns the mode whose loop runs a step.

        Args:
            traced: The step, traced for batches of one shape.
        """
        return "xla" if self._jit_compile else "graph"

    def run(self, batches: list[super_batches.BatchRange] | Iterator) -> Any:
        """Runs the steps of one execution; see `Executor.run`.

        Raises:
            ValueError: If XLA cannot compile the step.
        """
        with xla_errors.explain_xla_error(self.mode):
            if not isinstance(batches, list):
                return super().run(batches)
            return self.find_outputs(itertools.chain.from_iterable(map(self._run_range, batches)))

    def _run_range(self, batch_range):
        with self.errors.explain(batch_range.super_batch, is_stacked=True):
            yield from self._find_loops(batch_range).run(batch_range)

    def _run_next(self, iterator):
        if not self.runner.is_alone:
            return self._run_as_range(next(iterator))
        if self._reads_in_graph(iterator):
            with self.errors.explain(iterator.element_spec):
                return self._step_on_iterator(iterator, self.watched)
        batch = super_batches.remove_optionals(next(iterator))
        with self.errors.explain(batch):
            return self._step_on_batch(batch, self.watched)

    def _reads_in_graph(self, iterator):
        """Returns whether the graph of a step takes its batch itself.

        There, a batch has no more shape than its data set tells. Some layers need more, and so does
        an error that is to name it. As in Keras, a prediction is traced with the batch itself.
        """
        is_of_data_set = isinstance(iterator, tf.data.Iterator) and self.kind != "predict"
        return is_of_data_set and super_batches.has_known_sizes(iterator.element_spec)

    def _run_as_range(self, batch):
        outputs = self.run(super_batches.make_range(batch, self.mode))
        return outputs[0] if self.kind == "predict" else outputs

    def _find_loops(self, batch_range):
        """Returns what runs a range: outputs of a single step may have any shape."""
        is_single = self.kind == "predict" and batch_range.stop - batch_range.start == 1
        return self._single_loops if is_single else self._find_joined_loops()

    def _find_joined_loops(self):
        watched = self.watched
        if watched not in self._loops:
            self._loops[watched] = self._make_loops(self._find_loop_kind(watched), watched)
        return self._loops[watched]

    def _find_loop_kind(self, watched):
        if self.kind == "predict":
            return loops.keep_outputs
        if watched is None:
            return loops.keep_last_outputs
        merge = functools.partial(output_watch.merge_logs, watched=watched)
        return functools.partial(loops.keep_last_outputs, merge=merge)

    def _make_loops(self, make_loop, watched=None):
        relaxes_shapes = not self._jit_compile  # XLA compiles for sizes that it knows.
        run = output_watch.watch_run(self.runner.run, self.model, watched)
        compile_step = None if self.runner.is_alone else replica_programs.compile_parts
        return loops.Loops(
            self.step, run, self.find_loop_mode, make_loop, relaxes_shapes, compile_step
        )

    @functools.cached_property
    def _single_loops(self):
        return self._make_loops(loops.keep_one_output)

    @functools.cached_property
    def _step_on_batch(self):
        def run_step_for_xla(batch, watched):
            with traced_steps.open_xla_context():
                outputs = self.run_watched_step(batch, watched)
            unknown_sizes.check_sizes(self.mode, tf.compat.v1.get_default_graph(), outputs)
            return outputs

        run = run_step_for_xla if self._jit_compile else self.run_watched_step
        return trace_lazily(run, jit_compile=self._jit_compile)

    @functools.cached_property
    def _step_on_iterator(self):
        def run_next(iterator, watched):
            batch = super_batches.remove_optionals(iterator.get_next())
            with wait_for(batch):
                return self._step_on_batch(batch, watched)

        return trace_lazily(run_next)


def trace_lazily(function: Callable, jit_compile: bool | None = None) -> Callable:
    """Returns a `tf.function` for data of any kind, which another one calls as a whole.

    Args:
        function: Function of nested tensors, or of an iterator.
        jit_compile: Whether XLA compiles it.
    """
    # TensorFlow warns of a function that is traced often, and takes all of one source line for one;
    # a partial function is counted by itself.
    return tf.function(
        functools.partial(function),
        autograph=False,
        reduce_retracing=True,
        jit_compile=jit_compile,
        experimental_attributes={"_noinline": True},
    )


def wait_for(batch: Any) -> contextlib.AbstractContextManager:
    """Returns a context in which what is called in a graph is held back until a batch is there.

    Otherwise what does not depend on the batch (step counters, seeds) would run once more when data
    of unknown length end, and the next epoch would see other numbers. The step must be called in it
    as a whole, which a function that is inlined is not. Its operations must not be made in it: in a
    step that makes variables, TensorFlow gets the gradients of such loops wrong.

    Args:
        batch: Nested tensors of the graph.
    """
    parts = tf.nest.flatten(batch, expand_composites=True)
    return tf.control_dependencies([part for part in parts if tf.is_tensor(part)])
