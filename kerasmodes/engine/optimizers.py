"""A model's optimizers, one or several: found, built for their weights, restored from a file.

What they decide by on several replicas is in `summed_gradients.py`.
"""

import os
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import keras_private, saving


def build_for_weights(
    model: keras.Model, optimizer_weights: dict[str, list[int]], num_weights: int
) -> None:
    """Builds each optimizer for the weights it had: its state can be loaded only then.

    Raises:
        ValueError: If the model is not built, or its `compile` has not made an optimizer of these.
    """
    if optimizer_weights and not model.built:
        raise ValueError(
            "The model must be built before its optimizers' state can be loaded. Received: "
            f"{model.__class__.__name__} with built=False. Define `build(input_shape)`, or load "
            "with compile=False."
        )
    built_from, weights = find_optimizers(model), model.weights
    # Adapters (LoRA) and quantized layers are other weights than those of the model in the file.
    if num_weights != len(weights):
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return
    for name, places in optimizer_weights.items():
        if name not in built_from:
            raise ValueError(
                f"The optimizer {name!r} must be made by `compile`, such as with "
                "km.build_optimizer; or load with compile=False. Received: "
                f"{type(model).__name__} with {', '.join(built_from) or 'no optimizer'}"
            )
        if not built_from[name].built:
            built_from[name].build([weights[place] for place in places])


def load_with_optimizers(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads what `save_weights` wrote, the optimizers' state too.

    Raises:
        ValueError: If the model or an optimizer is not built, and what it had would be lost.
    """
    if not keras_private.has_all_weights(model):
        raise ValueError(
            "The model must be built before a fit can be resumed. Received: "
            f"{model.__class__.__name__} with layers that are not built. Define "
            "`build(input_shape)`."
        )
    optimizer = getattr(model, "optimizer", None)  # A model that is not compiled has none.
    with model.distribute_strategy.scope(), saving.treat_as_built(model):
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        check_optimizers_built(model)
        try:
            model.load_weights(path)
        except OSError as error:
            raise ValueError(
                f"{path} must be a whole file of weights. Received: {error}"
            ) from error


def build_optimizer(
    optimizer: str | keras.optimizers.Optimizer, network: keras.layers.Layer
) -> keras.optimizers.Optimizer:
    """Returns an optimizer that is built for the weights that a network trains.

    For the `compile` of a model with several optimizers, under the model's strategy scope. Built
    optimizers can be restored from a file, and run on replicas.

    Args:
        optimizer: A Keras optimizer, or the name of one. If it is built already, it stays as it is.
        network: The `keras.Model` or layer whose trainable weights it will update. If it computes
            in float16, the optimizer is wrapped in a `keras.optimizers.LossScaleOptimizer`.

    Raises:
        TypeError: If `network` is no model or layer.
        ValueError: If `network` has no weights yet, or the optimizer of several replicas was made
            outside the scope of their strategy.

    Example:

    ```python
    class Pair(km.Model):
        def __init__(self, first, second, **kwargs):
            super().__init__(**kwargs)
            self.first, self.second = first, second

        def compile(self, first_optimizer="adam", second_optimizer="adam", **kwargs):
            super().compile(optimizer=None, **kwargs)
            with self.distribute_strategy.scope():
                self.first_optimizer = km.build_optimizer(first_optimizer, self.first)
                self.second_optimizer = km.build_optimizer(second_optimizer, self.second)
    ```
    """
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"`network` must be a Keras model or layer. Received: network={network!r}")
    if not network.built and not network.trainable_variables:
        raise ValueError(
            "`network` must be built: give it a `keras.Input`, or call its `build(input_shape)`. "
            f"Received: {type(network).__name__} {network.name!r} without weights."
        )
    optimizer = keras.optimizers.get(optimizer)
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if network.compute_dtype == "float16" and not is_scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    check_scopes({optimizer.name: optimizer}, tf.distribute.get_strategy())
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    return optimizer


def build_optimizer_of_plain_step(model: keras.Model) -> None:
    """Builds the optimizer before Keras's own step is traced, if all weights are there.

    A step that makes variables is traced twice. Which weights a step of the user's own updates, it
    alone knows. A model may say that it is built while a layer in it is not.
    """
    is_missing = model.optimizer is not None and not model.optimizer.built
    if is_missing and trains_as_keras(model) and keras_private.has_all_weights(model):
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)


def trains_as_keras(model: keras.Model) -> bool:
    """Returns whether the training step is Keras's own; a model may have been given another."""
    return getattr(model.train_step, "__func__", None) is keras.Model.train_step


def check_optimizers_built(model: keras.Model) -> None:
    """Raises if an optimizer has no variables yet, where a step is too late to make them."""
    unbuilt = list_unbuilt(model)
    if unbuilt:
        raise ValueError(
            "Optimizers must be built before `fit` under several replicas, before a trial run, or "
            f"before it is resumed from a file. Received: {unbuilt} not built. Make "
            "each by km.build_optimizer(optimizer, network) in `compile`, under "
            "`self.distribute_strategy.scope()`."
        )


def check_scopes(optimizers: dict[str, Any], strategy: tf.distribute.Strategy | None) -> None:
    """Raises a `ValueError` if an optimizer of several replicas was made outside their scope.

    Its variables are then of one device: each replica would count the same step.

    Args:
        optimizers: Dictionary of Keras optimizers by name.
        strategy: That of the model, or `None`.
    """
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    for name, optimizer in optimizers.items():
        values = [variable.value for variable in optimizer.variables]
        if not all(isinstance(value, tf.distribute.DistributedValues) for value in values):
            raise ValueError(
                "Optimizers must be made in the scope of the strategy that they run under. "
                f"Received: {name!r}, made outside it. Put it under `with strategy.scope():`."
            )


def list_unbuilt(model: keras.Model) -> list[str]:
    """Returns the names of the model's optimizers that have no variables yet."""
    return [name for name, optimizer in find_optimizers(model).items() if not optimizer.built]


def find_weights(model: keras.Model) -> dict[str, Any]:
    """Returns the places in `model.weights` of what each built optimizer updates, and their number.

    Left out is an optimizer of weights that the model has no longer, such as quantized ones.
    """
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    found = {
        name: [places.get(id(v)) for v in keras_private.find_variables(optimizer)]
        for name, optimizer in find_optimizers(model).items()
        if optimizer.built
    }
    found = {name: own for name, own in found.items() if None not in own}
    return {"optimizer_weights": found, "num_weights": len(places)}


def find_optimizers(model: keras.Model) -> dict[str, Any]:
    """Returns the model's optimizers by attribute name, or by name and place in a list or dict."""
    return {
        name if place is None else f"{name}/{place}": part
        for name, value in sorted(vars(model).items())
        if not name.startswith("_self_")  # TensorFlow's own lists of the same objects
        for place, part in _list_places(value)
        if isinstance(part, keras.optimizers.Optimizer)
    }


def find_all_optimizers(model: keras.Model) -> dict[str, Any]:
    """Returns also the optimizers of models within a model, by the names of both.

    A step may use them; or not, as that of a model which was trained before: they need not be
    built.
    """
    found = find_optimizers(model)
    known = {id(one) for one in found.values()}
    for inner in keras_private.find_layers(model):
        own = find_optimizers(inner) if isinstance(inner, keras.Model) else {}
        new = {f"{inner.path}/{name}": one for name, one in own.items() if id(one) not in known}
        known |= {id(one) for one in new.values()}
        found |= new
    return found


def list_rates(model: keras.Model) -> list:
    """Returns the learning rates of the model's optimizers: variables, schedules or functions."""
    found = find_optimizers(model).values()
    return [rate for one in found for rate in keras_private.find_learning_rate(one)]


def _list_places(value):
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]
