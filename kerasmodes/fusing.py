"""K steps in one XLA loop: functions from a step to the functions that Keras's `fit` calls.

No model and no settings here: `model.py` decides when a step is fused, `modes.py` how many.

One execution takes up to K batches from the iterator into flat buffers (a TensorFlow loop, outside
XLA), cuts them into runs of batches with equal shapes (one run, but for a smaller last batch),
and hands each run, stacked to a super-batch `[K, batch, ...]`, to a compiled loop over the step.
"""

import itertools

import numpy as np
import tensorflow as tf


def make_step_function(step, num_steps, run):
    """Returns a function of an iterator that runs up to `num_steps` steps in one XLA program.

    It is what Keras calls `train_function` and `test_function`.

    Args:
        step: Function of one batch (nested tensors) that returns nested tensors (the logs).
        num_steps: K, the most steps of one execution.
        run: Function that calls its argument on one batch in replica context, such as
            `strategy.run`.

    Returns:
        A function of a `tf.data.Iterator`, or a Python iterator of batches, that returns the last
        step's logs and raises `StopIteration` when no batch is left.
    """
    take = tf.function(_take_batches, autograph=False)
    programs = {}

    def run_block(super_batch, count):
        return _run_block(lambda batch: run(step, args=(batch,)), super_batch, count)

    def function(iterator):
        outputs = None
        for super_batch, count in _super_batches(iterator, num_steps, take):
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
        outputs = [compiled(_without_optionals(batch)) for batch in batches]
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


def _super_batches(iterator, num_steps, take):
    """Yields (super-batch, number of batches in it) for each run of equally shaped batches."""
    if isinstance(iterator, tf.data.Iterator):
        spec = iterator.element_spec
        _check_dense(spec)
        flat, shapes = take(iterator, num_steps)
        shapes = shapes.numpy()
        parts = tf.nest.flatten(spec)
        starts = [0] * len(flat)
        for _, run in itertools.groupby(shapes.tolist()):
            run = list(run)
            stacked = iter(_cut(flat, starts, run[0], len(run), parts))
            leaves = [next(stacked) if isinstance(part, tf.TensorSpec) else None for part in parts]
            yield tf.nest.pack_sequence_as(spec, leaves), len(run)
    else:
        for batch in itertools.islice(iterator, num_steps):
            yield (
                tf.nest.map_structure(
                    lambda value: (
                        None if value is None else tf.convert_to_tensor(value)[tf.newaxis]
                    ),
                    _without_optionals(batch),
                ),
                1,
            )


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


def _cut(flat, starts, shape, count, parts):
    """Yields each component's next `count` batches as `[count, *shape]`, moving `starts` on."""
    for index, part in enumerate(p for p in parts if isinstance(p, tf.TensorSpec)):
        own, shape = shape[: part.shape.rank], shape[part.shape.rank :]
        size = count * int(np.prod(own))
        values = flat[index][starts[index] : starts[index] + size]
        starts[index] += size
        yield tf.reshape(values, [count, *own])


def _program(programs, run_block, super_batch):
    """Returns the compiled loop for batches of this shape and the length of its super-batch.

    It is compiled for the longest super-batch met, so that an epoch's shorter last one, padded,
    runs in the program that is there already.
    """
    tensors = _tensors(super_batch)
    key = tuple((t.dtype, *t.shape[1:]) for t in tensors)
    length = tensors[0].shape[0]
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


def _without_optionals(batch):
    """Returns the batch with TensorFlow's optionals, which stand for a missing part, as `None`."""
    return tf.nest.map_structure(
        lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch
    )
