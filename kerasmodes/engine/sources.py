"""The kinds of data that a reader reads: arrays, a data set stacked to super-batches, or as it is.

How executions are counted is in `readers.py`; what a data set is told, in `datasets.py`.
"""

import itertools
import random
from typing import Any

import tensorflow as tf

from kerasmodes import modes, replicas
from kerasmodes.engine import datasets, keras_private, shard_checks, super_batches

# Examples in a batch where a data set does not tell.
ASSUMED_BATCH_SIZE = 256


class ArraySource:
    """Arrays, whose super-batches are cut from memory.

    Attributes:
        length: Most batches of a super-batch.
        batch_size: Examples in a batch.
        element_spec: Nested specs of a batch.
        arrays: Nested tensors `[examples, ...]`, with `None` for missing parts.
    """

    is_stacked = True

    def __init__(self, adapter, arrays, strategy):
        if adapter.num_batches < 1:
            raise ValueError("`x` must hold at least one example. Received: 0 examples")
        self.batch_size = adapter.batch_size
        shard_checks.check_batch_size(strategy, self.batch_size)
        self.element_spec = find_specs(arrays, self.batch_size)
        batch_bytes = super_batches.count_batch_bytes(self.element_spec, self.batch_size)
        self.length = modes.count_batches_in_memory(adapter.num_batches, batch_bytes)
        self.arrays = arrays
        self._shuffle = keras_private.find_shuffle(adapter)
        # Python's generator: it draws the same in every mode, whatever else a step draws.
        self._seed = (
            replicas.broadcast_from_chief(strategy, random.getrandbits(64))
            if self._shuffle
            else None
        )
        self._next_pass = 0

    def open(self):
        return super_batches.SuperBatchReader(self._read_super_batches())

    def skip_epochs(self, number: int, num_batches: int | None) -> None:
        self._next_pass += number

    def _read_super_batches(self):
        # Numbered when it is first read: a pass that is not read has no order.
        number = self._next_pass
        self._next_pass += 1
        yield from super_batches.stack_arrays(
            self.arrays, self.batch_size, self.length, self._shuffle, (self._seed, number)
        )


class BatchSource:
    """A data set whose batches are read one by one.

    Attributes:
        dataset: A `tf.data.Dataset`, or a distributed one.
        element_spec: Nested specs of a batch, or `None` if it is not known.
    """

    is_stacked = False

    def __init__(self, dataset, element_spec):
        self.dataset = dataset
        self.element_spec = element_spec

    def open(self):
        return Batches(iter(self.dataset))

    def skip_epochs(self, number: int, num_batches: int | None) -> None:
        datasets.skip_epochs(self.dataset, number, num_batches)


class StreamSource:
    """A data set of dense batches, stacked to super-batches while they are read.

    Attributes:
        dataset: The `tf.data.Dataset`.
        length: Most batches of a super-batch.
        batch_size: Examples in a batch, or about as many.
        element_spec: Nested specs of a batch.
    """

    is_stacked = True

    def __init__(self, dataset, num_batches, asked, strategy):
        self.dataset = dataset
        self.element_spec = dataset.element_spec
        batch_size = super_batches.find_batch_size(dataset.element_spec)
        shard_checks.check_batch_size(strategy, batch_size)
        self.batch_size = batch_size or ASSUMED_BATCH_SIZE
        batch_bytes = super_batches.count_batch_bytes(dataset.element_spec, self.batch_size)
        length = modes.count_batches_of_stream(num_batches, batch_bytes)
        self.length = min(length, asked) if asked else length

    def open(self):
        stacked = super_batches.stack_batches(self.dataset, self.length)
        return super_batches.SuperBatchReader(stacked)

    def skip_epochs(self, number: int, num_batches: int | None) -> None:
        datasets.skip_epochs(self.dataset, number, num_batches)


class Batches:
    """One pass over a data set, batch by batch.

    Args:
        iterator: Iterator of a `tf.data.Dataset`, or of a distributed one.
    """

    def __init__(self, iterator):
        self._iterator = iterator

    def take(self, num_steps: int):
        """Returns the iterator, of which an executor takes so many batches."""
        return self._iterator

    def skip(self, num_steps: int) -> None:
        for _ in itertools.islice(self._iterator, num_steps):
            pass


def find_specs(arrays: Any, batch_size: int | None):
    """Returns nested specs of batches of arrays; of what is not dense, its own."""

    def spec_of(part):
        if isinstance(part, tf.Tensor):
            return tf.TensorSpec([batch_size, *part.shape[1:]], part.dtype)
        return part if part is None else tf.type_spec_from_value(part)

    return tf.nest.map_structure(spec_of, arrays)
