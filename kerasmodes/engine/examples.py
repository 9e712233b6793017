"""Data that are read example by example, where they are used: what `km.data.from_source` returns.

They are read as arrays are, in the same batches and orders, but only for the worker's own shards.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import modes, replicas
from kerasmodes.engine import keras_private, shard_checks, sources, super_batches

# Batches that are read ahead, at least those of one super-batch.
READ_AHEAD = 10


class Examples(keras.utils.PyDataset):
    """Batches of the examples of a source.

    Keras reads whole batches of it, in the order of the source; a model with modes, examples.

    Args:
        source: What has `len(source)` examples `source[index]`.
        batch_size: Examples in a batch.
        map_func: Function of an example and a `np.random.Generator`, or `None`.
        num_threads: Examples that are read at a time.
        check: Function of a batch that raises if it is not as it must be, or `None`.

    Attributes:
        source, batch_size, num_threads: As above.
    """

    def __init__(
        self,
        source: Any,
        batch_size: int,
        map_func: Callable | None = None,
        num_threads: int = 1,
        check: Callable | None = None,
    ) -> None:
        super().__init__()  # With more workers, threads of Keras's would read whole batches.
        self.source, self.batch_size, self.num_threads = source, batch_size, num_threads
        self._map_func, self._check = map_func, check

    def __len__(self) -> int:
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, index: int) -> Any:
        start = index * self.batch_size
        return self.read(range(start, min(start + self.batch_size, len(self.source))))

    def add_check(self, check: Callable):
        """Returns the same examples, each batch or part of one being checked when it is read.

        Args:
            check: Function of a batch.
        """
        return Examples(self.source, self.batch_size, self._map_func, self.num_threads, check)

    @functools.cached_property
    def specs(self) -> Any:
        """Nested `tf.TensorSpec` of an example: those of the first one."""
        example = self._read_example(0, (0,))
        return tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), example)

    @functools.cached_property
    def _form(self):
        return show_form(self.specs)

    def read(self, places: Sequence[int], seed: tuple[int, ...] = ()) -> Any:
        """Returns some examples as nested arrays `[examples, ...]`.

        Args:
            places: The numbers of the examples.
            seed: Integers from which, with the number of an example, its random numbers follow.
        """
        examples = [self._read_checked(int(place), seed) for place in places]
        batch = tf.nest.map_structure(lambda *parts: np.stack(parts), *examples)
        if self._check is not None:
            self._check(batch)
        return batch

    def _read_checked(self, place, seed):
        example = self._read_example(place, (*seed, place))
        if show_form(example) != self._form:
            raise ValueError(
                f"Each example of `source` must be as the first one: {self._form}. "
                f"Received: {show_form(example)} in source[{place}]"
            )
        return example

    def _read_example(self, place, seed):
        example = _call_for_example(f"source[{place}]", operator.getitem, self.source, place)
        if self._map_func is not None:
            name, generator = f"`map_func` of source[{place}]", np.random.default_rng(seed)
            example = _call_for_example(name, self._map_func, example, generator)
        return tf.nest.map_structure(
            functools.partial(_to_array, place=place), keras.tree.lists_to_tuples(example)
        )


def check_batch_size(x: Any, batch_size: int | None) -> None:
    """Raises a `ValueError` if `fit` is given another batch size than that of the examples.

    Args:
        x: The inputs, or all data.
        batch_size: As in `fit`.
    """
    if isinstance(x, Examples) and batch_size not in (None, x.batch_size):
        raise ValueError(
            "`batch_size` must be given to km.data.from_source. "
            f"Received: batch_size={batch_size} for data with batch_size={x.batch_size}"
        )


class ExampleSource(sources.NumberedSource):
    """The examples of a source, of which super-batches are read by threads.

    Each worker reads its own shards. What else a batch has is 0.

    Args:
        adapter: Keras's adapter of `Examples`.
        strategy: The model's strategy.
        asked: Steps of an execution that were asked for, or `None`.
    """

    def __init__(self, adapter: Any, strategy: tf.distribute.Strategy, asked: int | None) -> None:
        self._adapter, self._examples = adapter, adapter.py_dataset
        self.batch_size = self._examples.batch_size
        shard_checks.check_batch_size(strategy, self.batch_size)
        super().__init__(keras_private.find_shuffle(adapter), strategy)
        num_examples, form = len(self._examples.source), show_form(self._examples.specs)
        shard_checks.check_same_source(strategy, num_examples, str(form))
        self._shards = replicas.own_shards(strategy)
        self._num_shards = strategy.num_replicas_in_sync
        self.element_spec = self._find_specs()
        batch_bytes = super_batches.count_batch_bytes(self.element_spec, self.batch_size)
        length = modes.count_batches_of_stream(len(self._examples), batch_bytes)
        self.length = min(length, asked) if asked else length

    def take_batch(self):
        block = next(self._list_blocks(0, length=1))
        with concurrent.futures.ThreadPoolExecutor(self._examples.num_threads) as pool:
            super_batch = self._begin(pool, None, (), block).finish()
        return super_batches.SuperBatchReader(iter([super_batch])).take(1)

    def _stack(self, number, first_batch=0):
        seed = (self._seed, number) if self._shuffle else ()
        order = super_batches.find_order(
            len(self._examples.source), self.batch_size, self._shuffle, (self._seed, number)
        )
        blocks = self._list_blocks(first_batch, self.length)
        pool = concurrent.futures.ThreadPoolExecutor(self._examples.num_threads)
        begin = functools.partial(self._begin, pool, order, seed)
        try:
            num_ahead = math.ceil(READ_AHEAD / self.length)
            begun = collections.deque(map(begin, itertools.islice(blocks, num_ahead)))
            while begun:
                begun.extend(map(begin, itertools.islice(blocks, 1)))
                yield begun.popleft().finish()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _find_specs(self):
        """Returns nested specs of batches, with what Keras adds to them."""
        _check_parts(self._examples.specs)
        zeros = tf.nest.map_structure(
            lambda spec: np.zeros([1, *spec.shape], spec.dtype.as_numpy_dtype), self._examples.specs
        )
        batch = keras_private.standardize_batch(self._adapter, zeros)
        if isinstance(batch, tuple):  # Keras makes one of inputs alone; of arrays it does not.
            batch = keras.utils.pack_x_y_sample_weight(*batch)
        return sources.find_specs(
            tf.nest.map_structure(tf.convert_to_tensor, batch), self.batch_size
        )

    def _list_blocks(self, first_batch, length):
        """Yields the examples of super-batches, `[K, batch]`; a smaller last batch apart."""
        num_examples, size = len(self._examples.source), self.batch_size
        whole = num_examples // size
        for start in range(first_batch, whole, length):
            stop = min(start + length, whole)
            yield np.arange(start * size, stop * size).reshape(-1, size)
        if num_examples % size and first_batch <= whole:
            yield np.arange(whole * size, num_examples).reshape(1, -1)

    def _begin(self, pool, order, seed, block):
        """Lets threads read a super-batch; returns it."""
        places = block if order is None else order[block]
        size = places.shape[1]
        own = range(size)
        if size % self._num_shards == 0:
            each = size // self._num_shards
            own = range(self._shards.start * each, self._shards.stop * each)
        begun = _SuperBatch.allocate(self.element_spec, places.shape)
        num_parts = min(len(own), self._examples.num_threads)
        for number, rows in itertools.product(range(len(places)), np.array_split(own, num_parts)):
            part = slice(rows[0], rows[-1] + 1)
            begun.futures.append(
                pool.submit(self._fill, begun.arrays, (number, part), places[number, part], seed)
            )
        return begun

    def _fill(self, arrays, part, places, seed):
        batch = self._examples.read(places, seed)
        batch = tf.nest.flatten(keras_private.standardize_batch(self._adapter, batch))
        for array, values in zip(arrays, batch, strict=True):
            array[part] = values


@dataclasses.dataclass
class _SuperBatch:
    """A super-batch that is being read.

    Args:
        structure: Nested specs of a batch.
        arrays: Its parts.
        futures: What fills them.
    """

    structure: Any
    arrays: list
    futures: list = dataclasses.field(default_factory=list)

    @classmethod
    def allocate(cls, structure, shape):
        specs = tf.nest.flatten(structure)
        return cls(
            structure,
            [np.zeros([*shape, *one.shape[1:]], one.dtype.as_numpy_dtype) for one in specs],
        )

    def finish(self):
        for future in self.futures:
            future.result()
        with tf.device("CPU:0"):
            tensors = [tf.convert_to_tensor(array) for array in self.arrays]
        return tf.nest.pack_sequence_as(self.structure, tensors)


def _call_for_example(name, function, *values):
    """Returns what a function of the user's returns; an error of its own tells the example."""
    try:
        return function(*values)
    except StopIteration as error:  # A generator that reads would turn it into words of its own.
        raise RuntimeError(
            "`source` must give an example for each number below its length. "
            f"Received: StopIteration from {name}"
        ) from error
    except Exception as error:
        error.add_note(f"It was raised by {name}.")
        raise


def _check_parts(example):
    if isinstance(example, tuple) and len(example) not in (1, 2, 3):
        raise ValueError(
            "Examples of `source` must be `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`. "
            f"Received: a tuple of {len(example)} in source[0]. `map_func` may return others."
        )


def _to_array(value, place):
    """Returns a number or an array as `fit` has it of arrays: of floats, those of Keras."""
    array = np.asarray(value)
    if array.dtype.kind in "OSUV" and array.dtype != tf.bfloat16.as_numpy_dtype:
        raise ValueError(
            "Examples of `source` must be nested arrays and numbers. "
            f"Received: a {type(value).__name__} in source[{place}]. "
            "`map_func` may return others."
        )
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(array.dtype))
    return array.astype(keras.config.floatx(), copy=False) if is_float else array


def show_form(example: Any):
    """Returns an example, or its specs, in words: dtypes and shapes in its structure."""
    return tf.nest.map_structure(
        lambda part: f"{tf.as_dtype(part.dtype).name}{list(part.shape)}", example
    )
