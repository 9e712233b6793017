"""Where a fit stands, and how a fit of another program is brought there.

How that is kept in files is in `checkpoints.py`, when in `callbacks/resume.py`.
"""

import contextlib
import pathlib
from typing import Any

from kerasmodes import replicas
from kerasmodes.engine import (
    callback_states,
    executors,
    keras_private,
    model_state,
    optimizers,
    random_states,
    saving,
)
from kerasmodes.engine.fit_watchers import FitWatcher

WEIGHTS = "model.weights.h5"


class FitProgress:
    """Where a fit stands: between two executions.

    Args:
        model: The model that is fitted.
        reader: The `readers.Reader` of its data.
        callbacks: The `keras.callbacks.CallbackList` of the fit.
        epoch: The first epoch.
        validation: Arguments of `evaluate` for the validation data, or `None` for none.

    Attributes:
        epoch: The present epoch; before the first one and after an epoch, the next.
        step: Steps of this epoch that have run.
        logs: What the last step has returned.
        validation_reader: The reader of the validation data, or `None` before the first validation.
        had_stopped: Whether a callback had stopped the fit that is resumed.
        has_failed: Whether a watcher has put the model back to where it was before a failure.
    """

    def __init__(self, model, reader, callbacks, epoch, validation=None):
        self.model, self.reader, self.callbacks = model, reader, callbacks
        self.validation = validation
        self.epoch, self.step, self.logs = epoch, 0, {}
        self._watchers = [one for one in callbacks.callbacks if isinstance(one, FitWatcher)]
        self.had_stopped = self.has_failed = False
        self.validation_reader, self._validation_passes = None, 0
        self._captured = None
        self._epoch_began_with = None  # Where random numbers stood, before callbacks drew some.

    @contextlib.contextmanager
    def tell_watchers(self):
        """While open, the watchers among the callbacks are told what happens."""
        begun = []
        try:
            for watcher in self._watchers:
                begun.append(watcher)
                watcher.begin_fit(self)
            yield
        finally:
            for watcher in reversed(begun):
                watcher.end_fit()

    def list_epochs(self, epochs: int) -> range:
        """Returns the epochs to run of a fit of so many: none if it had stopped between two."""
        return range(self.epoch, self.epoch if self.had_stopped and not self.step else epochs)

    def begin_epoch(self, epoch: int) -> None:
        """Tells the callbacks of a new epoch, and metrics to begin again, unless it is resumed."""
        self.model.reset_metrics()
        self._epoch_began_with = random_states.read()
        self.callbacks.on_epoch_begin(epoch)
        self.epoch = epoch
        if self._captured is not None:
            # Now: a callback may have set a rate, or begun to count again.
            self._restore_values()

    def begin_execution(self, batches: Any) -> Any:
        """Returns what an execution is to run."""
        for watcher in self._watchers:
            batches = watcher.begin_execution(batches)
        return batches

    def end_execution(self, num_steps: int, logs: dict[str, Any]) -> None:
        """Notes an execution.

        Args:
            num_steps: Steps of the epoch that have run now.
            logs: What the last one has returned.
        """
        self.step, self.logs = num_steps, logs
        for watcher in self._watchers:
            watcher.end_execution(logs)

    def end_epoch(self) -> None:
        """Notes that an epoch has ended, and all its callbacks with it."""
        self.epoch, self.step = self.epoch + 1, 0
        for watcher in self._watchers:
            watcher.end_epoch()

    def set_validation_reader(self, reader: Any) -> None:
        """Takes the reader of the validation data, which is made for the first validation."""
        self.validation_reader = reader
        reader.skip_passes(self._validation_passes)

    def capture(self, folder: pathlib.Path | None) -> dict[str, Any]:
        """Returns nested numbers, strings and arrays, from which `restore` brings a fit here.

        Args:
            folder: Where the weights are written, and the place in the data if that needs a file;
                `None` writes nothing, for a worker that is not the chief: each must call this.
        """
        metrics = _read_metrics(self.model) if self.step else []
        if folder is None:
            return {}
        with saving.treat_as_built(self.model):
            self.model.save_weights(folder / WEIGHTS)
        return {
            "epoch": self.epoch,
            "step": self.step,
            "logs": self.logs if self.step else {},
            "has_stopped": bool(self.model.stop_training),
            "metrics": metrics,
            "others": [variable.numpy() for variable in _list_others(self.model)],
            "keras_seed": keras_private.read_global_seed(),
            "random": self._epoch_began_with if self.step else random_states.read(),
            "callbacks": callback_states.get_states(self.callbacks.callbacks),
            "data": self.reader.capture(folder, is_within_epoch=self.step > 0),
            "validation_passes": self.validation_reader.num_opened if self.validation_reader else 0,
        }

    def build(self) -> None:
        """Makes the variables that only a step would make; `restore` gives them their values."""
        found = optimizers.find_all_optimizers(self.model).values()
        if not keras_private.is_built(self.model) or not all(one.built for one in found):
            step = executors.make_executor(self.model, "train", "eager")
            step(self.reader.take_batch())

    def restore(self, state: dict[str, Any], folder: pathlib.Path) -> None:
        """Brings a fit that has just begun to where another one stood.

        Args:
            state: What `capture` has returned.
            folder: What it has written to.
        """
        self._captured = state, folder
        self.epoch, self.step, self.logs = state["epoch"], state["step"], state["logs"]
        self.had_stopped = state["has_stopped"]
        random_states.restore(state["random"])  # Callbacks draw for the epoch what they drew.
        self.reader.restore(state["data"], folder)
        self._validation_passes = state["validation_passes"]
        if not self.step:
            self._restore_values()

    def _restore_values(self):
        (state, folder), self._captured = self._captured, None
        with saving.treat_as_built(self.model):
            optimizers.load_with_optimizers(self.model, folder / WEIGHTS)
        for variable, value in zip(_list_others(self.model), state["others"], strict=True):
            variable.assign(value)
        keras_private.set_global_seed(state["keras_seed"])
        if self.step:
            _assign_metrics(self.model, state["metrics"])
        callback_states.set_states(self.callbacks.callbacks, state["callbacks"])
        self.model.stop_training = state["has_stopped"]


def _list_others(model):
    """Returns the variables that are no weights: of random numbers, and the user's own."""
    weights = {id(weight) for weight in model.weights}
    others = [variable for variable in model.variables if id(variable) not in weights]
    return [*others, *model_state.find_untracked(model).values()]


def _read_metrics(model):
    """Returns the values of each metric's variables, `[replicas, ...]`, on each worker."""
    strategy = model.distribute_strategy
    return [
        replicas.gather_values(strategy, variable.value) for variable in _list_metric_states(model)
    ]


def _assign_metrics(model, values):
    strategy = model.distribute_strategy
    for variable, own in zip(_list_metric_states(model), values, strict=True):
        replicas.assign_values(strategy, variable.value, own)


def _list_metric_states(model):
    metrics = keras_private.find_all_metrics(model)
    found = [variable for metric in metrics for variable in metric.variables]
    return list({id(variable): variable for variable in found}.values())
