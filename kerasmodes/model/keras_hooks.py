"""The one place for hooks of Keras beyond its documented interface, checked with Keras 3.15.1.

What the modes mean is in `modes.py`; how steps run in a loop, in `fusing`.
"""

import itertools
import random

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import (
    TFEpochIterator,
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable

from kerasmodes import fusing, modes
from kerasmodes.model import eager, single_steps

__all__ = [
    "Functional",
    "KerasHooks",
    "check_hooks",
    "functional_init_arguments",
    "refusing_layers",
]

HOOKS = {
    keras.Model: "make_train_function make_test_function make_predict_function "
    "_maybe_symbolic_build _flatten_layers",
    TFEpochIterator: "_enumerate_iterator _interrupted_warning",
    ArrayDataAdapter: "num_batches batch_size",
}


class KerasHooks:
    """Hands `fit`, `evaluate` and `predict` the functions of the model's mode.

    For a class with the attributes `mode` and `steps_per_execution`.
    """

    def make_train_function(self, force=False):
        self._make_for_mode("train", super().make_train_function, force)

    def make_test_function(self, force=False):
        self._make_for_mode("test", super().make_test_function, force)

    def make_predict_function(self, force=False):
        self._make_for_mode("predict", super().make_predict_function, force)

    def _make_for_mode(self, kind, keras_make_function, force):
        """Makes `train_function` and its siblings anew when there is none for the present mode."""
        mode, in_loop = self.mode, self.steps_per_execution > 1
        if not force and _is_made_for(getattr(self, f"{kind}_function"), mode, in_loop):
            return
        step, run = getattr(self, f"{kind}_step"), self.distribute_strategy.run
        if kind == "predict" and mode == "fused":
            function = _concatenating(fusing.make_predict_function(step, run, "fused"))
        elif kind == "predict" or (self._distribute_strategy is not None and mode != "fused"):
            keras_make_function(force=True)
            function = fusing.in_words(mode)(getattr(self, f"{kind}_function"))
        else:
            function = self._step_function(step, run, mode)
        function.made_for, function.trains = (mode, in_loop), kind == "train"
        setattr(self, f"{kind}_function", function)

    def _step_function(self, step, run, mode):
        """Returns the function that runs an execution, on super-batches or an iterator."""
        if mode == "eager":
            return eager.make_step_function(step, self)
        if mode == "fused":
            return fusing.make_step_function(step, run, mode)
        if mode == modes.AUTO and step == self.train_step:
            in_loop = self._chooser.run
        else:
            in_loop = fusing.make_step_function(step, run, mode)
        one_by_one = single_steps.make_step_function(step, mode)
        return lambda data: in_loop(data) if isinstance(data, list) else one_by_one(data)

    def _make_function(self, step_function):
        """Keras's own functions, which serve several replicas."""
        step = step_function if self.mode == "xla" else single_steps.after_its_batch(step_function)
        return super()._make_function(step)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Called by `fit` and `evaluate` with the iterator that cuts an epoch into executions."""
        if not _is_built(self):
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        if iterator is not None and not isinstance(iterator, _Epochs):
            # Keras keeps the iterator of the validation data over the epochs.
            self._run_in_loops(iterator, self.__dict__.pop("_fit_arguments", None))

    def _run_in_loops(self, epoch_iterator, fit_arguments=None):
        """Makes an iterator's executions hold pieces of super-batches, if the mode runs on them."""
        dataset = _dataset_of(epoch_iterator)
        in_memory = isinstance(epoch_iterator.data_adapter, ArrayDataAdapter)
        chooser = self._chooser if fit_arguments and self.mode != "eager" else None
        chooses = chooser is not None and bool(chooser.untried)
        if self.mode == "fused":
            fusing.check_dense(dataset.element_spec)
        elif self._distribute_strategy is not None:
            return
        elif not fusing.is_dense(dataset.element_spec):
            if chooses:
                chooser.settle_for_graph("the batches are not dense", fit_arguments.verbose)
            return
        elif (
            not chooses
            and not in_memory
            and (self.mode == "eager" or self.steps_per_execution == 1)
        ):
            return
        epoch_iterator.__class__ = _Epochs
        epoch_iterator.prepare(self, dataset)
        if chooses:
            epoch_iterator.choose(chooser, fit_arguments)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """As Keras's `predict`, in the model's mode."""
        if self.mode != "fused":
            return super().predict(x, batch_size, verbose, steps, callbacks)
        epochs = TFEpochIterator(
            x=x,
            batch_size=batch_size,
            steps_per_epoch=steps,
            distribute_strategy=self.distribute_strategy,
            steps_per_execution=self.steps_per_execution,
        )
        self._run_in_loops(epochs)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = keras.callbacks.CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                verbose=verbose,
                epochs=1,
                steps=epochs.num_batches,
                model=self,
            )
        self.make_predict_function()
        self.stop_predicting = False
        callbacks.on_predict_begin()
        outputs = []
        with epochs.catch_stop_iteration():
            for begin, end, pieces in epochs:
                callbacks.on_predict_batch_begin(begin)
                outputs.append(self.predict_function(pieces))
                callbacks.on_predict_batch_end(end, {"outputs": outputs[-1]})
                if self.stop_predicting:
                    break
        callbacks.on_predict_end()
        return keras.tree.map_structure(
            lambda *parts: convert_to_np_if_not_ragged(potentially_ragged_concat(parts)), *outputs
        )


class _Epochs(TFEpochIterator):
    """Keras's iterator over executions, each with pieces of super-batches in place of an iterator.

    Keras counts, and runs, whole executions of K steps also where K does not divide an epoch; here
    the last one ends with the epoch.
    """

    def prepare(self, model, dataset):
        """Chooses how many batches a super-batch holds. Keras makes these iterators itself."""
        self._model = model
        adapter, steps = self.data_adapter, self.num_batches
        in_memory = isinstance(adapter, ArrayDataAdapter)
        spec = dataset.element_spec
        self._batch_size = adapter.batch_size if in_memory else fusing.batch_size_of(spec)
        batch_bytes = fusing.bytes_of_a_batch(spec, self._batch_size)
        self._chooser = None
        self._asked = model.steps_per_execution
        if model._finds_steps_per_execution and model.mode in ("fused", modes.AUTO):
            self._asked = None
        if in_memory:
            length = modes.batches_in_memory(adapter.num_batches, batch_bytes)
            arrays = convert_to_sliceable(adapter._inputs, target_backend="tensorflow")
            arrays = tf.nest.map_structure(
                lambda array: None if array is None else tf.convert_to_tensor(array),
                keras.tree.lists_to_tuples(arrays),
            )
            # Python's generator: it draws the same in every mode, whatever else a step draws.
            seed = random.getrandbits(64)
            self._super_batches = lambda: fusing.of_arrays(
                arrays, self._batch_size, length, adapter._shuffle, (seed, next(self._passes))
            )
        else:
            length = modes.batches_of_stream(steps, batch_bytes)
            if self._asked:
                length = min(length, self._asked)
            self._super_batches = lambda: fusing.of_batches(dataset, length)
        self._stream = None if in_memory else dataset
        self._passes = itertools.count()
        self._length = length
        self._distributed_dataset = None

    def choose(self, chooser, fit_arguments):
        """Lets a chooser decide how many steps each execution runs, and in which mode."""
        self._chooser = chooser
        num_epochs = fit_arguments.epochs - fit_arguments.initial_epoch
        num_steps = self.num_batches and num_epochs * self.num_batches
        chooser.begin(num_steps, self._length, self._asked, fit_arguments.verbose)

    def _next_steps(self):
        """Returns how many steps the next execution runs at the most."""
        if self._chooser:
            return self._chooser.next_steps()
        if self._asked:
            return self._asked
        if not _is_built(self._model):
            return 1
        num_weights = self._model.count_params()
        return min(self._length, modes.steps_of_execution(num_weights, self._batch_size))

    def _enumerate_iterator(self):
        self.data_adapter.on_epoch_begin()
        steps = self.num_batches
        if self._current_iterator is None or not self.steps_per_epoch:
            self._current_iterator, self._steps_seen = fusing.Pieces(self._super_batches()), 0
        step = 0
        while steps is None or step < steps:
            wanted = self._next_steps() if steps is None else min(self._next_steps(), steps - step)
            pieces = self._current_iterator.take(wanted)
            count = sum(piece.stop - piece.start for piece in pieces)
            if count:
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

    def _start_anew(self):
        """Begins the data again when they ended with the epoch.

        Keras then makes an iterator that it uses only for epochs of `steps_per_epoch`; a data set
        that shuffles anew each time counts it, and would else give other epochs than in Keras.
        """
        if self._num_batches and self._steps_seen >= self._num_batches:
            self._current_iterator = None
            if self._stream and not self.steps_per_epoch:
                self._unused = iter(self._stream)


def check_hooks():
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in HOOKS.items()
        for name in names.split()
        if not hasattr(owner, name)
    ]
    if missing:
        raise RuntimeError(
            f"Keras must have {', '.join(missing)}, on which the modes are built (checked with "
            f"Keras 3.15.1). Received: Keras {keras.__version__}"
        )


def refusing_layers(model):
    """Returns the names of the layers that XLA cannot compile."""
    return [layer.name for layer in model._flatten_layers() if not layer.supports_jit]


def _is_made_for(function, mode, in_loop):
    """Returns whether a function serves a mode; that of training outlives the choice of a mode."""
    made_mode, made_in_loop = getattr(function, "made_for", (None, None))
    if made_mode == modes.AUTO and function.trains:
        return mode != "eager"
    return (made_mode, made_in_loop) == (mode, in_loop)


def _dataset_of(epoch_iterator):
    """Returns the data set of batches; under a strategy, the one that it was made from."""
    dataset = epoch_iterator._distributed_dataset
    is_whole = isinstance(dataset, tf.data.Dataset)
    return dataset if is_whole else epoch_iterator.data_adapter.get_tf_dataset()


def _concatenating(predict):
    """Returns the function that predicts an execution's batches and puts the outputs together."""
    return lambda data: tf.nest.map_structure(
        lambda *parts: potentially_ragged_concat(parts), *predict(data)
    )


def _is_built(model):
    """Returns whether nothing is left to build: Keras would read a batch all the same, and destroy
    that iterator while TensorFlow's threads may still fill it: rarely, a crash."""
    parts = [*model._flatten_layers(), model._compile_loss, model._compile_metrics, model.optimizer]
    return all(part is None or part.built for part in parts)
