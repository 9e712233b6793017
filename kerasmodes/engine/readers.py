"""Data for `fit`, `evaluate` and `predict`, read execution by execution and epoch by epoch.

What runs on them is in `executors`; how many steps an execution has, in `execution_length.py`.
"""

import contextlib
import functools
import itertools
import pathlib
import time
import warnings
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import modes, replicas
from kerasmodes.engine import (
    adapter_calls,
    data_checks,
    datasets,
    examples,
    execution_length,
    keras_private,
    random_states,
    shard_checks,
    sources,
    super_batches,
    value_ranges,
)

RAN_OUT = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator "
    "can generate at least `steps_per_epoch * epochs` batches. You may need to use the `.repeat()` "
    "function when building your dataset."
)


class Reader:
    """One set of data, read by the steps of a model.

    Executions are counted as in Keras: each has K steps (`steps_per_execution`), also where K does
    not divide the epoch. The last one may then run into the next epoch's data, or end with the
    data. Where the length of an execution is found (`ExecutionLength.fits_epochs`), executions on
    super-batches end with the epoch: no step runs that was not asked for.

    Args:
        model: The model whose steps read.
        x, y, sample_weight, batch_size, steps_per_epoch, class_weight: As in `fit`.
        shuffle: As in `fit`; `None` shuffles where Keras can.

    Attributes:
        execution_length: What finds how many steps the next execution has.
        is_checked: Whether `evaluate` has found that the data fit the model.
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
        self.execution_length = execution_length.ExecutionLength(model)
        self._num_batches = self.adapter.num_batches
        self._pass, self._steps_seen = None, 0
        self._calls = adapter_calls.AdapterCalls(self.adapter)
        self._captured = None
        self._is_read_as_keras = self._hands_out_lists = False
        self._ranges = []
        self.is_checked = False
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
    def is_dense(self) -> bool:
        """Whether the batches can be stacked to super-batches."""
        return self.element_spec is not None and super_batches.is_dense(self.element_spec)

    @property
    def is_in_memory(self):
        """Whether the data are arrays."""
        return isinstance(self._source, sources.ArraySource)

    @property
    def has_numbered_passes(self):
        """Whether the order of a pass follows from its number, as that of arrays does."""
        return isinstance(self._source, sources.NumberedSource)

    @property
    def arrays(self):
        """Nested tensors of all examples if the data are arrays, otherwise `None`."""
        return self._source.arrays if self.is_in_memory else None

    def read_local_batch(self):
        """Returns a batch of a distributed data set, of this process's first replica."""
        batch = next(iter(self._source.dataset))
        local = self._strategy.experimental_local_results
        return tf.nest.map_structure(lambda part: local(part)[0], batch)

    def reset(self) -> None:
        """Begins the data again, as Keras does at the start of each call."""
        self._num_batches = self.adapter.num_batches
        self._pass, self._steps_seen = None, 0
        self.adapter.on_epoch_end()

    def stack(self) -> None:
        """Reads super-batches from here on, if the data can be stacked."""
        if self.is_dense:
            self._source = self._stack()

    def read_in_blocks(self, most: int) -> None:
        """Reads the batches of a data set in blocks, which may be kept after the steps have run.

        The alternative, an iterator within a graph, hands out one batch at a time, and a batch that
        is to be kept must be copied out of the graph. A data set of unknown length, such as a
        generator, is not read ahead. Nor is one of which a pass has been opened: its place would be
        lost.

        Args:
            most: Batches of a block.
        """
        source, is_alone = self._source, self._strategy.num_replicas_in_sync == 1
        if source.is_stacked or source.num_opened or not is_alone or self._is_read_as_keras:
            return
        if self.is_dense and self._num_batches:
            length = min(most, self._num_batches)
            self._source = sources.StreamSource(source.dataset, None, length, self._strategy)

    def read_as_keras(self, as_lists: bool) -> None:
        """Hands out Keras's own iterators from here on, of each execution K steps.

        That is what a `make_train_function` of the user's own expects.

        Args:
            as_lists: Whether lists of the K batches are handed out, as `predict_function` expects.
        """
        self._is_read_as_keras, self._hands_out_lists = True, as_lists
        dataset = self.adapter.get_tf_dataset()
        if isinstance(dataset, tf.data.Dataset):
            self._source = self._make_batch_source(datasets.disable_autotuner(dataset))

    def join_steps(self, callbacks: keras.callbacks.CallbackList, kind: str) -> None:
        """Lets executions have several steps of arrays, as long as no callback asks for each.

        Args:
            callbacks: The callbacks.
            kind: `"train"` or `"test"`.
        """
        if self.is_in_memory:
            self.execution_length.follow_callbacks(callbacks, kind)

    def check_values(self, ranges: list) -> None:
        """Raises if the data hold numbers that are out of range, or as soon as they do.

        Arrays are looked at now; a data set while it is read, where XLA would not look.

        Args:
            ranges: List of `value_ranges.ValueRange`.

        Raises:
            ValueError: If a number is out of range.
        """
        mode = modes.MODES[self._model.mode]
        if self.is_in_memory:
            value_ranges.check_values(ranges, self.arrays)
        elif self.is_dense and (mode.jit_compile or mode.is_chosen_by_time):
            self._ranges = ranges

    def select_mode_with(self, selector: Any, num_epochs: int, verbose: Any):
        """Lets executions be as long as a selector of modes wants them.

        Args:
            selector: An `executors.ModeSelector`.
            num_epochs: Epochs of the fit.
            verbose: That of the fit.
        """
        self.stack()
        self.execution_length.follow_selector(selector)
        num_steps = self.num_batches and num_epochs * self.num_batches
        selector.begin(num_steps, self._source.length, self.execution_length.asked, verbose)

    def take_batch(self):
        """Returns what an executor runs for one step, without disturbing the passes."""
        if self.has_numbered_passes or not hasattr(self.adapter, "py_dataset"):
            return self._source.take_batch()
        # Its threads would read another batch.
        return iter([keras_private.read_first_batch(self.adapter)])

    def capture(self, folder: pathlib.Path, is_within_epoch: bool) -> dict[str, Any]:
        """Returns where the data stand, for `restore`.

        Args:
            folder: Where what that takes is written.
            is_within_epoch: Whether steps of the present epoch have run.
        """
        return {
            "num_batches": self._num_batches,
            "steps_seen": self._steps_seen,
            "calls": self._calls.capture(),
            "random": random_states.read() if is_within_epoch else None,
            "source": self._source.capture(self._pass, folder),
        }

    def restore(self, state: dict[str, Any], folder: pathlib.Path) -> None:
        """Lets the next epoch begin where the data of another reader stood.

        Args:
            state: What `capture` has returned.
            folder: What it has written.
        """
        self._captured = state, folder

    def _restore_position(self):
        """Goes where `restore` said; returns why data were read again for that, or `None`."""
        (state, folder), self._captured = self._captured, None
        start = time.monotonic()
        self._num_batches = state["num_batches"]
        self._pass, reason = self._source.reopen(state["source"], folder)
        self._steps_seen = state["steps_seen"]
        self._shards = shard_checks.ShardCheck(self._strategy)
        if reason is not None:
            warnings.warn(
                f"{state['source']['batches']} batches were read again to resume, in "
                f"{time.monotonic() - start:.1f} s: {reason}.",
                stacklevel=2,
            )
        return reason

    def _begin_epoch(self):
        captured, before = self._captured, random_states.read()
        random = None
        if captured is not None:
            random = captured[0]["random"]
            self._calls.repeat(captured[0]["calls"])
            if random is None:  # The epoch begins. Callbacks have drawn for it.
                random_states.restore(before)
        self._calls.begin_epoch()
        # What was read again has drawn again what it draws itself, with what it has read ahead.
        if captured is not None and self._restore_position() is None and random is not None:
            random_states.restore(random)

    def remember_calls(self) -> None:
        """Lets a `PyDataset` that takes another order in `on_epoch_end` be resumed."""
        self._calls.remember()

    @property
    def num_opened(self) -> int:
        """How many iterators of a data set were made; 0 of arrays."""
        return getattr(self._source, "num_opened", 0)

    def skip_passes(self, number: int) -> None:
        """Makes iterators of a data set until there were so many: its orders may depend on it."""
        if isinstance(self._source, sources.DatasetSource):
            self._source.count_up_to(number)

    def skip_epochs(self, number: int) -> None:
        """Moves numbered passes to where they stand after some epochs of a fit."""
        if not self.steps_per_epoch:
            self._source.skip_passes(number)
        elif number:
            self._open_pass()
            self._pass.skip(number * self.steps_per_epoch)

    @contextlib.contextmanager
    def catch_end(self):
        """Ends an epoch where the data end, with Keras's warning; explains what cannot be read."""
        try:
            yield
        except (StopIteration, tf.errors.OutOfRangeError):
            if self._num_batches is None:
                self._num_batches = self._steps_seen
            warnings.warn(RAN_OUT, stacklevel=2)
            self._pass = None
            self._calls.end_epoch()
        except tf.errors.InvalidArgumentError as error:
            data_checks.explain_uneven_batches(self.element_spec, error)
            raise

    def executions(self, first_step: int = 0):
        """Yields, for each execution of an epoch, its first step, its last one, and a function.

        The function returns what an executor runs: a list of `super_batches.BatchRange`, or an
        iterator. It raises a `StopIteration` if there are no batches left.

        Args:
            first_step: Steps of the epoch that were run before, for data that were restored.
        """
        self._begin_epoch()
        if self._pass is None or not (self.steps_per_epoch or first_step):
            self._open_pass()
        self.execution_length.begin_epoch()
        is_exact = self._source.is_stacked and self.execution_length.fits_epochs
        yield from self._count_exactly(first_step) if is_exact else self._count_as_keras(first_step)
        self._calls.end_epoch()

    def _count_as_keras(self, first):
        steps = self.steps_per_epoch or self._num_batches or None
        while steps is None or first < steps:
            if self._num_batches and self._steps_seen >= self._num_batches:
                if self.steps_per_epoch:
                    warnings.warn(RAN_OUT, stacklevel=2)
                break
            length = self._model.steps_of_iterators  # A callback may have set another K.
            self._steps_seen += length
            yield first, first + length - 1, functools.partial(self._read, length)
            first += length
        self._reopen_at_end()

    def _count_exactly(self, step):
        steps = self.steps_per_epoch or self._num_batches or None
        while steps is None or step < steps:
            wanted = self.execution_length.find_next(self._source, bool(self._steps_seen))
            wanted = wanted if steps is None else min(wanted, steps - step)
            taken = [self._take(wanted)]
            count = _count_steps(taken[0])
            step += count
            self._steps_seen += count
            if count:
                # Whoever reads takes the only reference: data are let go as soon as they have run.
                yield step - count, step - 1, taken.pop
            if count < wanted:
                self._pass = None
                if steps is not None or not step:
                    warnings.warn(RAN_OUT, stacklevel=2)
                self._num_batches = self._num_batches or step or None
                break
        self._reopen_at_end()

    def _reopen_at_end(self):
        """Opens the data again when they have ended, as Keras does.

        Keras needs it only for epochs of `steps_per_epoch`; but a data set that shuffles in another
        order each time counts the iterator, and would otherwise give other epochs than in Keras.
        Where the length was unknown, Keras never gets there: it counts the execution that failed.
        """
        if self.adapter.num_batches and self._steps_seen >= self._num_batches:
            self._open_pass()

    def _open_pass(self):
        self._pass, self._steps_seen = self._source.open(), 0
        self._shards = shard_checks.ShardCheck(self._strategy)

    def _read(self, num_steps):
        data = self._take(num_steps)
        if not _count_steps(data):
            raise StopIteration
        if not self._hands_out_lists:
            return data
        batches = list(itertools.islice(data, num_steps))
        if not batches:
            raise StopIteration
        return batches

    def _take(self, num_steps):
        data = self._pass.take(num_steps)
        if self._source.is_stacked:
            self._shards.check(data)
            for super_batch, start, stop in data if self._ranges else ():
                value_ranges.check_values(self._ranges, super_batch, slice(start, stop))
            return data
        return self._check_batches(data) if self._ranges else data

    def _check_batches(self, iterator):
        for batch in iterator:
            value_ranges.check_values(self._ranges, batch, is_batch=True)
            yield batch

    def _make_source(self):
        arrays = keras_private.find_arrays(self.adapter)
        if arrays is not None and super_batches.is_dense(sources.find_specs(arrays, None)):
            return sources.ArraySource(self.adapter, arrays, self._strategy)
        if isinstance(getattr(self.adapter, "py_dataset", None), examples.Examples):
            asked = self.execution_length.asked
            return examples.ExampleSource(self.adapter, self._strategy, asked)
        dataset = self.adapter.get_tf_dataset()
        if not isinstance(dataset, tf.data.Dataset):
            self._refuse_unless_single_steps(dataset)
            return sources.BatchSource(dataset, None)
        dataset = datasets.disable_autotuner(dataset)
        is_shared = self._strategy.num_replicas_in_sync > 1
        if not super_batches.is_dense(dataset.element_spec):
            self._refuse_unless_single_steps(dataset)
            return self._make_batch_source(dataset)
        source = sources.BatchSource(dataset, dataset.element_spec)
        mode = modes.MODES[self._model.mode]
        in_loop = self._model.steps_per_execution > 1 and mode.has_loop
        return self._stack(source) if is_shared or in_loop or mode.stacks_batches else source

    def _make_batch_source(self, dataset):
        """Returns the source of single batches, of which each replica gets a shard."""
        spec = dataset.element_spec
        if self._strategy.num_replicas_in_sync > 1:
            dataset = self._strategy.experimental_distribute_dataset(dataset)
        return sources.BatchSource(dataset, spec)

    def _stack(self, source=None):
        """Returns the source whose batches are stacked to super-batches."""
        source = source or self._source
        if source.is_stacked:
            return source
        asked = self.execution_length.asked
        return sources.StreamSource(source.dataset, self.num_batches, asked, self._strategy)

    def _refuse_unless_single_steps(self, dataset):
        """Raises if data that cannot be stacked cannot be had in this mode."""
        is_dataset = isinstance(dataset, tf.data.Dataset)
        if modes.MODES[self._model.mode].stacks_batches and is_dataset:
            super_batches.check_dense(dataset.element_spec, self._model.mode)
        is_shared = self._strategy.num_replicas_in_sync > 1
        in_loop = is_shared and self._model.steps_of_iterators > 1
        in_programs = is_shared and modes.MODES[self._model.mode].jit_compile
        if in_loop or in_programs or replicas.num_workers(self._strategy) > 1:
            received = dataset.element_spec if is_dataset else "a distributed data set"
            raise ValueError(
                "Data must be a tf.data.Dataset of dense global batches, or arrays, to be shared "
                "out to several workers, with steps_per_execution above 1, or in mode='xla'. "
                f"Received: {received}. Such data need mode='graph' and steps_per_execution=1, "
                "on one machine."
            )


def _limit_steps(steps_per_epoch):
    """Returns the steps of an epoch under Keras's switch for dry runs."""
    most = keras.config.max_steps_per_epoch()
    if not most or (steps_per_epoch and steps_per_epoch <= most):
        return steps_per_epoch
    warnings.warn(f"Limiting steps_per_epoch to {most}", stacklevel=3)
    return most


def _count_steps(data):
    """Returns the steps in what a pass has handed out; 1 for an iterator, which knows no end."""
    if not isinstance(data, list):
        return 1
    return sum(one.stop - one.start for one in data)
