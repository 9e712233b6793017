"""`fit`, `evaluate` and `predict`: Keras's own, callback for callback, on data that we read.

What runs an execution is in `functions.py`; how data are read, in `readers.py`.
"""

import itertools
import warnings

import keras

from kerasmodes.engine import compile_config, keras_private, replication
from kerasmodes.engine.functions import StepFunctions
from kerasmodes.engine.readers import Reader

NEED_OPTIMIZER = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.SwapEMAWeights,
)


class Trainer(StepFunctions):
    """The loops over executions, for a class with the attributes of `ModesMixin`."""

    @keras_private.filter_traceback
    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=None,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Trains the model, as Keras's `fit`, in its mode.

        Args:
            x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data,
                class_weight, sample_weight, steps_per_epoch, validation_steps,
                validation_batch_size, validation_freq: As in Keras.
            shuffle: As in Keras; `None` shuffles arrays, and leaves other data in their order.
                Arrays come in another order each epoch, the same in every mode.
            initial_epoch: As in Keras. Arrays are in the order that this epoch has in a fit from
                the beginning.

        Returns:
            Keras's `History`; its `params` tell the `mode` that ran.

        Raises:
            ValueError: If the model was not compiled, or data do not fit the mode or the replicas.

        Example:

        ```python
        model = km.SumRegressor()
        model.compile(mode="fused")
        history = model.fit(*km.data.sums(1_000), batch_size=10, epochs=2)
        ```
        """
        keras_private.check_compiled(self, "fit")
        epochs = _limit_epochs(epochs)
        _check_batch_size(batch_size)
        _check_callbacks(callbacks, self.optimizer)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = keras_private.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        validation = None
        if validation_data is not None:
            validation = dict(
                zip(
                    ("x", "y", "sample_weight"),
                    keras.utils.unpack_x_y_sample_weight(validation_data),
                    strict=True,
                ),
                batch_size=validation_batch_size or batch_size,
                steps=validation_steps,
            )
        reader = Reader(
            self, x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight
        )
        self._build_for(reader)
        reader.reset()
        callbacks = self._list_callbacks(callbacks, verbose, epochs, reader, add_history=True)
        self.stop_training = False
        self.make_train_function()
        callbacks.on_train_begin()
        first_epoch = keras_private.restored_epoch(self) or initial_epoch
        self._begin_at(reader, first_epoch, callbacks)
        self._begin_selection(reader, epochs - first_epoch, verbose)
        epoch_logs, logs = None, {}
        for epoch in range(first_epoch, epochs):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs = self._train_epoch(reader, callbacks, logs)
            epoch_logs = keras_private.logs_of_epoch(self, logs)
            if validation and keras_private.validates_in(self, epoch, validation_freq):
                epoch_logs |= self._validate(validation, callbacks)
            callbacks.on_epoch_end(epoch, epoch_logs)
            if self.stop_training:
                break
        if isinstance(self.optimizer, keras.optimizers.Optimizer) and epochs > 0:
            self.optimizer.finalize_variable_values(self.trainable_weights)
        callbacks.on_train_end(logs=epoch_logs)
        self._end_selection()
        return self.history

    @keras_private.filter_traceback
    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Returns the losses and metrics, as Keras's `evaluate`, in the model's mode."""
        keras_private.check_compiled(self, "evaluate")
        reader = kwargs.pop("_use_cached_eval_dataset", None)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        if reader is None:
            reader = Reader(self, x, y, sample_weight, batch_size, steps)
        self._build_for(reader)
        reader.reset()
        callbacks = self._list_callbacks(callbacks, verbose, 1, reader)
        self.make_test_function()
        self.stop_evaluating = False
        callbacks.on_test_begin()
        self.reset_metrics()
        logs = {}
        with reader.catch_end():
            for first, last, read in reader.executions():
                callbacks.on_test_batch_begin(first)
                logs = self.test_function(read())
                callbacks.on_test_batch_end(last, logs)
                if self.stop_evaluating:
                    break
        logs = keras_private.pythonify_logs(keras_private.logs_of_epoch(self, logs))
        callbacks.on_test_end(logs)
        return logs if return_dict else keras_private.values_in_order(self, logs)

    @keras_private.filter_traceback
    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Returns the outputs for all examples, as Keras's `predict`, in the model's mode."""
        replication.check_scope(self)
        reader = Reader(self, x, batch_size=batch_size, steps_per_epoch=steps)
        callbacks = self._list_callbacks(callbacks, verbose, 1, reader)
        self.make_predict_function()
        self.stop_predicting = False
        callbacks.on_predict_begin()
        outputs = []
        with reader.catch_end():
            for first, last, read in reader.executions():
                callbacks.on_predict_batch_begin(first)
                outputs.append(self.predict_function(self._list_batches(read())))
                callbacks.on_predict_batch_end(last, {"outputs": outputs[-1]})
                if self.stop_predicting:
                    break
        callbacks.on_predict_end()
        if not outputs:
            raise ValueError("`x` must hold at least one batch. Received: data that end at once")
        return keras_private.concatenated(outputs)

    def _train_epoch(self, reader, callbacks, logs):
        """Returns the logs of the epoch's last step; those given if there was none."""
        with reader.catch_end():
            for first, last, read in reader.executions():
                callbacks.on_train_batch_begin(first)
                logs = self.train_function(read())
                callbacks.on_train_batch_end(last, logs)
                if self.stop_training:
                    break
        return logs

    def _validate(self, arguments, callbacks):
        """Returns the logs of the validation data; their reader is kept among the arguments."""
        # Keras's name for it: classes that override `evaluate` hand it on.
        if "_use_cached_eval_dataset" not in arguments:
            data = {**arguments, "steps_per_epoch": arguments["steps"]}
            del data["steps"]
            arguments["_use_cached_eval_dataset"] = Reader(self, **data)
        logs = self.evaluate(**arguments, callbacks=callbacks, return_dict=True)
        return {f"val_{name}": value for name, value in logs.items()}

    def _list_callbacks(self, callbacks, verbose, epochs, reader, **more):
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        return keras.callbacks.CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=reader.num_batches,
            model=self,
            **more,
        )

    def _list_batches(self, data):
        """Returns what a reader has read as a list; raises when its iterator has no batch left."""
        if isinstance(data, list):
            return data
        return [next(data), *itertools.islice(data, self.steps_per_execution - 1)]

    def _begin_at(self, reader, epoch, callbacks):
        """Lets the data begin where they stand when that epoch begins.

        An order of a `tf.data.Dataset` belongs to who made it: as in Keras, it is left alone, but
        for a callback that goes on in another program and therefore counts epochs.
        """
        if reader.is_in_memory or any(
            getattr(one, "counts_epochs", False) for one in callbacks.callbacks
        ):
            reader.skip_epochs(epoch)

    def _begin_selection(self, reader, num_epochs, verbose):
        """Lets mode "auto" try modes in this fit, if there are any to try."""
        selector = self._chooser
        if selector is None or self.mode == "eager" or not selector.untried:
            return
        if reader.is_dense:
            reader.select_mode_with(selector, num_epochs, verbose)
        else:
            selector.settle_for_graph("the batches are not dense", verbose)

    def _end_selection(self):
        if self._chooser is not None:
            self._chooser.end()
            self.history.params["microseconds_per_step"] = dict(self._chooser.microseconds)
        self.history.params["mode"] = self.mode
        if self.mode == "fused" and self.train_function.loops:
            self.history.params["loop"] = self.train_function.loops.kind

    def _build_for(self, reader):
        """Builds what is not built yet, where a step is too late or too dear to do it."""
        replication.check_scope(self)
        if self._distribute_strategy is not None and not keras_private.is_built(self):
            spec = reader.element_spec
            batch = (
                reader.read_local_batch() if spec is None else keras_private.symbolic_batch(spec)
            )
            super()._maybe_symbolic_build(data_batch=batch)
        compile_config.build_optimizer_of_plain_step(self)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Called by `train_on_batch` and `test_on_batch`."""
        replication.check_scope(self)
        if not keras_private.is_built(self):
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            compile_config.build_optimizer_of_plain_step(self)


def _limit_epochs(epochs):
    """Returns the epochs of a fit under Keras's switch for dry runs."""
    most = keras.config.max_epochs()
    if not most or epochs <= most:
        return epochs
    warnings.warn(f"Limiting epochs to {most}", stacklevel=3)
    return most


def _check_batch_size(batch_size):
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")


def _check_callbacks(callbacks, optimizer):
    """Raises if a callback of Keras's needs `model.optimizer` and there is none, or several."""
    if optimizer is not None:
        return
    callbacks = getattr(callbacks, "callbacks", callbacks)
    for one in keras.tree.flatten(callbacks):
        asks_rate = isinstance(one, NEED_OPTIMIZER)
        if asks_rate or getattr(one, "write_steps_per_second", False):
            name = type(one).__name__
            raise ValueError(
                "`callbacks` must not need `model.optimizer` for a model that has none, or several "
                f"under other names. Received: {name}. "
                + (
                    "Give each optimizer a schedule of `keras.optimizers.schedules`, or an average "
                    "of its own (`use_ema`)."
                    if asks_rate
                    else f"Use {name}(write_steps_per_second=False)."
                )
            )
