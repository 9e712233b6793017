"""What a fit changes, kept to be put back: weights, optimizers, metrics, seeds."""

import random
from typing import Any

import keras
import numpy as np

from kerasmodes.engine import keras_private, optimizers


class StepState:
    """What a step of validation changes: metrics, seeds, and other variables that are not trained.

    Not kept are attributes that are no variables, what an operation of `tf.random` with a state of
    its own has drawn, and where a data set stands that shuffles in another order each time.

    Args:
        model: A compiled model with modes.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._values = [(one, np.array(one.numpy())) for one in self._list_variables()]
        self._random, self._numpy = random.getstate(), np.random.get_state()
        self._seeds = keras_private.find_global_seeds()
        self._seed_state = None if self._seeds is None else np.array(self._seeds.state.numpy())

    def restore(self) -> None:
        """Puts everything back."""
        with self._model.distribute_strategy.scope():
            for variable, value in self._values:
                variable.assign(value)
            self._reset_new_metrics()
        random.setstate(self._random)
        np.random.set_state(self._numpy)
        keras_private.set_global_seeds(self._seeds)
        if self._seeds is not None:
            self._seeds.state.assign(self._seed_state)

    def _list_variables(self):
        metrics = keras_private.find_all_metrics(self._model)
        own = [one for one in self._model.variables if not one.trainable]
        return _list_once([*own, *(one for metric in metrics for one in metric.variables)])

    def _reset_new_metrics(self):
        known = {id(variable) for variable, _ in self._values}
        for metric in keras_private.find_all_metrics(self._model):
            if not all(id(variable) in known for variable in metric.variables):
                metric.reset_state()


class ModelState(StepState):
    """What a short fit changes: also weights, optimizers, the mode and the history.

    Args:
        model: A compiled model with modes, built, with built optimizers.
    """

    def __init__(self, model: keras.Model):
        super().__init__(model)
        self._mode = model.mode
        self._asked_steps = model.steps_per_execution if model.has_asked_steps else None
        self._history = getattr(model, "history", None)

    def restore(self) -> None:
        """Puts everything back."""
        has_new_seeds = keras_private.find_global_seeds() is not self._seeds
        super().restore()
        model = self._model
        if self._mode == "auto":  # What it has measured of a few steps tells nothing.
            model.set_mode("auto", steps_per_execution=self._asked_steps)
        if has_new_seeds:  # Compiled steps draw from a generator that was made meanwhile.
            model.train_function = model.test_function = model.predict_function = None
        model.history, model.stop_training = self._history, False

    def _list_variables(self):
        found = optimizers.find_optimizers(self._model).values()
        own = [*self._model.variables, *(one for part in found for one in part.variables)]
        return _list_once([*own, *super()._list_variables()])


def build_from_batch(model: keras.Model, element_spec: Any) -> None:
    """Builds a model and its optimizers before a step does, so that their state is known.

    Args:
        model: A compiled model.
        element_spec: Nested specs of a batch, or `None` if they are unknown.

    Raises:
        ValueError: If the model, or an optimizer, cannot be built without a step.
    """
    if not keras_private.has_all_weights(model) and element_spec is not None:
        try:
            with model.distribute_strategy.scope():
                keras_private.build_from_specs(model, element_spec)
        except RuntimeError as error:
            _raise_unbuilt(model, error)
    if not keras_private.has_all_weights(model):
        _raise_unbuilt(model)
    if model.optimizer is not None and not model.optimizer.built:
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    optimizers.check_optimizers_built(model)


def _raise_unbuilt(model, error=None):
    raise ValueError(
        "`model` must be built: call it on a batch, or define `build(input_shape)`. "
        f"Received: {type(model).__name__} with layers that are not built"
    ) from error


def _list_once(variables):
    return {id(one): one for one in variables}.values()
