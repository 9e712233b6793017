"""K steps in one loop over a super-batch.

No model and no settings here: executors decide when a step runs so, `modes.py` how many at once;
where the super-batches come from is in `super_batches.py`.
"""

import typing
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasmodes.engine import super_batches
from kerasmodes.engine.executors import (
    programs,
    shared_programs,
    traced_steps,
    unknown_sizes,
    xla_errors,
)

# What predicting may hold of one execution's outputs.
OUTPUT_BYTES = 64 * 2**20


class Loops:
    """The loops of a step.

    Args:
        step: Function of one batch (nested tensors) that returns nested tensors.
        run: Function that calls its argument on one batch in replica context, such as
            `strategy.run`.
        find_loop_mode: Function of a `TracedStep` that returns the mode whose loop runs it:
            `"fused"` (the whole loop is one XLA program), `"xla"` (each step is), `"graph"` (none).
        make_loop: What makes a loop: `keep_last_outputs`, `keep_outputs` or `keep_one_output`.
        relaxes_shapes: Whether a loop may leave open the sizes in which batches differ.
        compile_step: Function that compiles a concrete function of one batch for XLA, where a step
            is more than one program; `None` where it is one.

    Attributes:
        operations: The names of TensorFlow's operations in the steps that were traced.
        variables: The variables that these steps use.
        mode: The mode whose loop runs the steps of the first batches' shapes; `None` at first.
    """

    def __init__(self, step, run, find_loop_mode, make_loop, relaxes_shapes, compile_step=None):
        self.operations = set()
        self.variables = []
        self.mode = None
        self._step, self._run, self._make_loop = step, run, make_loop
        self._find_loop_mode, self._compile_step = find_loop_mode, compile_step
        self._programs = programs.Programs(self._make_program, relaxes_shapes)

    def run(self, batch_range: Any):
        """Yields the outputs of a range's steps, as many together as the loop keeps."""
        super_batch, start, end = batch_range
        program = self._programs.get(super_batch)
        while start < end:
            outputs, start = program(super_batch, start, end)
            yield outputs

    def _make_program(self, specs, length):
        traced = traced_steps.TracedStep(self._step, self._run, specs)
        self.operations |= traced.operations
        self.variables += traced.plain.graph.variables
        mode = self._find_loop_mode(traced)
        self.mode = self.mode or mode
        if mode != "graph":
            xla_errors.check_outputs(mode, traced.outputs)
            unknown_sizes.check_sizes(mode, traced.for_xla.graph, traced.for_xla.outputs)
        length = length if mode == "fused" else None
        if mode == "xla" and self._compile_step:
            step, mode = self._compile_step(traced.for_xla), "graph"  # In a loop of TensorFlow's.
        else:
            step = _find_step(mode, traced)
        return _Program(self._make_loop(step, traced, mode, length), length)


class _Loop(typing.NamedTuple):
    """A loop as a concrete function of a super-batch and the first and last of its batches.

    Args:
        function: The concrete function.
        num_steps: The most steps whose outputs it keeps, `None` for any number.
        is_stacked: Whether it returns the outputs of all steps, stacked.
    """

    function: object
    num_steps: int | None
    is_stacked: bool


class _Program:
    """A loop compiled for batches of given specs; if fused, of a number of them or fewer.

    Shorter super-batches, such as an epoch's last, are padded: they need no program of their own.
    """

    def __init__(self, loop, length):
        self._loop, self._length = loop, length

    def fits(self, super_batch: Any):
        return self._length is None or programs.find_length(super_batch) <= self._length

    def __call__(self, super_batch, start, end):
        """Runs the steps from `start` up to `end`, or fewer; returns outputs and the step after."""
        function, num_steps, is_stacked = self._loop
        stop = min(end, start + (num_steps or end))
        missing = 0 if self._length is None else self._length - programs.find_length(super_batch)
        if missing:
            super_batch = tf.nest.map_structure(lambda t: _pad(t, missing), super_batch)
        outputs = function(super_batch, tf.constant(start), tf.constant(stop))
        return _merge_examples(outputs, stop - start) if is_stacked else outputs, stop


def _find_step(mode, traced):
    """Returns the traced step as the function that a kind of loop calls."""
    if mode == "graph":
        return traced.plain
    if mode == "xla":
        return tf.function(lambda batch: traced.for_xla(batch), autograph=False, jit_compile=True)
    return traced.for_xla


def keep_last_outputs(
    step: Callable,
    traced: Any,
    mode: str,
    length: int | None,
    merge: Callable = lambda before, now: now,
):
    """Returns the loop that keeps the last step's outputs, or others of the same structure.

    Where only a step tells their shapes, steps run one by one.

    Args:
        merge: Function of the outputs so far and a step's that returns what is kept. Before the
            first step, they are 0.
    """
    if not all(map(_has_one_shape, tf.nest.flatten(traced.outputs))):
        return keep_one_output(step, traced, mode, length)
    specs = _add_length(traced.specs, length)

    def loop(super_batch, start, stop):
        def body(index, outputs):
            merged = merge(outputs, step(_take_batch(super_batch, index)))
            return index + 1, tf.nest.pack_sequence_as(outputs, tf.nest.flatten(merged))

        nothing = tf.nest.map_structure(
            lambda output: tf.zeros(output.shape, output.dtype), traced.outputs
        )
        _, outputs = tf.while_loop(
            lambda index, _: index < stop, body, (start, nothing), parallel_iterations=1
        )
        return outputs

    return _Loop(_compile_loop(loop, mode, specs), None, False)


def keep_outputs(step: Callable, traced: Any, mode: str, length: int | None):
    """Returns the loop that keeps every step's outputs.

    Outputs of which only a step tells the shape come from single steps.
    """
    output_specs = tf.nest.flatten(traced.outputs)
    if not all(_has_one_shape(spec) for spec in output_specs):
        return keep_one_output(step, traced, mode, length)
    most = max(1, OUTPUT_BYTES // max(1, super_batches.count_batch_bytes(output_specs, 1)))
    num_steps = min(most, length or most)

    def loop(super_batch, start, stop):
        size = num_steps if mode == "fused" else stop - start  # XLA must know it.

        def body(index, arrays):
            outputs = tf.nest.flatten(step(_take_batch(super_batch, index)))
            arrays = [a.write(index - start, o) for a, o in zip(arrays, outputs, strict=True)]
            return index + 1, arrays

        arrays = [
            tf.TensorArray(spec.dtype, size, element_shape=spec.shape) for spec in output_specs
        ]
        _, arrays = tf.while_loop(
            lambda index, _: index < stop, body, (start, arrays), parallel_iterations=1
        )
        stacked = [array.stack() for array in arrays]
        return tf.nest.pack_sequence_as(traced.outputs, stacked)

    return _Loop(_compile_loop(loop, mode, _add_length(traced.specs, length)), num_steps, True)


def keep_one_output(step: Callable, traced: Any, mode: str, length: int | None):
    """Returns the function of a single step of a super-batch."""
    specs = _add_length(traced.specs, length)
    one_step = _compile_loop(lambda sb, start, stop: step(_take_batch(sb, start)), mode, specs)
    return _Loop(one_step, 1, False)


def _has_one_shape(spec):
    return isinstance(spec, (tf.Tensor, tf.TensorSpec)) and spec.shape.is_fully_defined()


def _compile_loop(loop, mode, specs):
    number = tf.TensorSpec([], tf.int32)
    jit_compile = True if mode == "fused" else None
    function = tf.function(loop, autograph=False, jit_compile=jit_compile)
    program = function.get_concrete_function(specs, number, number)
    return program if mode == "graph" else shared_programs.share_program(program, mode)


def _add_length(specs, length):
    return tf.nest.map_structure(
        lambda s: None if s is None else tf.TensorSpec([length, *s.shape], s.dtype), specs
    )


def _take_batch(super_batch, index):
    return tf.nest.map_structure(lambda t: None if t is None else t[index], super_batch)


def _pad(tensor, missing):
    if tensor is None:
        return None
    return tf.concat([tensor, tf.repeat(tensor[-1:], missing, axis=0)], axis=0)


def _merge_examples(outputs, num_steps):
    """Returns outputs `[examples, ...]` from those of steps, `[steps, batch, ...]`."""
    return tf.nest.map_structure(
        lambda part: tf.reshape(part[:num_steps], [-1, *part.shape[2:]]), outputs
    )
