"""Data for `fit`, `evaluate` and `predict`, read execution by execution and epoch by epoch.

What runs on them is in `functions.py`; how many batches a super-batch holds, in `modes.py`.
"""

import contextlib
import functools
import itertools
import random
import warnings

import keras
import tensorflow as tf

from kerasmodes import modes, replicas
from kerasmodes.engine import datasets, keras_private, replication, super_batches

# Examples in a batch where a data set does not tell.
ASSUMED_BATCH_SIZE = 256

RAN_OUT = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator "
    "can generate at least `steps_per_epoch * epochs` batches. You may need to use the `.repeat()` "
    "function when building your dataset."
)


class Reader:
    """One set of data, read by the steps of a model.

    Executions are counted as in Keras: all of K steps, also where K does not divide the epoch, so
    the last one may run into the next epoch's data or end with the data. In mode `"fused"` (and
    `"auto"`) they end with the epoch: no step runs that was not asked for.

    Args:
        model: The model whose steps read.
        x, y, sample_weight, batch_size, steps_per_epoch, class_weight: As in `fit`.
        shuffle: As in `fit`; `None` shuffles where Keras can.
    """

    def __init__(
        self,
        model,
        x,
        y=None,
        sample_weight=None,
        batch_size=None,
        steps_per_epoch=None,
        shuffle=False,
        class_weight=None,
    ):
        if shuffle is None:
            shuffle = keras_private.can_shuffle(x, y, sample_weight)
        self.steps_per_epoch = _limit_steps(steps_per_epoch)
        self.adapter = keras_private.get_data_adapter(
            x,
            y,
            sample_weight=sample_weight,
            batch_size=batch_size,
            steps_per_epoch=self.steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
        )
        self._model = model
        self._strategy = model.distribute_strategy
        self._steps_per_execution = model.steps_per_execution
        self._selector = None
        self._num_batches = self.adapter.num_batches
        self._pass, self._steps_seen = None, 0
        self._source = self._make_source()

    @property
    def num_batches(self):
        """Batches of an epoch, or `None` as long as that is unknown."""
        return self.steps_per_epoch or self._num_batches

    @property
    def element_spec(self):
        """Nested specs of a batch, or `None` for a data set that is distributed already."""
        return self._source.element_spec

    @property
    def is_dense(self):
        """Whether the batches can be stacked to super-batches."""
        return self.element_spec is not None and super_batches.is_dense(self.element_spec)

    @property
    def is_in_memory(self):
        """Whether the data are arrays."""
        return isinstance(self._source, ArraySource)

    def read_local_batch(self):
        """Returns a batch of a distributed data set, of this process's first replica."""
        batch = next(iter(self._source.dataset))
        local = self._strategy.experimental_local_results
        return tf.nest.map_structure(lambda part: local(part)[0], batch)

    def reset(self):
        """Begins the data again, as Keras does at the start of each call."""
        self._num_batches = self.adapter.num_batches
        self._pass, self._steps_seen = None, 0
        self.adapter.on_epoch_end()

    def select_mode_with(self, selector, num_epochs, verbose):
        """Lets executions be as long as a selector of modes wants them.

        Args:
            selector: A `choosing.Chooser`.
            num_epochs: Epochs of the fit.
            verbose: That of the fit.
        """
        self._source = self._stack()
        self._selector = selector
        num_steps = self.num_batches and num_epochs * self.num_batches
        selector.begin(num_steps, self._source.length, self._asked, verbose)

    def skip_epochs(self, number):
        """Goes to where the data stand after some epochs, for a fit that goes on in a new program.

        A data set that shuffles in another order each time counts its iterators.
        """
        self._source.skip_epochs(0 if self.steps_per_epoch else number, self._num_batches)
        if self.steps_per_epoch and number:
            self._open()
            self._pass.skip(number * self.steps_per_epoch)

    @contextlib.contextmanager
    def catch_end(self):
        """Ends an epoch where the data end, with Keras's warning."""
        try:
            yield
        except (StopIteration, tf.errors.OutOfRangeError):
            if self._num_batches is None:
                self._num_batches = self._steps_seen
            warnings.warn(RAN_OUT, stacklevel=2)
            self._pass = None
            self.adapter.on_epoch_end()

    def executions(self):
        """Yields, for each execution of an epoch, its first step, its last one, and a function.

        The function reads the data: a list of `fusing.Piece` or of batches, or an iterator of one
        batch. It raises a `StopIteration` if there are none left.
        """
        self.adapter.on_epoch_begin()
        is_exact = self._source.is_stacked and self._model.ends_executions_with_epoch
        yield from self._count_exactly() if is_exact else self._count_as_keras()
        self.adapter.on_epoch_end()

    def _count_as_keras(self):
        length = self._steps_per_execution
        steps = self.steps_per_epoch or self._num_batches or None
        if self._pass is None or not self.steps_per_epoch:
            self._open()
        for step in range(0, steps, length) if steps else itertools.count(0, length):
            if self._num_batches and self._steps_seen >= self._num_batches:
                if self.steps_per_epoch:
                    warnings.warn(RAN_OUT, stacklevel=2)
                break
            self._steps_seen += length
            yield step, step + length - 1, functools.partial(self._read, length)
        self._begin_again()

    def _count_exactly(self):
        steps = self.steps_per_epoch or self._num_batches or None
        if self._pass is None or not self.steps_per_epoch:
            self._open()
        step = 0
        while steps is None or step < steps:
            wanted = self._next_steps() if steps is None else min(self._next_steps(), steps - step)
            taken = [self._take(wanted)]
            count = _count_steps(taken[0])
            if count:
                # Whoever reads takes the only reference: data are let go as soon as they have run.
                yield step, step + count - 1, taken.pop
            step += count
            self._steps_seen += count
            if count < wanted:
                self._pass = None
                if steps is not None or not step:
                    warnings.warn(RAN_OUT, stacklevel=2)
                self._num_batches = self._num_batches or step or None
                break
        self._begin_again()

    def _next_steps(self):
        """Returns how many steps the next execution runs at the most."""
        if self._selector:
            return self._selector.next_steps()
        if self._asked:
            return self._asked
        if not self._steps_seen and not keras_private.has_all_weights(self._model):
            return 1  # Only a step tells how much work one is.
        num_weights = sum(weight.shape.num_elements() for weight in self._model.weights)
        length = modes.steps_of_execution(num_weights, self._source.batch_size)
        return min(self._source.length, length)

    def _begin_again(self):
        """Opens the data again when they have ended, as Keras does.

        Keras needs it only for epochs of `steps_per_epoch`; but a data set that shuffles in another
        order each time counts the iterator, and would otherwise give other epochs than in Keras.
        Where the length was unknown, Keras never gets there: it counts the execution that failed.
        """
        if self.adapter.num_batches and self._steps_seen >= self._num_batches:
            self._open()

    def _open(self):
        self._pass, self._steps_seen = self._source.open(), 0
        self._shards = replication.Parts(self._strategy)

    def _read(self, num_steps):
        data = self._take(num_steps)
        if not _count_steps(data):
            raise StopIteration
        return data

    def _take(self, num_steps):
        data = self._pass.take(num_steps)
        if self._source.is_stacked:
            self._shards.check(data)
        return data

    @property
    def _asked(self):
        """Steps of an execution that the user asked for, or `None` where they are to be found."""
        finds = self._model._finds_steps_per_execution
        in_mode = self._model.mode in ("fused", modes.AUTO)
        return None if finds and in_mode else self._steps_per_execution

    def _make_source(self):
        arrays = keras_private.arrays_of(self.adapter)
        if arrays is not None and super_batches.is_dense(_specs_of(arrays, None)):
            return ArraySource(self.adapter, arrays, self._strategy)
        dataset = self.adapter.get_tf_dataset()
        if not isinstance(dataset, tf.data.Dataset):
            self._refuse_unless_single_steps(dataset)
            return BatchSource(dataset, None)
        dataset = datasets.disable_autotuner(dataset)
        is_shared = self._strategy.num_replicas_in_sync > 1
        if not super_batches.is_dense(dataset.element_spec):
            self._refuse_unless_single_steps(dataset)
            spec = dataset.element_spec
            if is_shared:
                dataset = self._strategy.experimental_distribute_dataset(dataset)
            return BatchSource(dataset, spec)
        source = BatchSource(dataset, dataset.element_spec)
        mode = self._model.mode
        in_loop = self._steps_per_execution > 1 and mode != "eager"
        return self._stack(source) if is_shared or in_loop or mode == "fused" else source

    def _stack(self, source=None):
        """Returns the source whose batches are stacked to super-batches."""
        source = source or self._source
        if source.is_stacked:
            return source
        return StreamSource(source.dataset, self.num_batches, self._asked, self._strategy)

    def _refuse_unless_single_steps(self, dataset):
        """Raises if data that cannot be stacked cannot be had in this mode."""
        is_dataset = isinstance(dataset, tf.data.Dataset)
        if self._model.mode == "fused" and is_dataset:
            super_batches.check_dense(dataset.element_spec)
        is_shared = self._strategy.num_replicas_in_sync > 1
        in_loop = is_shared and self._steps_per_execution > 1
        if in_loop or replicas.num_workers(self._strategy) > 1:
            received = dataset.element_spec if is_dataset else "a distributed data set"
            raise ValueError(
                "Data must be a tf.data.Dataset of dense global batches, or arrays, to be shared "
                f"out to several workers, or with steps_per_execution above 1. Received: {received}"
            )


class ArraySource:
    """Arrays, whose super-batches are cut from memory.

    Attributes:
        length: Most batches of a super-batch.
        batch_size: Examples in a batch.
        element_spec: Nested specs of a batch.
    """

    is_stacked = True

    def __init__(self, adapter, arrays, strategy):
        if adapter.num_batches < 1:
            raise ValueError("`x` must hold at least one example. Received: 0 examples")
        self.batch_size = adapter.batch_size
        replication.check_batch_size(strategy, self.batch_size)
        self.element_spec = _specs_of(arrays, self.batch_size)
        batch_bytes = super_batches.bytes_of_a_batch(self.element_spec, self.batch_size)
        self.length = modes.batches_in_memory(adapter.num_batches, batch_bytes)
        self._arrays = arrays
        self._shuffle = keras_private.shuffle_of(adapter)
        # Python's generator: it draws the same in every mode, whatever else a step draws.
        self._seed = (
            replicas.broadcast_from_chief(strategy, random.getrandbits(64))
            if self._shuffle
            else None
        )
        self._next_pass = 0

    def open(self):
        return super_batches.Pieces(self._read_super_batches())

    def skip_epochs(self, number, num_batches):
        self._next_pass += number

    def _read_super_batches(self):
        # Numbered when it is first read: a pass that is not read has no order.
        number = self._next_pass
        self._next_pass += 1
        yield from super_batches.of_arrays(
            self._arrays, self.batch_size, self.length, self._shuffle, (self._seed, number)
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

    def skip_epochs(self, number, num_batches):
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
        batch_size = super_batches.batch_size_of(dataset.element_spec)
        replication.check_batch_size(strategy, batch_size)
        self.batch_size = batch_size or ASSUMED_BATCH_SIZE
        batch_bytes = super_batches.bytes_of_a_batch(dataset.element_spec, self.batch_size)
        length = modes.batches_of_stream(num_batches, batch_bytes)
        self.length = min(length, asked) if asked else length

    def open(self):
        return super_batches.Pieces(super_batches.of_batches(self.dataset, self.length))

    def skip_epochs(self, number, num_batches):
        datasets.skip_epochs(self.dataset, number, num_batches)


class Batches:
    """One pass over a data set, batch by batch.

    Args:
        iterator: Iterator of a `tf.data.Dataset`, or of a distributed one.
    """

    def __init__(self, iterator):
        self._iterator = iterator

    def take(self, num_steps):
        """Returns the iterator for one step, which a graph reads from; otherwise a list of batches.

        A distributed iterator is read by Keras, several steps too.
        """
        if num_steps == 1 or isinstance(self._iterator, tf.distribute.DistributedIterator):
            return self._iterator
        return list(itertools.islice(self._iterator, num_steps))

    def skip(self, num_steps):
        for _ in itertools.islice(self._iterator, num_steps):
            pass


def _limit_steps(steps_per_epoch):
    """Returns the steps of an epoch under Keras's switch for dry runs."""
    most = keras.config.max_steps_per_epoch()
    if not most or (steps_per_epoch and steps_per_epoch <= most):
        return steps_per_epoch
    warnings.warn(f"Limiting steps_per_epoch to {most}", stacklevel=3)
    return most


def _specs_of(arrays, batch_size):
    """Returns nested specs of batches of arrays; of what is not dense, its own."""

    def spec_of(part):
        if isinstance(part, tf.Tensor):
            return tf.TensorSpec([batch_size, *part.shape[1:]], part.dtype)
        return part if part is None else tf.type_spec_from_value(part)

    return tf.nest.map_structure(spec_of, arrays)


def _count_steps(data):
    """Returns the steps in what a pass has handed out; 1 for an iterator, which knows no end."""
    if not isinstance(data, list):
        return 1
    return sum(
        part.stop - part.start if isinstance(part, super_batches.Piece) else 1 for part in data
    )
