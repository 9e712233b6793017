"""K steps in one loop over a super-batch: functions from a step to what `fit` and `predict` call.

No model and no settings here: `model` decides when a step runs so, `modes.py` how many at once;
where the super-batches come from is in `super_batches.py`.
"""

import functools

import tensorflow as tf

from kerasmodes.fusing import super_batches, xla_errors

# What predicting may hold of one execution's outputs.
OUTPUT_BYTES = 64 * 2**20


def make_step_function(step, run, mode):
    """Returns a function of pieces that runs a step on each of their batches.

    Args:
        step: Function of one batch (nested tensors) that returns nested tensors (the logs).
        run: Function that calls its argument on one batch in replica context, such as
            `strategy.run`.
        mode: `"fused"`: the whole loop is one XLA program; `"xla"`: each step is; `"graph"`: none.

    Returns:
        A function of a list of `super_batches.Piece`, or of a Python iterator of one batch, that
        returns the last step's logs. Its attribute `operations` is a function that returns the
        names of TensorFlow's operations in the steps that have run.
    """
    programs = {}
    make_loop = functools.partial(_loop, step, run, mode)

    def function(pieces):
        if not isinstance(pieces, list):
            pieces = super_batches.of_one_batch(next(pieces))
        with xla_errors.explain_xla_error(mode):
            for super_batch, start, stop in pieces:
                program = _program(programs, super_batch, make_loop, mode == "fused")
                outputs = program(super_batch, start, stop)
        return outputs

    function.operations = lambda: _operations(programs.values())
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
    loops, singles = {}, {}
    make_loop = functools.partial(_predict_loop, step, run, mode)
    make_single = functools.partial(_predict_one, step, run, mode)

    def function(pieces):
        if not isinstance(pieces[0], super_batches.Piece):
            pieces = [piece for batch in pieces for piece in super_batches.of_one_batch(batch)]
        if mode == "eager":
            return [run(step, (batch,)) for batch in super_batches.batches_of(pieces)]
        with xla_errors.explain_xla_error(mode):
            return [part for piece in pieces for part in _predicted(piece)]

    def _predicted(piece):
        super_batch, begin, end = piece
        if end - begin == 1 and mode != "fused":
            program = _program(singles, super_batch, make_single, False)
        else:
            program = _program(loops, super_batch, make_loop, mode == "fused")
        for start in range(begin, end, program.num_steps or 1):
            stop = min(end, start + (program.num_steps or 1))
            outputs = program(super_batch, start, stop)
            yield _examples(outputs, stop - start) if program.num_steps else outputs

    return function


class _Program:
    """A loop compiled for super-batches of one shape of batch; if fused, of a length or shorter.

    Shorter ones, such as an epoch's last, are padded: they need no program of their own.
    """

    def __init__(self, super_batch, make_loop, is_fused):
        self.length = _length(super_batch) if is_fused else None
        specs = tf.nest.map_structure(
            lambda t: None if t is None else tf.TensorSpec([self.length, *t.shape[1:]], t.dtype),
            super_batch,
        )
        self.loop, self.num_steps = make_loop(specs)

    def fits(self, super_batch):
        return self.length is None or _length(super_batch) <= self.length

    def __call__(self, super_batch, start, stop):
        missing = 0 if self.length is None else self.length - _length(super_batch)
        if missing:
            super_batch = tf.nest.map_structure(lambda t: _padded(t, missing), super_batch)
        return self.loop(super_batch, tf.constant(start), tf.constant(stop))


def _program(programs, super_batch, make_loop, is_fused):
    # As a string: a batch may be a dictionary.
    key = str(
        tf.nest.map_structure(
            lambda part: None if part is None else (part.dtype.name, *part.shape[1:]), super_batch
        )
    )
    if key not in programs or not programs[key].fits(super_batch):
        programs[key] = _Program(super_batch, make_loop, is_fused)
    return programs[key]


def _operations(programs):
    graphs = [program.loop.graph.as_graph_def() for program in programs]
    nodes = [graph.node for graph in graphs]
    nodes += [function.node_def for graph in graphs for function in graph.library.function]
    return {node.op for some in nodes for node in some}


def _loop(step, run, mode, specs):
    """Returns the loop over a super-batch that keeps the last step's outputs, and its length."""
    traced = _traced(step, run, mode, specs)

    def loop(super_batch, start, stop):
        def body(index, _):
            return index + 1, traced(_batch(super_batch, index))

        nothing = tf.nest.map_structure(
            lambda output: tf.zeros(output.shape, output.dtype), traced.structured_outputs
        )
        _, outputs = tf.while_loop(
            lambda index, _: index < stop, body, (start, nothing), parallel_iterations=1
        )
        return outputs

    return _compiled(loop, mode, specs), None


def _predict_loop(step, run, mode, specs):
    """Returns the loop that keeps every step's outputs, and the most steps it can hold.

    Outputs of which only a step tells the shape come from single steps; the number is `None`.
    """
    traced = _traced(step, run, mode, specs)
    output_specs = tf.nest.flatten(traced.structured_outputs)
    if not all(_is_of_one_shape(spec) for spec in output_specs):
        return _predict_one(step, run, mode, specs)
    most = max(1, OUTPUT_BYTES // max(1, super_batches.bytes_of_a_batch(output_specs, 1)))
    num_steps = min(most, _length(specs) or most)

    def loop(super_batch, start, stop):
        size = num_steps if mode == "fused" else stop - start  # XLA must know it.

        def body(index, arrays):
            outputs = tf.nest.flatten(traced(_batch(super_batch, index)))
            arrays = [a.write(index - start, o) for a, o in zip(arrays, outputs, strict=True)]
            return index + 1, arrays

        arrays = [
            tf.TensorArray(spec.dtype, size, element_shape=spec.shape) for spec in output_specs
        ]
        _, arrays = tf.while_loop(
            lambda index, _: index < stop, body, (start, arrays), parallel_iterations=1
        )
        stacked = [array.stack() for array in arrays]
        return tf.nest.pack_sequence_as(traced.structured_outputs, stacked)

    return _compiled(loop, mode, specs), num_steps


def _predict_one(step, run, mode, specs):
    """Returns the function of a single step of a super-batch, and `None`: it keeps no others."""
    traced = _traced(step, run, mode, specs)
    return _compiled(lambda sb, start, stop: traced(_batch(sb, start)), mode, specs), None


def _traced(step, run, mode, specs):
    """Returns the step as a concrete function of one batch; tracing builds what was not built."""

    def one_step(batch):
        return tf.nest.map_structure(_tensor, run(step, args=(batch,)))

    batch = tf.nest.map_structure(
        lambda spec: None if spec is None else tf.TensorSpec(spec.shape[1:], spec.dtype), specs
    )
    jit_compile = True if mode == "xla" else None
    function = tf.function(one_step, autograph=False, jit_compile=jit_compile)
    return function.get_concrete_function(batch)


def _tensor(output):
    is_composite = isinstance(output, tf.__internal__.CompositeTensor)
    return output if is_composite else tf.convert_to_tensor(output)


def _is_of_one_shape(spec):
    return isinstance(spec, (tf.Tensor, tf.TensorSpec)) and spec.shape.is_fully_defined()


def _compiled(loop, mode, specs):
    number = tf.TensorSpec([], tf.int32)
    jit_compile = True if mode == "fused" else None
    function = tf.function(loop, autograph=False, jit_compile=jit_compile)
    return function.get_concrete_function(specs, number, number)


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


def _length(super_batch):
    return next(t for t in tf.nest.flatten(super_batch) if t is not None).shape[0]
