"""The functions that Keras's `fit`, `evaluate` and `predict` call, made for the model's mode.

What the modes mean is in `modes.py`; how steps run in a loop, in `fusing`; what replicas do with a
batch, in `sharing.py`.
"""

import itertools

import keras
import tensorflow as tf

from kerasmodes import fusing, modes, replicas
from kerasmodes.model import (
    compiling,
    eager,
    keras_private,
    sharing,
    single_steps,
    summed_gradients,
    used_metrics,
)
from kerasmodes.model.epochs import Epochs


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
        keras_make_function(force=True)
        keras_function = fusing.in_words(mode)(getattr(self, f"{kind}_function"))
        step = getattr(self, f"{kind}_step")
        if kind == "predict":
            function = self._predicting_function(step, mode, keras_function)
        else:
            function = self._step_function(step, mode, keras_function)
        function.made_for, function.trains = (mode, in_loop), kind == "train"
        setattr(self, f"{kind}_function", function)

    def _step_function(self, step, mode, keras_function):
        """Returns the function that runs an execution, on super-batches or an iterator."""
        strategy = self.distribute_strategy
        is_shared = strategy.num_replicas_in_sync > 1
        run = sharing.TrainingRun(strategy, self) if is_shared else strategy.run
        if is_shared and step == self.train_step:
            compiling.check_built(self)
            summed_gradients.prepare(compiling.optimizers(self))
        if mode == modes.AUTO and step == self.train_step:
            on_pieces = self._chooser.run
        elif mode == "eager":
            on_pieces = eager.make_step_function(step, self, run if is_shared else None)
        else:
            on_pieces = fusing.make_step_function(step, run, mode)
        if is_shared:
            on_pieces = run.with_metrics(on_pieces)
        if mode in ("eager", "fused"):
            on_batch = on_pieces
        else:
            on_batch = on_pieces if is_shared else single_steps.make_step_function(step, mode)

        def function(data):
            if isinstance(data, list):
                return on_pieces(data)
            is_distributed = isinstance(data, tf.distribute.DistributedIterator)
            return keras_function(data) if is_distributed else on_batch(data)

        return function

    def _predicting_function(self, step, mode, keras_function):
        """Returns the function that predicts an execution: pieces, or what Keras hands out."""
        strategy = self.distribute_strategy
        is_shared = strategy.num_replicas_in_sync > 1
        run = sharing.predicting_run(strategy) if is_shared else strategy.run
        on_pieces = fusing.make_predict_function(step, run, mode)

        def function(data):
            is_whole = isinstance(data[0], fusing.Piece) or mode == "fused"
            if is_whole or (is_shared and not _is_distributed(data[0])):
                return keras_private.concatenated_tensors(on_pieces(data))
            return keras_function(data)

        return function

    def _make_function(self, step_function):
        """Keras's own functions, which serve data that are not dense, or distributed already."""
        step = step_function if self.mode == "xla" else single_steps.after_its_batch(step_function)
        return super()._make_function(step)

    def _get_metrics_result_or_logs(self, logs):
        """Called by `fit` and `evaluate` at the end of an epoch, with the last step's logs."""
        results = super()._get_metrics_result_or_logs(logs)
        return logs if results is logs else used_metrics.keep_own_values(self, results, logs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Called by `fit` and `evaluate` with the iterator that cuts an epoch into executions."""
        sharing.check_scope(self)
        epoch_iterator = iterator
        fit_arguments = self.__dict__.pop("_fit_arguments", None)
        dataset = None if iterator is None else keras_private.dataset_of(iterator)
        if not keras_private.is_built(self):
            if dataset is not None and self._distribute_strategy is not None:
                # Keras would read a batch, and reduce it over the replicas.
                iterator, data_batch = None, keras_private.symbolic_batch(dataset.element_spec)
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        if epoch_iterator is not None and not isinstance(epoch_iterator, Epochs):
            # Keras keeps the iterator of the validation data over the epochs.
            self._run_in_loops(epoch_iterator, dataset, fit_arguments)

    def _run_in_loops(self, epoch_iterator, dataset, fit_arguments=None):
        """Makes an iterator's executions hold pieces of super-batches, if the mode runs on them."""
        chooser = self._chooser if fit_arguments and self.mode != "eager" else None
        chooser = chooser if chooser is not None and chooser.untried else None
        if dataset is None or not fusing.is_dense(dataset.element_spec):
            self._check_kept(dataset)
            if chooser:
                chooser.settle_for_graph("the batches are not dense", fit_arguments.verbose)
            return
        is_shared = self.distribute_strategy.num_replicas_in_sync > 1
        in_memory = keras_private.is_in_memory(epoch_iterator)
        in_loop = self.steps_per_execution > 1 and self.mode != "eager"
        counts = fit_arguments is not None and _counts_epochs(fit_arguments.callbacks)
        if not (chooser or is_shared or in_memory or in_loop or counts or self.mode == "fused"):
            return
        epoch_iterator.__class__ = Epochs
        epoch_iterator.prepare(self, dataset)
        if fit_arguments:
            epoch_iterator.serve_fit(fit_arguments, chooser)

    def _check_kept(self, dataset):
        """Raises if data that Keras must hand out itself cannot be had so in this mode."""
        if self.mode == "fused" and dataset is not None:
            fusing.check_dense(dataset.element_spec)
        strategy = self.distribute_strategy
        is_shared = strategy.num_replicas_in_sync > 1
        if (is_shared and self.steps_per_execution > 1) or replicas.num_workers(strategy) > 1:
            received = "a distributed data set" if dataset is None else dataset.element_spec
            raise ValueError(
                "Data must be a tf.data.Dataset of dense global batches, or arrays, to be shared "
                f"out to several workers, or with steps_per_execution above 1. Received: {received}"
            )

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """As Keras's `predict`, in the model's mode."""
        sharing.check_scope(self)
        epochs = keras_private.TFEpochIterator(
            x=x,
            batch_size=batch_size,
            steps_per_epoch=steps,
            distribute_strategy=self.distribute_strategy,
            steps_per_execution=self.steps_per_execution,
        )
        self._run_in_loops(epochs, keras_private.dataset_of(epochs))
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
            for begin, end, data in epochs:
                callbacks.on_predict_batch_begin(begin)
                batches = data if isinstance(data, list) else self._next_batches(data)
                outputs.append(self.predict_function(batches))
                callbacks.on_predict_batch_end(end, {"outputs": outputs[-1]})
                if self.stop_predicting:
                    break
        callbacks.on_predict_end()
        return keras_private.concatenated(outputs)

    def _next_batches(self, iterator):
        """Returns the batches of an execution; raises when the iterator has none left."""
        return [next(iterator), *itertools.islice(iterator, self.steps_per_execution - 1)]


def _is_made_for(function, mode, in_loop):
    """Returns whether a function serves a mode; that of training outlives the choice of a mode."""
    made_mode, made_in_loop = getattr(function, "made_for", (None, None))
    if made_mode == modes.AUTO and function.trains:
        return mode != "eager"
    return (made_mode, made_in_loop) == (mode, in_loop)


def _counts_epochs(callbacks):
    """Returns whether a callback wants each epoch's data to be those of that number."""
    callbacks = getattr(callbacks, "callbacks", callbacks) or []
    return any(getattr(one, "counts_epochs", False) for one in keras.tree.flatten(callbacks))


def _is_distributed(batch):
    return any(isinstance(p, tf.distribute.DistributedValues) for p in keras.tree.flatten(batch))
