"""What a step or a fit changes, kept to be put back.

The variables are those of `model_state.py`; random numbers and settings are kept here.
"""

from typing import Any

import keras

from kerasmodes.engine import keras_private, model_state, optimizers, random_states


class KeptStep:
    """What a step of validation changes: metrics, seeds, and other variables that are not trained.

    Not kept are attributes that are no variables, what an operation of `tf.random` with a state of
    its own has drawn, and where a data set stands that shuffles in another order each time.

    Args:
        model: A compiled model with modes.
    """

    kinds = (model_state.OTHER, model_state.METRIC)

    def __init__(self, model: keras.Model):
        self._model = model
        self._state = model_state.ModelState(model, self.kinds)
        self._values = self._state.copy()
        self._random = random_states.read()
        self._seeds = keras_private.find_global_seeds()
        self._seed_state = keras_private.read_global_seed()

    def restore(self) -> None:
        """Puts everything back."""
        with self._model.distribute_strategy.scope():
            # Those that are new begin again; the others get their values below.
            for metric in keras_private.find_all_metrics(self._model):
                metric.reset_state()
        self._state.restore(self._values)
        random_states.restore(self._random)
        keras_private.set_global_seeds(self._seeds)
        keras_private.set_global_seed(self._seed_state)


class KeptFit(KeptStep):
    """What a short fit changes: also weights, optimizers, the mode and the history.

    Args:
        model: A compiled model with modes, built, with built optimizers.
    """

    kinds = model_state.KINDS

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
