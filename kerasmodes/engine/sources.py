"""The kinds of data that a reader reads: arrays, a data set stacked to super-batches, or as it is.

How executions are counted is in `readers.py`; what a data set is told, and how the place of its
iterator is saved, in `datasets.py`.
"""

import itertools
import pathlib
import random
from typing import Any

import tensorflow as tf

from kerasmodes import modes, replicas
from kerasmodes.engine import datasets, keras_private, shard_checks, super_batches

# Examples in a batch where a data set does not tell.
ASSUMED_BATCH_SIZE = 256


class NumberedSource:
    """Examples that can be had by their numbers, as can the passes over them.

    The order of a pass follows from a seed and its number, so a place in it is a number, too.

    Args:
        shuffle: As in `fit`.
        strategy: The model's strategy.

    Attributes:
        length: Most batches of a super-batch.
        batch_size: Examples in a batch.
        element_spec: Nested specs of a batch.
    """

    is_stacked = True

    def __init__(self, shuffle, strategy):
        self._shuffle = shuffle
        # Python's generator: it draws the same in every mode, whatever else a step draws.
        self._seed = (
            replicas.broadcast_from_chief(strategy, random.getrandbits(64)) if shuffle else None
        )
        self._next_pass = 0

    def open(self):
        return super_batches.SuperBatchReader(self._read_super_batches())

    def skip_passes(self, number: int) -> None:
        self._next_pass += number

    def capture(self, reader: Any, folder: pathlib.Path) -> dict[str, Any]:
        """Returns where a pass stands, for `reopen`; `None` stands for no pass."""
        num_taken = reader.num_taken if reader else 0
        number = self._next_pass - 1 if num_taken else self._next_pass
        return {"kind": "arrays", "seed": self._seed, "pass": number, "batches": num_taken}

    def reopen(self, state: dict[str, Any], folder: pathlib.Path):
        """Returns the pass that `capture` described, and why data are read again for it: `None`."""
        self._seed, self._next_pass, num_taken = state["seed"], state["pass"], state["batches"]
        if not num_taken:
            return self.open(), None
        self._next_pass += 1
        rest = self._stack(state["pass"], num_taken)
        return super_batches.SuperBatchReader(rest, num_taken), None

    def _read_super_batches(self):
        # Numbered when it is first read: a pass that is not read has no order.
        number = self._next_pass
        self._next_pass += 1
        yield from self._stack(number)


class ArraySource(NumberedSource):
    """Arrays, whose super-batches are cut from memory.

    Attributes:
        arrays: Nested tensors `[examples, ...]`, with `None` for missing parts.
    """

    def __init__(self, adapter, arrays, strategy):
        if adapter.num_batches < 1:
            raise ValueError("`x` must hold at least one example. Received: 0 examples")
        self.batch_size = adapter.batch_size
        shard_checks.check_batch_size(strategy, self.batch_size)
        self.element_spec = find_specs(arrays, self.batch_size)
        batch_bytes = super_batches.count_batch_bytes(self.element_spec, self.batch_size)
        self.length = modes.count_batches_in_memory(adapter.num_batches, batch_bytes)
        self.arrays = arrays
        super().__init__(keras_private.find_shuffle(adapter), strategy)

    def take_batch(self):
        """Returns the first batch, as an executor takes it, without disturbing the passes."""
        return super_batches.SuperBatchReader(
            super_batches.stack_arrays(self.arrays, self.batch_size, 1, False, None)
        ).take(1)

    def _stack(self, number, first_batch=0):
        return super_batches.stack_arrays(
            self.arrays,
            self.batch_size,
            self.length,
            self._shuffle,
            (self._seed, number),
            first_batch,
        )


class DatasetSource:
    """A data set, each pass over which is an iterator of it.

    Attributes:
        dataset: A `tf.data.Dataset`, or a distributed one.
        num_opened: The iterators that were made.
        kind: What its iterators give, in words: the place of another kind is no place for them.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.num_opened = 0
        self._spare = None  # A pass that was opened to build or restore, and is good for one more.
        self._reason = None  # Why the place of an iterator cannot be saved.

    def open(self):
        self.num_opened += 1
        return self.make_pass()

    def take_batch(self):
        """Returns the first batch, as an executor takes it, without disturbing the passes."""
        self._spare = self.open()
        data = self._spare.take(1)
        return data if isinstance(data, list) else iter([next(data)])

    def capture(self, reader: Any, folder: pathlib.Path) -> dict[str, Any]:
        """Returns where a pass stands, for `reopen`, and writes its iterator into a folder."""
        state = {"kind": self.kind, "passes": self.num_opened}
        if reader is None:
            return {**state, "batches": None}
        if self._reason is None:
            self._reason = datasets.save_iterator(reader.iterator, folder)
        reason = self._reason
        if reason is None and self.num_opened == 1:
            reason = datasets.find_end_of_pass(self.dataset, reader.num_taken)
        rest = reader.list_rest() if reason is None else []
        return {**state, "batches": reader.num_taken, "rest": rest, "reason": reason}

    def reopen(self, state: dict[str, Any], folder: pathlib.Path):
        """Returns the pass that `capture` described, and why data are read again for it, if so."""
        num_passes, num_taken = state["passes"], state["batches"]
        if num_taken is None:
            self.count_up_to(num_passes)
            return None, None
        reason = state["reason"]
        if reason is None and state["kind"] != self.kind:
            reason = f"its place was saved as that of {state['kind']}, not of {self.kind}"
        if reason is not None:
            return self._read_again(num_passes, num_taken), reason if num_taken else None
        # To restore one iterator, TensorFlow makes another. If the data had ended, it counts.
        self.count_up_to(num_passes - 2 if self._spare is None else num_passes - 1)
        reader = self._spare or self.open()
        reason = datasets.restore_iterator(reader.iterator, folder)
        if reason is not None:
            self._spare = reader
            return self._read_again(num_passes, num_taken), reason if num_taken else None
        reader.give_rest(state["rest"], num_taken)
        self.num_opened = num_passes
        return reader, None

    def _read_again(self, num_passes, num_taken):
        if self._spare is not None and num_passes == 1:
            self._spare.skip(num_taken - self._spare.num_taken)
            return self._spare
        self.count_up_to(num_passes - 1)
        reader = self.open()
        reader.skip(num_taken)
        return reader

    def count_up_to(self, number: int) -> None:
        """Makes iterators until there were so many.

        A data set that shuffles in another order each time counts them.
        """
        while self.num_opened < number:
            self.num_opened += 1
            iter(self.dataset)


class BatchSource(DatasetSource):
    """A data set whose batches are read one by one.

    Attributes:
        element_spec: Nested specs of a batch, or `None` if it is not known.
    """

    is_stacked = False
    kind = "batches"

    def __init__(self, dataset, element_spec):
        super().__init__(dataset)
        self.element_spec = element_spec

    def make_pass(self):
        return Batches(iter(self.dataset))


class StreamSource(DatasetSource):
    """A data set of dense batches, stacked to super-batches while they are read.

    Attributes:
        length: Most batches of a super-batch.
        batch_size: Examples in a batch, or about as many.
        element_spec: Nested specs of a batch.
    """

    is_stacked = True

    def __init__(self, dataset, num_batches, asked, strategy):
        super().__init__(dataset)
        self.element_spec = dataset.element_spec
        batch_size = super_batches.find_batch_size(dataset.element_spec)
        shard_checks.check_batch_size(strategy, batch_size)
        self.batch_size = batch_size or ASSUMED_BATCH_SIZE
        batch_bytes = super_batches.count_batch_bytes(dataset.element_spec, self.batch_size)
        length = modes.count_batches_of_stream(num_batches, batch_bytes)
        self.length = min(length, asked) if asked else length

    @property
    def kind(self):
        return f"super-batches of {self.length}"

    def make_pass(self):
        return SuperBatches(super_batches.SuperBatchStream(self.dataset, self.length))


class SuperBatches(super_batches.SuperBatchReader):
    """One pass over a data set, in super-batches; its place is that of the iterator and a rest."""

    @property
    def iterator(self):
        return self.super_batches.iterator

    def list_rest(self) -> list:
        """Returns the super-batches that the iterator has given, but that were not handed out."""
        rest = list(self.super_batches.stacked)
        if self.rest is None:
            return rest
        super_batch, start, stop = self.rest
        parts = [part[start:stop] for part in tf.nest.flatten(super_batch) if part is not None]
        return [parts, *map(list, rest)]

    def give_rest(self, rest: list, num_taken: int) -> None:
        """Takes what `list_rest` has returned for a pass of so many batches handed out."""
        self.super_batches.stacked = [tuple(map(tf.convert_to_tensor, parts)) for parts in rest]
        self.rest, self.num_taken = None, num_taken


class Batches:
    """One pass over a data set, batch by batch.

    Args:
        iterator: Iterator of a `tf.data.Dataset`, or of a distributed one.
    """

    def __init__(self, iterator):
        self.iterator = iterator
        self.num_taken = 0

    def take(self, num_steps: int):
        """Returns the iterator, of which an executor takes so many batches."""
        self.num_taken += num_steps
        return self.iterator

    def skip(self, num_steps: int) -> None:
        self.num_taken += num_steps
        for _ in itertools.islice(self.iterator, num_steps):
            pass

    def list_rest(self) -> list:
        return []

    def give_rest(self, rest: list, num_taken: int) -> None:
        self.num_taken = num_taken


def find_specs(arrays: Any, batch_size: int | None):
    """Returns nested specs of batches of arrays; of what is not dense, its own."""

    def spec_of(part):
        if isinstance(part, tf.Tensor):
            return tf.TensorSpec([batch_size, *part.shape[1:]], part.dtype)
        return part if part is None else tf.type_spec_from_value(part)

    return tf.nest.map_structure(spec_of, arrays)
