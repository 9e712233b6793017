"""What `compile` was given: kept for saving, and each optimizer built for its weights on loading.

Which mode the arguments mean is not here: see `modes.py`.
"""

import functools
import inspect
import types

import keras

from kerasmodes import averaging
from kerasmodes.model import keras_private


def remembered(compile):
    """Returns `compile` that keeps the arguments of its outermost call, for saving."""

    @functools.wraps(compile)
    def remembering(self, *args, **kwargs):
        is_outermost = not getattr(self, "_is_compiling", False)
        self._is_compiling = True
        try:
            compile(self, *args, **kwargs)
        finally:
            self._is_compiling = not is_outermost
        if is_outermost:
            # A namespace, not a dictionary: Keras would track (and save) what a dictionary holds.
            self._compile_arguments = types.SimpleNamespace(args=args, kwargs=kwargs)

    return remembering


def for_class(compile, args, kwargs, settings):
    """Returns the arguments for the class's own `compile`, with the settings that it knows."""
    signature = inspect.signature(compile)
    parameters = signature.parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {name: value for name, value in settings.items() if takes_all or name in parameters}
    bound = signature.bind(*args, **kwargs, **known)
    return bound.args, bound.kwargs


def replace_compiled_loss(model):
    """Gives a model that Keras has compiled the loss that is averaged by one rule in all modes."""
    loss = keras_private.compiled_loss(model)
    if loss is not None and not isinstance(loss, keras_private.CompileLoss):
        is_shared = model.distribute_strategy.num_replicas_in_sync > 1
        change = averaging.spread_scalar if is_shared else lambda given: given
        loss = keras_private.CompileLoss(loss, change)
        keras_private.set_compiled_loss(model, loss)


def config_of(model, found=None):
    """Returns what `arguments_of` and `build_optimizers` need, ready for a JSON file.

    Args:
        model: A compiled model.
        found: Arguments of `compile` by name, with what the model made of them: written in place of
            what was given, so that a default that changes later does not change the file's model.
    """
    arguments = model._compile_arguments
    args, kwargs = list(arguments.args), dict(arguments.kwargs)
    if found:
        bound = inspect.signature(type(model).compile).bind(model, *args, **kwargs)
        known = {name: value for name, value in found.items() if name in bound.signature.parameters}
        bound.arguments |= known
        (_, *args), kwargs = bound.args, bound.kwargs
    return {
        "args": keras.saving.serialize_keras_object(args),
        "kwargs": keras.saving.serialize_keras_object(kwargs),
        "optimizer_weights": _optimizer_weights(model),
    }


def arguments_of(config):
    """Returns the positional and the keyword arguments of `compile` that a config holds."""
    args = keras.saving.deserialize_keras_object(config["args"])
    return args, keras.saving.deserialize_keras_object(config["kwargs"])


def build_optimizers(model, config):
    """Builds each optimizer for the weights it had: its state can be loaded only then."""
    optimizer_weights = config["optimizer_weights"]
    if optimizer_weights and not model.built:
        raise ValueError(
            "The model must be built before its optimizers' state can be loaded. Received: "
            f"{model.__class__.__name__} with built=False. Define `build(input_shape)`, or load "
            "with compile=False."
        )
    built_from = optimizers(model)
    for name, places in optimizer_weights.items():
        if not built_from[name].built:
            weights = model.weights
            built_from[name].build([weights[place] for place in places])


def load_with_optimizers(model, path):
    """Loads what `save_weights` wrote, the optimizers' state too.

    Raises:
        ValueError: If the model or an optimizer is not built, and what it had would be lost.
    """
    if not model.built:
        raise ValueError(
            "The model must be built before a fit can go on. Received: "
            f"{model.__class__.__name__} with built=False. Call `build(input_shape)`."
        )
    with model.distribute_strategy.scope():
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        check_built(model)
        try:
            model.load_weights(path)
        except OSError as error:
            raise ValueError(
                f"{path} must be a whole file of weights. Received: {error}"
            ) from error


def built(optimizer, network):
    """Returns an optimizer, or that of the name, built for the weights that a network trains.

    It could not be restored else, nor run on replicas. Under float16 it scales its loss.
    """
    optimizer = keras.optimizers.get(optimizer)
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if network.compute_dtype == "float16" and not is_scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    return optimizer


def check_built(model):
    """Raises if an optimizer has no variables yet, where a step is too late to make them."""
    unbuilt = [name for name, optimizer in optimizers(model).items() if not optimizer.built]
    if unbuilt:
        raise ValueError(
            "Optimizers must be built before `fit` under several replicas, or before it goes on "
            f"from a file. Received: {unbuilt} not built. Call `build(trainable_variables)` of "
            "each in `compile`, under `self.distribute_strategy.scope()`."
        )


def _optimizer_weights(model):
    """Returns, for each built optimizer, the places in `model.weights` of what it updates."""
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    return {
        name: [places[id(v)] for v in keras_private.variables_of_optimizer(optimizer)]
        for name, optimizer in optimizers(model).items()
        if optimizer.built
    }


def optimizers(model):
    """Returns the model's optimizers by attribute name, or by name and place in a list or dict."""
    return {
        name if place is None else f"{name}/{place}": part
        for name, value in sorted(vars(model).items())
        if not name.startswith("_self_")  # TensorFlow's own lists of the same objects
        for place, part in _places(value)
        if isinstance(part, keras.optimizers.Optimizer)
    }


def _places(value):
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]
