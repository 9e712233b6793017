"""`fit`, `evaluate` and `predict`: Keras's own, callback for callback, on data that we read.

How data are read is in `readers.py`; what runs an execution, in `executors`.
"""

import keras

from kerasmodes import modes
from kerasmodes.engine import (
    callback_changes,
    data_checks,
    directions,
    examples,
    executors,
    fit_arguments,
    keras_private,
    optimizer_views,
    optimizers,
    output_watch,
    replaced_methods,
    shard_checks,
    validation_checks,
)
from kerasmodes.engine import logs as epoch_logs
from kerasmodes.engine.fit_progress import FitProgress
from kerasmodes.engine.readers import Reader

NO_BATCH = "`x` must hold at least one batch. Received: data that end at once"


class Trainer:
    """The loops over executions, for a class with the attributes of `ModesMixin`."""

    @replaced_methods.call_replacement
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

        What cannot be learned from is refused before the first step. Where an epoch has 100 steps
        or more and the model was not evaluated before, one batch of validation arrays is evaluated
        after the first execution, without a trace in the numbers: what would fail after an epoch
        fails at once.

        Returns:
            Keras's `History`; its `params` tell the `mode` that ran.

        Raises:
            ValueError: If the model was not compiled, if an argument is out of range, or if data
                are empty, without end, or do not fit the model, the mode or the replicas.
            TypeError: If something in `callbacks` is no callback, or `class_weight` no dictionary.

        Example:

        ```python
        model = km.SumRegressor()
        model.compile(mode="fused")
        history = model.fit(*km.data.sums(1_000), batch_size=10, epochs=2)
        ```
        """
        fit_arguments.check_compiled(self, "fit")
        fit_arguments.check_numbers(
            epochs, initial_epoch, steps_per_epoch, validation_steps, validation_split
        )
        epochs = fit_arguments.limit_epochs(epochs)
        fit_arguments.check_batch_size(batch_size)
        examples.check_batch_size(x, batch_size)
        fit_arguments.check_batch_size(validation_batch_size, "validation_batch_size")
        fit_arguments.check_validation_freq(validation_freq)
        fit_arguments.check_callbacks(callbacks)
        fit_arguments.check_class_weight(class_weight)
        data_checks.check_arrays(x=x, y=y, sample_weight=sample_weight)
        data_checks.check_length(x, steps_per_epoch, "steps_per_epoch")
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = keras_private.train_validation_split(
                (x, y, sample_weight), validation_split=validation_split
            )
        validation = fit_arguments.list_validation_arguments(
            validation_data, validation_batch_size or batch_size, validation_steps
        )
        data_checks.check_validation(self, validation)
        reader = Reader(
            self, x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight
        )
        data_checks.check_reader(self, reader, "fit")
        own_strategy = keras_private.find_own_strategy(self)
        optimizers.check_scopes(optimizers.find_optimizers(self), own_strategy)
        _build_for(self, reader)
        reader.reset()  # After building, which may have read a batch.
        if _has_modes_to_try(self):
            reader.stack()
        callbacks = _list_callbacks(self, callbacks, verbose, epochs, reader, add_history=True)
        optimizer_views.show_optimizers(callbacks, self)
        directions.set_directions(callbacks.callbacks, self)
        validation_checks.add_validation_check(callbacks, self, reader, validation)
        reader.join_steps(callbacks, "train")
        self.stop_training = False
        _watch_outputs(self, callbacks, reader)  # Before the steps are made, which it changes.
        self.make_train_function()
        _match_reader(self.train_function, reader)
        callbacks.on_train_begin()
        first_epoch = keras_private.find_restored_epoch(self) or initial_epoch
        if reader.has_numbered_passes:  # As in Keras, a data set is left where it stands.
            reader.skip_epochs(first_epoch)
        progress = FitProgress(self, reader, callbacks, first_epoch, validation)
        results = None
        with progress.tell_watchers():
            _begin_selection(self, reader, epochs - progress.epoch, verbose)
            for epoch in progress.list_epochs(epochs):
                progress.begin_epoch(epoch)
                if not progress.had_stopped:
                    _train_epoch(self, progress)
                if not progress.step and epoch == first_epoch:
                    raise ValueError(NO_BATCH)
                results = epoch_logs.find_epoch_logs(self, progress.logs)
                if validation and fit_arguments.is_validated(epoch, validation_freq):
                    results |= _validate(self, validation, progress)
                callbacks.on_epoch_end(epoch, results)
                progress.end_epoch()
                if self.stop_training:
                    break
            if isinstance(self.optimizer, keras.optimizers.Optimizer) and epochs > 0:
                self.optimizer.finalize_variable_values(self.trainable_weights)
            callbacks.on_train_end(logs=results)
        _note_mode(self)
        self.output_watch = None
        return self.history

    @replaced_methods.call_replacement
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
        fit_arguments.check_compiled(self, "evaluate")
        # The reader of a fit's validation; a class that overrides this may hand on a `False`.
        reader = kwargs.pop("_use_cached_eval_dataset", None)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {kwargs}")
        if not reader:
            fit_arguments.check_batch_size(batch_size)
            examples.check_batch_size(x, batch_size)
            data_checks.check_arrays(x=x, y=y, sample_weight=sample_weight)
            data_checks.check_length(x, steps, "steps")
            reader = Reader(self, x, y, sample_weight, batch_size, steps)
        if not reader.is_checked:
            data_checks.check_reader(self, reader, "evaluate")
            reader.is_checked = True
        _build_for(self, reader)
        reader.reset()
        callbacks = _list_callbacks(self, callbacks, verbose, 1, reader)
        reader.join_steps(callbacks, "test")
        self.make_test_function()
        _match_reader(self.test_function, reader)
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
        logs = epoch_logs.convert_to_floats(epoch_logs.find_epoch_logs(self, logs))
        callbacks.on_test_end(logs)
        return logs if return_dict else epoch_logs.order_values(self, logs)

    @replaced_methods.call_replacement
    @keras_private.filter_traceback
    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Returns the outputs for all examples, as Keras's `predict`, in the model's mode."""
        shard_checks.check_scope(self)
        fit_arguments.check_batch_size(batch_size)
        examples.check_batch_size(x, batch_size)
        data_checks.check_arrays(x=x)
        data_checks.check_length(x, steps, "steps")
        reader = Reader(self, x, batch_size=batch_size, steps_per_epoch=steps)
        data_checks.check_reader(self, reader, "predict")
        callbacks = _list_callbacks(self, callbacks, verbose, 1, reader)
        self.make_predict_function()
        _match_reader(self.predict_function, reader, as_lists=True)
        self.stop_predicting = False
        callbacks.on_predict_begin()
        outputs = []
        with reader.catch_end():
            for first, last, read in reader.executions():
                callbacks.on_predict_batch_begin(first)
                outputs.append(self.predict_function(read()))
                callbacks.on_predict_batch_end(last, {"outputs": outputs[-1]})
                if self.stop_predicting:
                    break
        callbacks.on_predict_end()
        if not outputs:
            raise ValueError(NO_BATCH)
        return keras_private.concatenate_arrays(outputs)

    def make_train_function(self, force=False):
        """Makes `train_function`, an executor, if there is none for the present mode."""
        _make_executor(self, "train", force)

    def make_test_function(self, force=False):
        """Makes `test_function`, an executor, if there is none for the present mode."""
        _make_executor(self, "test", force)

    def make_predict_function(self, force=False):
        """Makes `predict_function`, an executor, if there is none for the present mode."""
        _make_executor(self, "predict", force)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Called by `train_on_batch` and `test_on_batch`."""
        shard_checks.check_scope(self)
        if not keras_private.is_built(self):
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            optimizers.build_optimizer_of_plain_step(self)


def _make_executor(model, kind, force):
    """Makes an executor, unless there is one for the present mode, or a function of the user's."""
    name = f"{kind}_function"
    function = getattr(model, name)
    is_good = executors.is_of_user(function)
    if isinstance(function, executors.Executor):
        is_good = function.serves(model.mode) and (kind != "train" or function.has_present_rates())
    if force or not is_good:
        setattr(model, name, executors.make_executor(model, kind, model.mode))


def _watch_outputs(model, callbacks, reader):
    """Lets the steps of this fit look at what logs do not tell, if a callback asks for it."""
    asking = [one for one in callbacks.callbacks if getattr(one, "watches_outputs", False)]
    has_many_steps = reader.execution_length.is_joined or model.asked_steps_per_execution != 1
    watched = None
    if asking:
        ignored = set.intersection(*(set(one.ignore) for one in asking))
        watched = output_watch.find_watched(model, has_many_steps, tuple(sorted(ignored)))
    model.output_watch = None if watched is None else output_watch.OutputWatch(watched)


def _train_epoch(model, progress):
    """Runs the executions of an epoch; those that are left, of one that is resumed."""
    reader, callbacks = progress.reader, progress.callbacks
    with reader.catch_end():
        for first, last, read in reader.executions(progress.step):
            num_steps = last - first + 1
            with callback_changes.refuse_changes(model, num_steps):
                callbacks.on_train_batch_begin(first)
            if model.train_function is None:  # A callback has set another mode.
                _check_mode_within_fit(model)
                model.make_train_function()
            logs = model.train_function(progress.begin_execution(read()))
            with callback_changes.refuse_changes(model, num_steps):
                callbacks.on_train_batch_end(last, logs)
            progress.end_execution(last + 1, logs)
            if model.stop_training:
                break


def _validate(model, arguments, progress):
    """Returns the logs of the validation data; their reader is kept among the arguments."""
    # Keras's name for it: classes that override `evaluate` hand it on.
    if "_use_cached_eval_dataset" not in arguments:
        data = {**arguments, "steps_per_epoch": arguments["steps"]}
        del data["steps"]
        reader = arguments["_use_cached_eval_dataset"] = Reader(model, **data)
        progress.set_validation_reader(reader)
    logs = model.evaluate(**arguments, callbacks=progress.callbacks, return_dict=True)
    return {f"val_{name}": value for name, value in logs.items()}


def _list_callbacks(model, callbacks, verbose, epochs, reader, **more):
    params = {"verbose": verbose, "epochs": epochs, "steps": reader.num_batches}
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        return keras.callbacks.CallbackList(
            callbacks, add_progbar=verbose != 0, model=model, **params, **more
        )
    if not params.keys() <= callbacks.params.keys():  # The user's own may have none.
        callbacks.set_params(params | callbacks.params)
    return callbacks


def _begin_selection(model, reader, num_epochs, verbose):
    """Lets mode "auto" try modes in this fit, if there are any to try."""
    if not _has_modes_to_try(model):
        return
    selector = model.mode_selector
    if executors.is_of_user(model.train_function):
        selector.settle_for_graph("`make_train_function` is overridden", verbose)
    elif not reader.is_dense:
        selector.settle_for_graph("the batches are not dense", verbose)
    else:
        refusing = keras_private.find_refusing_layers(model)
        if refusing:
            selector.rule_out_xla(f"XLA cannot compile its layers {refusing}")
        elif keras_private.refuses_xla(model):
            selector.rule_out_xla("Keras allows no XLA in this program")
        reader.select_mode_with(selector, num_epochs, verbose)


def _has_modes_to_try(model):
    selector = model.mode_selector
    return selector is not None and not model.run_eagerly and bool(selector.untried)


def _check_mode_within_fit(model):
    """Raises if a mode was set that has to see the data from their beginning."""
    if _has_modes_to_try(model):
        raise ValueError(
            '`mode` must be set to "auto" before a fit, not by a callback within one. '
            f"Received: mode={model.mode!r}"
        )


def _note_mode(model):
    """Ends the selection of mode "auto"; the history tells what has run."""
    if model.mode_selector is not None and not model.run_eagerly:
        model.mode_selector.end()
        model.history.params["microseconds_per_step"] = dict(model.mode_selector.microseconds)
    model.history.params["mode"] = model.mode
    loop_mode = getattr(model.train_function, "loop_mode", None)
    if modes.MODES[model.mode].stacks_batches and loop_mode:
        model.history.params["loop"] = loop_mode


def _build_for(model, reader):
    """Builds what is not built yet, where a step is too late or too dear to do it."""
    shard_checks.check_scope(model)
    if keras_private.find_own_strategy(model) is not None and not keras_private.is_built(model):
        spec = reader.element_spec
        if spec is None:
            batch = reader.read_local_batch()
        else:
            batch = keras_private.make_symbolic_batch(spec)
        model._maybe_symbolic_build(data_batch=batch)
    optimizers.build_optimizer_of_plain_step(model)


def _match_reader(function, reader, as_lists=False):
    """Lets data be handed out as Keras does, if a function is the user's own."""
    if executors.is_of_user(function):
        reader.read_as_keras(as_lists)
