"""K steps in one loop over a super-batch: functions from a step to what `fit` and `predict` call.

No model and no settings here: `model` decides when a step runs so, `modes.py` how many at once;
where the super-batches come from is in `super_batches.py`.
"""

import functools
import time
import typing

import tensorflow as tf

from kerasmodes.engine import super_batches
from kerasmodes.engine.executors import programs, traced_steps, trials, xla_errors

# What predicting may hold of one execution's outputs.
OUTPUT_BYTES = 64 * 2**20


def make_step_function(step, run, mode):
    """Returns a function of pieces that runs a step on each of their batches.

    Args:
        step: Function of one batch (nested tensors) that returns nested tensors (the logs).
        run: Function that calls its argument on one batch in replica context, such as
            `strategy.run`.
        mode: `"fused"`: the whole loop is one XLA program, or what is faster (see `_kinds`);
            `"xla"`: each step is; `"graph"`: none.

    Returns:
        A function of a list of `super_batches.Piece`, or of a Python iterator of one batch, that
        returns the last step's logs. Its attribute `loops` tells of the steps that have run.
    """
    loops = Loops(step, run, mode, _keep_last)

    def function(pieces):
        if not isinstance(pieces, list):
            pieces = super_batches.of_one_batch(next(pieces))
        with xla_errors.explain_xla_error(mode):
            for piece in pieces:
                for outputs in loops.run(piece):
                    last = outputs
        return last

    function.loops = loops
    return function


def make_predict_function(step, run, mode):
    """Returns a function of pieces that predicts each of their batches.

    Args:
        step: Function of one batch that returns nested tensors `[batch, ...]`.
        run: As in `make_step_function`.
        mode: As in `make_step_function`; or `"eager"`, where steps run in Python.

    Returns:
        A function of a list of `super_batches.Piece`, or of batches, that returns a list of
        outputs: of many examples each, `[examples, ...]`, if they have one shape.
    """
    loops = Loops(step, run, mode, _keep_all)
    singles = Loops(step, run, mode, _keep_one)

    def function(pieces):
        if not isinstance(pieces[0], super_batches.Piece):
            pieces = [piece for batch in pieces for piece in super_batches.of_one_batch(batch)]
        if mode == "eager":
            return [run(step, (batch,)) for batch in super_batches.batches_of(pieces)]
        with xla_errors.explain_xla_error(mode):
            return [
                outputs
                for piece in pieces
                for outputs in (singles if _is_single(piece) else loops).run(piece)
            ]

    def _is_single(piece):
        return piece.stop - piece.start == 1 and mode != "fused"

    function.loops = loops
    return function


class Loops:
    """The loops of a step in a mode.

    Args:
        step: Function of one batch.
        run: Function that calls its argument on one batch in replica context.
        mode: As in `make_step_function`.
        make_loop: What makes a `_Loop`: `_keep_last`, `_keep_all` or `_keep_one`.

    Attributes:
        operations: The names of TensorFlow's operations in the steps that were traced.
    """

    def __init__(self, step, run, mode, make_loop):
        self.operations = set()
        self._step, self._run, self._mode, self._make_loop = step, run, mode, make_loop
        self._programs = {}
        self._trial = None
        self._last_traced = None, None

    @property
    def kind(self):
        """The mode whose loop runs the steps, `"graph"`, `"xla"` or `"fused"`; `None` at first."""
        return self._trial.way if self._trial else None

    def run(self, piece):
        """Yields the outputs of a piece's steps, as many together as the loop keeps."""
        super_batch, start, end = piece
        if self._trial is None:
            traced = self._trace(programs.specs_of_batch(super_batch))
            self._trial = trials.Trial(_kinds(self._mode, traced.operations))
        while start < end:
            program = self._program(self._trial.way, super_batch)
            run = program if self._trial.is_over else functools.partial(self._time, program)
            outputs, stop = run(super_batch, start, end)
            yield outputs
            start = stop

    def _time(self, program, super_batch, start, end):
        """Runs steps of the present turn of the trial: one, untimed, when that compiles."""
        is_new = not program.has_run
        begin = time.perf_counter()
        end = min(end, start + (1 if is_new else self._trial.num_steps))
        outputs, stop = program(super_batch, start, end)
        tf.test.experimental.sync_devices()
        if not is_new:
            self._trial.note(time.perf_counter() - begin, stop - start)
        return outputs, stop

    def _program(self, kind, super_batch):
        if kind not in self._programs:
            make = functools.partial(self._make_program, kind)
            self._programs[kind] = programs.Programs(make, relaxes_shapes=kind == "graph")
        return self._programs[kind].get(super_batch)

    def _make_program(self, kind, specs, length):
        length = length if kind == "fused" else None
        traced = self._trace(specs)
        loop = self._make_loop(_step_of(kind, traced), traced, kind, length)
        if self._trial.is_over:
            self._last_traced = None, None
        return _Program(loop, length)

    def _trace(self, specs):
        """Returns the step traced for these specs; the last one is kept, for other kinds."""
        if self._last_traced[0] != str(specs):
            traced = traced_steps.TracedStep(self._step, self._run, specs)
            self.operations |= traced.operations
            self._last_traced = str(specs), traced
        return self._last_traced[1]


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
        self.has_run = False
        self._loop, self._length = loop, length

    def fits(self, super_batch):
        return self._length is None or programs.length_of(super_batch) <= self._length

    def __call__(self, super_batch, start, end):
        """Runs the steps from `start` up to `end`, or fewer; returns outputs and the step after."""
        function, num_steps, is_stacked = self._loop
        stop = min(end, start + (num_steps or end))
        missing = 0 if self._length is None else self._length - programs.length_of(super_batch)
        if missing:
            super_batch = tf.nest.map_structure(lambda t: _padded(t, missing), super_batch)
        outputs = function(super_batch, tf.constant(start), tf.constant(stop))
        self.has_run = True
        return _examples(outputs, stop - start) if is_stacked else outputs, stop


def _kinds(mode, operations):
    """Returns the modes whose loops may run steps with these operations, the preferred one first.

    XLA has fast kernels for a convolution's gradients on a CPU only once one of its passes has
    rewritten them, which looks at a program's outermost computation, not into a loop: seven
    small networks took 1.2 to 22 times as long there. In TensorFlow's own loop, steps that XLA
    compiled took 0.6 to 5 times as long as those of a graph: that has to be measured.
    """
    if mode != "fused" or not traced_steps.convolves_on_a_cpu(operations):
        return (mode,)
    if traced_steps.differentiates_convolutions(operations):
        return "xla", "graph"
    return "fused", "xla", "graph"


def _step_of(kind, traced):
    """Returns the traced step as the function that a kind of loop calls."""
    if kind == "graph":
        return traced.plain
    if kind == "xla":
        return tf.function(lambda batch: traced.for_xla(batch), autograph=False, jit_compile=True)
    return traced.for_xla


def _keep_last(step, traced, kind, length):
    """Returns the loop that keeps the last step's outputs."""
    specs = _with_length(traced.specs, length)

    def loop(super_batch, start, stop):
        def body(index, _):
            return index + 1, step(_batch(super_batch, index))

        nothing = tf.nest.map_structure(
            lambda output: tf.zeros(output.shape, output.dtype), traced.outputs
        )
        _, outputs = tf.while_loop(
            lambda index, _: index < stop, body, (start, nothing), parallel_iterations=1
        )
        return outputs

    return _Loop(_compiled(loop, kind, specs), None, False)


def _keep_all(step, traced, kind, length):
    """Returns the loop that keeps every step's outputs.

    Outputs of which only a step tells the shape come from single steps.
    """
    output_specs = tf.nest.flatten(traced.outputs)
    if not all(_is_of_one_shape(spec) for spec in output_specs):
        return _keep_one(step, traced, kind, length)
    most = max(1, OUTPUT_BYTES // max(1, super_batches.bytes_of_a_batch(output_specs, 1)))
    num_steps = min(most, length or most)

    def loop(super_batch, start, stop):
        size = num_steps if kind == "fused" else stop - start  # XLA must know it.

        def body(index, arrays):
            outputs = tf.nest.flatten(step(_batch(super_batch, index)))
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

    return _Loop(_compiled(loop, kind, _with_length(traced.specs, length)), num_steps, True)


def _keep_one(step, traced, kind, length):
    """Returns the function of a single step of a super-batch."""
    specs = _with_length(traced.specs, length)
    one_step = _compiled(lambda sb, start, stop: step(_batch(sb, start)), kind, specs)
    return _Loop(one_step, 1, False)


def _is_of_one_shape(spec):
    return isinstance(spec, (tf.Tensor, tf.TensorSpec)) and spec.shape.is_fully_defined()


def _compiled(loop, kind, specs):
    number = tf.TensorSpec([], tf.int32)
    jit_compile = True if kind == "fused" else None
    function = tf.function(loop, autograph=False, jit_compile=jit_compile)
    return function.get_concrete_function(specs, number, number)


def _with_length(specs, length):
    return tf.nest.map_structure(
        lambda s: None if s is None else tf.TensorSpec([length, *s.shape], s.dtype), specs
    )


def _batch(super_batch, index):
    return tf.nest.map_structure(lambda t: None if t is None else t[index], super_batch)


def _padded(tensor, missing):
    if tensor is None:
        return None
    return tf.concat([tensor, tf.repeat(tensor[-1:], missing, axis=0)], axis=0)


def _examples(outputs, num_steps):
    """Returns outputs `[examples, ...]` from those of steps, `[steps, batch, ...]`."""
    return tf.nest.map_structure(
        lambda part: tf.reshape(part[:num_steps], [-1, *part.shape[2:]]), outputs
    )
