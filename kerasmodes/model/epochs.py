"""Keras's iterator over the executions of an epoch, made to hand out pieces of super-batches.

What runs on them is in `functions.py`; how many batches one holds, in `modes.py`.
"""

import itertools
import random

from kerasmodes import fusing, modes, replicas
from kerasmodes.model import keras_private, sharing

# Examples in a batch where a data set does not tell.
ASSUMED_BATCH_SIZE = 256


class Epochs(keras_private.TFEpochIterator):
    """Keras's iterator over executions, each with pieces of super-batches in place of an iterator.

    Keras counts, and runs, whole executions of K steps also where K does not divide an epoch; here
    the last one ends with the epoch.
    """

    def prepare(self, model, dataset):
        """Chooses how many batches a super-batch holds. Keras makes these iterators itself."""
        self._model, self._chooser = model, None
        self._asked = model.steps_per_execution
        if model._finds_steps_per_execution and model.mode in ("fused", modes.AUTO):
            self._asked = None
        self._strategy = model.distribute_strategy
        arrays = keras_private.arrays_of(self.data_adapter)
        if arrays is not None:
            self._take_arrays(arrays, dataset.element_spec)
        else:
            self._take_stream(dataset)
        self._distributed_dataset = None
        self._epochs_done = lambda: 0
        self._passes = None

    def _take_arrays(self, arrays, spec):
        self._stream = None
        adapter = self.data_adapter
        self._batch_size = adapter.batch_size
        if adapter.num_batches < 1:
            raise ValueError("`x` must hold at least one example. Received: 0 examples")
        sharing.check_batch_size(self._strategy, self._batch_size)
        batch_bytes = fusing.bytes_of_a_batch(spec, self._batch_size)
        self._length = length = modes.batches_in_memory(adapter.num_batches, batch_bytes)
        # Python's generator: it draws the same in every mode, whatever else a step draws.
        seed = replicas.from_first(self._strategy, random.getrandbits(64))
        shuffle = keras_private.shuffle_of(adapter)
        self._super_batches = lambda number: fusing.of_arrays(
            arrays, self._batch_size, length, shuffle, (seed, number)
        )

    def _take_stream(self, dataset):
        self._stream = dataset
        sharing.check_batch_size(self._strategy, fusing.batch_size_of(dataset.element_spec))
        self._batch_size = fusing.batch_size_of(dataset.element_spec) or ASSUMED_BATCH_SIZE
        batch_bytes = fusing.bytes_of_a_batch(dataset.element_spec, self._batch_size)
        length = modes.batches_of_stream(self.num_batches, batch_bytes)
        self._length = length = min(length, self._asked) if self._asked else length
        self._super_batches = lambda _: fusing.of_batches(dataset, length)

    def serve_fit(self, fit_arguments, chooser):
        """Told of the fit whose epochs these are.

        Args:
            fit_arguments: Namespace of the arguments of `fit`.
            chooser: What decides how many steps each execution runs, and in which mode; or `None`.
        """
        first = fit_arguments.initial_epoch
        self._epochs_done = lambda: keras_private.restored_epoch(self._model) or first
        self._chooser = chooser
        if chooser:
            num_steps = self.num_batches and (fit_arguments.epochs - first) * self.num_batches
            chooser.begin(num_steps, self._length, self._asked, fit_arguments.verbose)

    def _next_steps(self):
        """Returns how many steps the next execution runs at the most."""
        if self._chooser:
            return self._chooser.next_steps()
        if self._asked:
            return self._asked
        if not keras_private.is_built(self._model):
            return 1
        num_weights = self._model.count_params()
        return min(self._length, modes.steps_of_execution(num_weights, self._batch_size))

    def _enumerate_iterator(self):
        self.data_adapter.on_epoch_begin()
        steps = self.num_batches
        if self._current_iterator is None or not self.steps_per_epoch:
            self._begin_pass()
        step = 0
        while steps is None or step < steps:
            wanted = self._next_steps() if steps is None else min(self._next_steps(), steps - step)
            pieces = self._current_iterator.take(wanted)
            count = sum(piece.stop - piece.start for piece in pieces)
            if count:
                self._parts.check(pieces)
                yield step, step + count - 1, pieces
                pieces.clear()  # Keras's loop keeps the list while the next one is filled.
            step += count
            self._steps_seen += count
            if count < wanted:
                self._current_iterator = None
                if steps is not None:
                    self._interrupted_warning()
                self._num_batches = self._num_batches or step
                break
        self._start_anew()
        self.data_adapter.on_epoch_end()

    def _begin_pass(self):
        resumes = self._passes is None and keras_private.restored_epoch(self._model)
        if self._passes is None:
            self._passes = itertools.count(0 if self.steps_per_epoch else self._epochs_done())
        if resumes and self._stream and not self.steps_per_epoch:
            # A data set that shuffles anew each time counts its iterators: one that an epoch reads,
            # and that of `_start_anew`.
            self._unused = [iter(self._stream) for _ in range(2 * self._epochs_done())]
        self._current_iterator = fusing.Pieces(self._super_batches(next(self._passes)))
        self._steps_seen = 0
        self._parts = sharing.Parts(self._strategy)
        if resumes and self.steps_per_epoch:
            self._current_iterator.take(self._epochs_done() * self.steps_per_epoch)

    def _start_anew(self):
        """Begins the data again when they ended with the epoch.

        Keras then makes an iterator that it uses only for epochs of `steps_per_epoch`; a data set
        that shuffles anew each time counts it, and would else give other epochs than in Keras.
        """
        if self._num_batches and self._steps_seen >= self._num_batches:
            self._current_iterator = None
            if self._stream and not self.steps_per_epoch:
                self._unused = iter(self._stream)
