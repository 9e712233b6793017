"""One step an execution, as a `tf.function` on a batch of whatever kind.

Steps in a loop are in `fusing`, those in Python in `eager.py`.
"""

import functools

import numpy as np
import tensorflow as tf

from kerasmodes.engine import super_batches
from kerasmodes.engine.executors import xla_errors


def make_step_function(step, mode):
    """Returns the function of an iterator that runs one step as a `tf.function`."""
    compiled = tf.function(
        step if mode == "xla" else after_its_batch(step),
        autograph=False,
        reduce_retracing=True,
        jit_compile=True if mode == "xla" else None,
    )

    def on_batch(batch):
        return compiled(super_batches.without_optionals(batch))

    @tf.function(autograph=False, reduce_retracing=True)
    def on_iterator(iterator):
        return on_batch(iterator.get_next())

    def function(iterator):
        with xla_errors.explain_xla_error(mode):
            if isinstance(iterator, tf.data.Iterator):
                return on_iterator(iterator)
            return on_batch(next(iterator))

    return function


def after_its_batch(step):
    """Returns the step, held back until its batch is there, in tensors.

    In a graph, what does not depend on the batch (step counters, seeds) would else run once more
    when data of unknown length end, and the next epoch would see other numbers.
    """

    @functools.wraps(step)
    def waiting_step(data):
        data = in_tensors(data)
        with tf.control_dependencies(
            [part for part in tf.nest.flatten(data, expand_composites=True) if tf.is_tensor(part)]
        ):
            return step(data)

    return waiting_step


def in_tensors(batch):
    """Returns the batch in tensors; `train_on_batch` gives arrays."""
    return tf.nest.map_structure(
        lambda part: tf.convert_to_tensor(part) if isinstance(part, np.ndarray) else part, batch
    )
