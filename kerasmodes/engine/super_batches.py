"""Data as super-batches: many batches stacked, `[K, batch, ...]`, as a loop in one program needs.

How a step runs on them is in `loops.py`; how many batches a super-batch holds, in `modes.py`.
"""

import itertools
import math
import typing
from typing import Any

import numpy as np
import tensorflow as tf

# Batches are stacked by tf.data's own kernels at 3 to 6 microseconds each; a function of Python's
# or TensorFlow's called for every batch costs 15 to 80.


class BatchRange(typing.NamedTuple):
    """Steps of one super-batch: the batches from `start` up to `stop`."""

    super_batch: object
    start: int
    stop: int


class SuperBatchReader:
    """One pass over data, handed out as lists of ranges.

    Args:
        super_batches: Iterator of nested tensors `[K, batch, ...]`, with `None` for missing parts.
        num_taken: Batches of the pass that come before these.

    Attributes:
        super_batches: The iterator.
        num_taken: Batches of the pass that were handed out.
        rest: What of the last super-batch was not handed out, a `BatchRange`, or `None`.
    """

    def __init__(self, super_batches, num_taken=0):
        self.super_batches = super_batches
        self.num_taken = num_taken
        self.rest = None

    def take(self, num_steps: int):
        """Returns ranges with `num_steps` batches in all; fewer where the data end."""
        ranges = []
        while num_steps > 0:
            if self.rest is None:
                super_batch = next(self.super_batches, None)
                if super_batch is None:
                    break
                self.rest = BatchRange(super_batch, 0, count_examples(super_batch))
            super_batch, start, stop = self.rest
            end = min(stop, start + num_steps)
            ranges.append(BatchRange(super_batch, start, end))
            num_steps -= end - start
            self.num_taken += end - start
            self.rest = None if end == stop else BatchRange(super_batch, end, stop)
        return ranges

    def skip(self, num_steps: int) -> None:
        """Leaves out so many batches."""
        self.take(num_steps)


def iterate_batches(ranges: list):
    """Yields the batches of ranges."""
    for super_batch, start, stop in ranges:
        for index in range(start, stop):
            # A gather costs a third of an index in brackets.
            yield _map(lambda part, index=index: tf.gather(part, index), super_batch)


def split(ranges: list, num_steps: int):
    """Returns the ranges of the first `num_steps` batches, and those of the others."""
    first, rest = [], []
    for super_batch, start, stop in ranges:
        middle = min(stop, start + max(0, num_steps))
        num_steps -= middle - start
        first += [BatchRange(super_batch, start, middle)] if middle > start else []
        rest += [BatchRange(super_batch, middle, stop)] if stop > middle else []
    return first, rest


def stack_arrays(
    arrays: Any,
    batch_size: int,
    num_batches: int,
    shuffle: bool | str,
    seed: Any,
    first_batch: int = 0,
):
    """Yields super-batches of up to `num_batches` batches from arrays; a smaller last batch apart.

    Args:
        arrays: Nested tensors `[examples, ...]`, with `None` for missing parts.
        batch_size: Examples in a batch.
        num_batches: Most batches of a super-batch.
        shuffle: As in `fit`: whether to shuffle the examples, or `"batch"` for those of each batch.
        seed: Sequence of ints from which the order follows: another one, another order; without
            an order, anything.
        first_batch: The batch of the pass to begin with.
    """
    order = find_order(count_examples(arrays), batch_size, shuffle, seed)
    first = first_batch * batch_size
    for start in range(first, count_examples(arrays), num_batches * batch_size):
        end = start + num_batches * batch_size
        if order is None:
            block = _map(lambda part, rows=slice(start, end): part[rows], arrays)
        else:
            block = _map(lambda part, rows=order[start:end]: tf.gather(part, rows), arrays)
        yield from _cut_block(block, batch_size)


class SuperBatchStream:
    """The super-batches of up to `num_batches` batches of a data set, an iterator.

    Batches of different shapes never share a super-batch; their order is kept. The data set's own
    iterator is made at once: one that shuffles in another order each time counts them.

    Args:
        dataset: A `tf.data.Dataset` of dense batches.
        num_batches: The most batches of a super-batch.

    Attributes:
        iterator: The `tf.data` iterator, of super-batches or of windows.
        stacked: Super-batches of the last window that were not handed out yet.
    """

    def __init__(self, dataset, num_batches):
        self._structure = structure = dataset.element_spec
        if any(not isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(structure)):
            dataset = dataset.map(_drop_missing)
        self._has_windows = not all(s.shape.is_fully_defined() for s in _tensor_specs(structure))
        grouped = dataset.window if self._has_windows else dataset.batch
        self.iterator = iter(grouped(num_batches).prefetch(1))
        self.stacked = []

    def __iter__(self):
        return self

    def __next__(self):
        while not self.stacked:
            element = next(self.iterator)
            if self._has_windows:
                # A window is let go before its super-batch is used: it holds the same data.
                self.stacked.extend(_stack_window(tuple(tf.nest.flatten(element))))
                del element
            else:
                return _restore_missing(element, self._structure)
        return _restore_missing(self.stacked.pop(0), self._structure)


def make_range(batch: Any, mode: str):
    """Returns the ranges of a single batch of arrays or tensors, as a mode needs them."""
    batch = remove_optionals(batch)
    check_dense([tf.type_spec_from_value(part) for part in _list_leaves(batch)], mode)
    super_batch = _map(lambda part: tf.convert_to_tensor(part)[tf.newaxis], batch)
    return [BatchRange(super_batch, 0, 1)]


def find_batch_size(structure: Any) -> int | None:
    """Returns the examples in a batch of these nested specs, or `None` if they do not tell."""
    sizes = {spec.shape[0] for spec in _tensor_specs(structure) if spec.shape.rank}
    return next((size for size in sizes if size), None)


def count_batch_bytes(structure: Any, batch_size: int | None) -> int:
    """Returns about how many bytes a batch of these nested specs holds.

    Args:
        structure: Nested `tf.TensorSpec` of a batch.
        batch_size: Length of the dimensions that the specs do not tell.
    """
    return sum(
        spec.dtype.size * math.prod(batch_size if size is None else size for size in spec.shape)
        for spec in _tensor_specs(structure)
        if spec.shape.rank is not None
    )


def check_dense(structure: Any, mode: str) -> None:
    """Raises a `ValueError` if batches of nested specs cannot be stacked, as a mode needs them."""
    unfit = _list_unfit(structure)
    if unfit:
        raise ValueError(
            f"{mode=} must be given dense, numeric batches of known rank. "
            f"Received: a batch with {unfit[0]}. Use mode='graph' for this data."
        )


def is_dense(structure: Any) -> bool:
    """Returns whether batches of these nested specs can be stacked to super-batches."""
    return not _list_unfit(structure)


def has_known_sizes(structure: Any) -> bool:
    """Returns whether nested specs tell all sizes of dense batches but the number of examples."""
    shapes = [spec.shape for spec in _tensor_specs(structure)]
    return all(shape.rank is not None and shape[1:].is_fully_defined() for shape in shapes)


def _list_unfit(structure):
    return [
        spec
        for spec in tf.nest.flatten(structure)
        if not (_is_dense_tensor(spec) or isinstance(spec, tf.OptionalSpec) or _is_missing(spec))
    ]


def find_order(num_examples, batch_size, shuffle, seed):
    """Returns the examples' order, or `None` for the order that they are in."""
    if not shuffle:
        return None
    generator = np.random.default_rng(seed)
    if shuffle != "batch":
        return generator.permutation(num_examples)
    starts = range(0, num_examples, batch_size)
    batches = [np.arange(start, min(start + batch_size, num_examples)) for start in starts]
    return np.concatenate([generator.permutation(batch) for batch in batches])


def _cut_block(block, batch_size):
    """Yields the whole batches of a block stacked, then the smaller one that is left."""
    num_batches, left = divmod(count_examples(block), batch_size)
    whole = num_batches * batch_size
    if whole:
        shape = [num_batches, batch_size]
        full = _map(lambda part: part[:whole], block) if left else block
        yield _map(lambda part: tf.reshape(part, [*shape, *part.shape[1:]]), full)
    if left:
        yield _map(lambda part: part[tf.newaxis, whole:], block)


def _stack_window(window):
    """Yields the batches of a window, stacked; one super-batch if their shapes are equal.

    Only the last batch is smaller as a rule, so it is looked at before the others are read singly.

    Args:
        window: A small data set for each component of the batches.
    """
    count = int(window[0].cardinality())
    first, last = _stack(window, 0, 1), _stack(window, count - 1, 1)
    try:
        if _list_shapes(first) == _list_shapes(last):
            yield _stack(window, 0, count)
        else:
            yield _stack(window, 0, count - 1)
            yield last
    except tf.errors.InvalidArgumentError:  # Their shapes differ.
        for _, run in itertools.groupby(tf.data.Dataset.zip(window), _list_shapes):
            yield tuple(tf.stack(parts) for parts in zip(*run, strict=True))


def _stack(window, start, count):
    return _stack_traced(window, tf.constant(start, tf.int64), tf.constant(count, tf.int64))


@tf.function(autograph=False)
def _stack_traced(window, start, count):
    return tuple(part.skip(start).take(count).batch(count).get_single_element() for part in window)


def _list_shapes(batch):
    return [part.shape for part in batch]


# As it is: of what TensorFlow converts, it writes files, which a killed program leaves.
@tf.autograph.experimental.do_not_convert
def _drop_missing(*batch):
    """Returns the tensors of a batch, without missing parts: empty optionals or `None`."""
    return tuple(part for part in tf.nest.flatten(batch) if isinstance(part, tf.Tensor))


def _restore_missing(parts, structure):
    """Returns the flat parts packed as `structure`, with `None` for what is missing in it."""
    parts = iter(_list_leaves(parts))
    return tf.nest.pack_sequence_as(
        structure,
        [next(parts) if isinstance(s, tf.TensorSpec) else None for s in tf.nest.flatten(structure)],
    )


def convert_batch(batch: Any):
    """Returns the batch of tensors, `None` for missing parts, of what an iterator hands out."""
    return tf.nest.map_structure(
        lambda part: tf.convert_to_tensor(part) if isinstance(part, np.ndarray) else part,
        remove_optionals(batch),
    )


def remove_optionals(batch: Any):
    """Returns the batch with `None` where Keras's data sets have an empty optional."""
    return tf.nest.map_structure(
        lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch
    )


def _map(function, batch):
    return tf.nest.map_structure(lambda part: None if part is None else function(part), batch)


def _list_leaves(batch):
    return [part for part in tf.nest.flatten(batch) if part is not None]


def count_examples(block: Any) -> int:
    """Returns the length of the first dimension of nested arrays."""
    return _list_leaves(block)[0].shape[0]


def _tensor_specs(structure):
    return [spec for spec in tf.nest.flatten(structure) if isinstance(spec, tf.TensorSpec)]


def _is_dense_tensor(spec):
    is_tensor = isinstance(spec, tf.TensorSpec) and spec.dtype != tf.string
    return is_tensor and spec.shape.rank is not None


def _is_missing(spec):
    return spec is None or type(spec).__name__ == "NoneTensorSpec"
