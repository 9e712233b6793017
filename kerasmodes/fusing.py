"""K steps in one XLA loop: functions from a step to the functions that Keras's `fit` calls.

No model and no settings here: `model.py` decides when a step is fused, `modes.py` how many.

One execution takes up to K batches from the iterator into flat buffers (a TensorFlow loop, outside
XLA), cuts them into runs of batches with equal shapes (one run, but for a smaller last batch),
and hands each run, stacked to a super-batch `[K, batch, ...]`, to a compiled loop over the step.
"""

import itertools
import math

import tensorflow as tf


def make_step_function(step, next_steps, run):
    """Returns a function of an iterator that runs up to K steps in one XLA program.

    It is what Keras calls `train_function` and `test_function`.

    Args:
        step: Function of one batch (nested tensors) that returns nested tensors (the logs).
        next_steps: Function that returns K, the most steps of the execution to come.
        run: Function that calls its argument on one batch in replica context, such as
            `strategy.run`.

    Returns:
        A function of a `tf.data.Iterator`, or a Python iterator of batches, that returns the last
        step's logs and raises `StopIteration` when no batch is left.
    """
    programs = {}

    def run_block(super_batch, count):
        return _run_block(lambda batch: run(step, args=(batch,)), super_batch, count)

    def function(iterator):
        outputs = None
        for super_batch, count in _super_batches(iterator, next_steps(), programs):
            program, length = _program(programs, run_block, super_batch)
            outputs = program(_padded(super_batch, length), tf.constant(count))
        if outputs is None:
            raise StopIteration
        return outputs

    return function


def make_predict_function(step, run):
    """Returns a function of a list of batches that runs each through one XLA program.

    It is what Keras calls `predict_function`.

    Args:
        step: Function of one batch that returns nested tensors.
        run: As in `make_step_function`.

    Returns:
        A function of a list of batches that returns the outputs, concatenated along the batch.
    """
    compiled = tf.function(
        lambda batch: run(step, args=(batch,)), autograph=False, jit_compile=True
    )

    def function(batches):
        outputs = [compiled(_dense(batch)) for batch in batches]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *outputs)

    return function


def _run_block(step, super_batch, count):
    """Runs `step` on the first `count` batches of a super-batch; returns the last one's outputs."""

    def body(index, _):
        batch = tf.nest.map_structure(
            lambda stacked: None if stacked is None else stacked[index], super_batch
        )
        return index + 1, tf.nest.map_structure(tf.convert_to_tensor, step(batch))

    start = tf.nest.map_structure(
        lambda spec: tf.zeros(spec.shape, spec.dtype), _output_spec(step, super_batch)
    )
    _, outputs = tf.while_loop(
        lambda index, _: index < count, body, (tf.constant(0), start), parallel_iterations=1
    )
    return outputs


def _output_spec(step, super_batch):
    """Returns the specs of what `step` returns (tracing it also builds what is built lazily)."""
    batch = tf.nest.map_structure(
        lambda stacked: (
            None if stacked is None else tf.TensorSpec(stacked.shape[1:], stacked.dtype)
        ),
        super_batch,
    )
    traced = tf.function(
        lambda batch: tf.nest.map_structure(tf.convert_to_tensor, step(batch)), autograph=False
    )
    outputs = traced.get_concrete_function(batch).structured_outputs
    return tf.nest.map_structure(lambda output: tf.TensorSpec(output.shape, output.dtype), outputs)


def _super_batches(iterator, num_steps, programs):
    """Yields (super-batch, number of batches in it) for each run of equally shaped batches."""
    if not isinstance(iterator, tf.data.Iterator):
        for batch in itertools.islice(iterator, num_steps):
            yield _stack_of_one(_dense(batch)), 1
        return
    spec = iterator.element_spec
    _check_dense(spec)
    dense = [part for part in tf.nest.flatten(spec) if isinstance(part, tf.TensorSpec)]
    buffers, shapes = _taking_program(programs, iterator)(iterator, tf.constant(num_steps))
    for tensors, count in _runs(buffers, shapes.numpy(), [part.shape.rank for part in dense]):
        tensors = iter(tensors)
        leaves = [
            next(tensors) if isinstance(part, tf.TensorSpec) else None
            for part in tf.nest.flatten(spec)
        ]
        yield tf.nest.pack_sequence_as(spec, leaves), count


def _runs(buffers, shapes, ranks):
    """Yields (one tensor `[count, ...]` a component, count) for each run of equal shapes."""
    starts = [0] * len(buffers)
    for shape, run in itertools.groupby(shapes.tolist()):
        count = sum(1 for _ in run)
        tensors = []
        dimensions = iter(shape)
        for index, rank in enumerate(ranks):
            own_shape = [count, *itertools.islice(dimensions, rank)]
            end = starts[index] + math.prod(own_shape)
            tensors.append(tf.reshape(buffers[index][starts[index] : end], own_shape))
            starts[index] = end
        yield tensors, count


def _stack_of_one(batch):
    return tf.nest.map_structure(
        lambda part: None if part is None else tf.convert_to_tensor(part)[tf.newaxis], batch
    )


def _taking_program(programs, iterator):
    """Returns `_take_batches`, traced for this kind of iterator."""
    spec = tf.data.IteratorSpec(iterator.element_spec)
    if spec not in programs:
        taking = tf.function(_take_batches, autograph=False)
        programs[spec] = taking.get_concrete_function(spec, tf.TensorSpec([], tf.int32))
    return programs[spec]


def _take_batches(iterator, num_steps):
    """Takes up to `num_steps` batches.

    Returns:
        One flat buffer a component, all batches behind each other, and an int32 tensor
        `[batches taken, sum of the components' ranks]` with the batches' shapes.
    """
    specs = [s for s in tf.nest.flatten(iterator.element_spec) if isinstance(s, tf.TensorSpec)]
    buffers = [
        tf.TensorArray(spec.dtype, 0, dynamic_size=True, infer_shape=False, element_shape=[None])
        for spec in specs
    ]
    num_dimensions = sum(spec.shape.rank for spec in specs)
    shapes = tf.TensorArray(tf.int32, 0, dynamic_size=True, element_shape=[num_dimensions])

    def more(taken, has_next, *_):
        return tf.logical_and(has_next, taken < num_steps)

    def body(taken, _, shapes, *buffers):
        batch = iterator.get_next_as_optional()

        def write():
            values = [v for v in tf.nest.flatten(batch.get_value()) if isinstance(v, tf.Tensor)]
            shape = tf.concat([tf.shape(value) for value in values], axis=0)
            written = [
                b.write(taken, tf.reshape(v, [-1])) for b, v in zip(buffers, values, strict=True)
            ]
            return taken + 1, tf.constant(True), shapes.write(taken, shape), *written

        return tf.cond(
            batch.has_value(), write, lambda: (taken, tf.constant(False), shapes, *buffers)
        )

    _, _, shapes, *buffers = tf.while_loop(
        more, body, (tf.constant(0), tf.constant(True), shapes, *buffers), parallel_iterations=1
    )
    return [buffer.concat() for buffer in buffers], shapes.stack()


def _program(programs, run_block, super_batch):
    """Returns the compiled loop for batches of this shape and the length of its super-batch.

    It is compiled for the longest super-batch met, so that an epoch's shorter last one, padded,
    runs in the program that is there already.
    """
    parts = tf.nest.flatten(super_batch)
    key = tuple(None if part is None else (part.dtype, *part.shape[1:]) for part in parts)
    length = _tensors(super_batch)[0].shape[0]
    if key not in programs or programs[key][1] < length:
        compiled = tf.function(run_block, autograph=False, jit_compile=True)
        spec = tf.nest.map_structure(
            lambda t: None if t is None else tf.TensorSpec(t.shape, t.dtype), super_batch
        )
        count = tf.TensorSpec([], tf.int32)
        programs[key] = compiled.get_concrete_function(spec, count), length
    return programs[key]


def _padded(super_batch, length):
    """Returns the super-batch with its last batch repeated up to `length` batches."""
    missing = length - _tensors(super_batch)[0].shape[0]
    if not missing:
        return super_batch
    return tf.nest.map_structure(
        lambda t: None if t is None else tf.concat([t, tf.repeat(t[-1:], missing, axis=0)], 0),
        super_batch,
    )


def _tensors(super_batch):
    return [part for part in tf.nest.flatten(super_batch) if part is not None]


def _check_dense(spec):
    """Raises when a batch holds what XLA cannot take."""
    for part in tf.nest.flatten(spec):
        dense = isinstance(part, tf.TensorSpec) and part.dtype != tf.string
        if isinstance(part, tf.OptionalSpec):
            continue
        if not dense or part.shape.rank is None:
            raise ValueError(
                "mode='fused' must be given dense, numeric batches of known rank. "
                f"Received: a batch with {part}. Use mode='graph' for this data."
            )


def _dense(batch):
    """Returns the batch, if XLA can take it, with `None` for the optionals of missing parts."""
    batch = tf.nest.map_structure(
        lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch
    )
    parts = [part for part in tf.nest.flatten(batch) if part is not None]
    _check_dense([tf.type_spec_from_value(part) for part in parts])
    return batch
