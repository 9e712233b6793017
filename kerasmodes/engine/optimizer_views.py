"""`model.optimizer` for Keras's callbacks, of a model that has several optimizers.

Keras's callbacks read and set the learning rate of each optimizer in `model.optimizer.optimizers`,
which its `MultiOptimizer` has. They are shown a model whose `optimizer` is such a list.
"""

from typing import Any

import keras

from kerasmodes.engine import keras_private, optimizers

SETTERS = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
READERS = (keras.callbacks.SwapEMAWeights, keras.callbacks.TensorBoard)


def show_optimizers(callbacks: keras.callbacks.CallbackList, model: keras.Model) -> None:
    """Shows all optimizers of a model to those callbacks of Keras's that ask for its optimizer.

    Args:
        callbacks: The callbacks of a fit, which have the model.
        model: A compiled model.

    Raises:
        ValueError: If a callback cannot do its work with the optimizers.
    """
    for one in list(callbacks.callbacks):
        if not isinstance(one, (*SETTERS, *READERS)):
            continue
        if model.optimizer is not None:
            parts = getattr(model.optimizer, "optimizers", [model.optimizer])
            _check_sense(one, {part.name: part for part in parts})
        elif optimizers.find_optimizers(model) or _needs_optimizer(one):
            view = ModelView(model)
            check_callback(one, view)
            one.set_model(view)
            if isinstance(one, keras.callbacks.TensorBoard):  # It counts steps by the optimizer.
                callbacks.callbacks.append(view.optimizer.counter)


class ModelView:
    """A model whose `optimizer` has the list of its optimizers; in all else the model itself.

    Args:
        model: A compiled model.
        names: Names of the optimizers, the attributes of the model; `None` for all.

    Raises:
        ValueError: If the model has no such optimizers.
    """

    def __init__(self, model: keras.Model, names: list[str] | None = None):
        found = optimizers.find_optimizers(model)
        unknown = [name for name in names or () if name not in found]
        if unknown or not found:
            listed = ", ".join(map(repr, found)) or "one that `compile` is given"
            raise ValueError(
                f"`callbacks` must be for an optimizer of the model: {listed}. Received: "
                + (f"name={unknown[0]!r}" if unknown else f"{type(model).__name__} without one")
            )
        chosen = {name: found[name] for name in names or found}
        vars(self).update(_model=model, optimizer=OptimizerList(chosen))

    @property
    def __class__(self):
        return type(self._model)

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __setattr__(self, name, value):
        setattr(self._model, name, value)

    def __call__(self, *args, **kwargs):
        return self._model(*args, **kwargs)


class OptimizerList:
    """What a callback takes for a `MultiOptimizer`.

    Args:
        by_name: Optimizers by the names that their learning rates have in the logs.
    """

    def __init__(self, by_name: dict[str, Any]):
        self.by_name = by_name
        self.optimizers = [OptimizerView(one, name) for name, one in by_name.items()]
        self.counter = StepCounter()

    @property
    def learning_rate(self):
        """That of the only optimizer: before Keras 3.15, callbacks read and set this one alone."""
        return self._find_only().learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        self._find_only().learning_rate = rate

    @property
    def iterations(self):
        """Steps of training since the fit began: an optimizer may count more or fewer."""
        return self.counter.steps

    def _find_only(self):
        if len(self.optimizers) > 1:
            raise AttributeError("Several optimizers have no learning rate in common.")
        return self.optimizers[0]


class OptimizerView:
    """An optimizer under another name; of one that scales losses, that which it wraps."""

    def __init__(self, optimizer, name):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        vars(self).update(_optimizer=inner, name=name)

    def __getattr__(self, name):
        return getattr(self._optimizer, name)

    def __setattr__(self, name, value):
        setattr(self._optimizer, name, value)


class StepCounter(keras.callbacks.Callback):
    """Counts the steps of a fit."""

    accepts_joined_steps = True

    def __init__(self):
        super().__init__()
        self._before = self._in_epoch = 0

    @property
    def steps(self):
        return self._before + self._in_epoch

    def get_state(self):
        """Returns what was counted, for a fit that is resumed."""
        return {"before": self._before, "in_epoch": self._in_epoch}

    def set_state(self, state):
        """Continues to count from what `get_state` has returned."""
        self._before, self._in_epoch = state["before"], state["in_epoch"]

    def on_epoch_begin(self, epoch, logs=None):
        self._before, self._in_epoch = self.steps, 0

    def on_train_batch_end(self, batch, logs=None):
        self._in_epoch = batch + 1


def check_callback(callback: keras.callbacks.Callback, view: ModelView) -> None:
    """Raises a `ValueError` if a callback cannot do its work with the optimizers of a view."""
    by_name = view.optimizer.by_name
    _check_sense(callback, by_name)
    needs_one = isinstance(callback, SETTERS) and len(by_name) > 1
    needs_all = isinstance(callback, keras.callbacks.SwapEMAWeights)
    if (needs_one or needs_all) and not keras_private.has_callbacks_of_several_optimizers():
        advice = "Wrap it in km.callbacks.ForOptimizer(name, callback), or use Keras 3.15."
        raise ValueError(
            "`callbacks` must be made for a model with several optimizers, which those of Keras "
            f"are from 3.15 on. Received: {type(callback).__name__} for "
            f"{', '.join(map(repr, by_name))} with Keras {keras.__version__}. "
            + (advice if needs_one else "Use Keras 3.15.")
        )


def _needs_optimizer(callback):
    is_reader_only = isinstance(callback, keras.callbacks.TensorBoard)
    return not is_reader_only or callback.write_steps_per_second


def _check_sense(callback, by_name):
    name = type(callback).__name__
    for owner, optimizer in by_name.items() if isinstance(callback, SETTERS) else ():
        (rate,) = keras_private.find_learning_rate(optimizer)
        if not isinstance(rate, keras.Variable):
            raise ValueError(
                "`callbacks` must leave a learning rate with a schedule of its own alone. "
                f"Received: {name} for {owner!r}, whose learning rate is a {type(rate).__name__}. "
                "Compile with a number, or choose another optimizer with "
                "km.callbacks.ForOptimizer(name, callback)."
            )
    inner = [getattr(one, "inner_optimizer", one) for one in by_name.values()]
    has_average = any(getattr(one, "use_ema", False) for one in inner)
    if isinstance(callback, keras.callbacks.SwapEMAWeights) and not has_average:
        raise ValueError(
            "`callbacks` must have averaged weights to swap: at least one optimizer with "
            f"use_ema=True. Received: {name} for {', '.join(map(repr, by_name))} without."
        )
