"""What `compile` was given: kept for saving, and given again on loading.

Which mode the arguments mean is not here: see `modes.py`.
"""

import functools
import inspect
import types
import warnings
from collections.abc import Callable
from typing import Any

import keras

from kerasmodes import modes
from kerasmodes.engine import keras_private, optimizers, summed_gradients

# What each model's `compile` takes beside the arguments of its class.
OWN_ARGUMENTS = (*modes.SETTINGS, "gradient_dtype")


def record_compile_arguments(compile: Callable) -> Callable:
    """Returns a class's `compile` that also takes a mode, and keeps its outermost arguments.

    What goes with a mode and the class's own `compile` does not know is taken out here, so that
    each model has `mode`, whatever arguments its class has thought of.
    """
    parameters = inspect.signature(compile).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = () if takes_all else [name for name in OWN_ARGUMENTS if name not in parameters]
    knows_mode = "mode" in parameters  # Perhaps another one than ours: the class sees to it.

    @functools.wraps(compile)
    def compile_in_mode(self, *args, **kwargs):
        given = {n: kwargs[n] for n in modes.SETTINGS if kwargs.get(n) is not None}
        taken_out = {name: value for name, value in given.items() if name in unknown}
        # An error comes before anything has changed.
        self.resolve_mode(**(taken_out if knows_mode else given))
        dtype = kwargs.get("gradient_dtype")
        summed_gradients.check_dtype(dtype)
        is_outermost = type(self).compile is compile_in_mode
        if is_outermost:
            self.given_mode = None
        compile(self, *args, **{n: value for n, value in kwargs.items() if n not in unknown})
        is_lost = "mode" in given and not knows_mode and self.given_mode is None
        _set_what_was_lost(self, given if is_lost else taken_out)
        if "gradient_dtype" in unknown or takes_all and "gradient_dtype" in kwargs:
            self.gradient_dtype = dtype  # The class may not have passed it on.
        if is_outermost:
            self.keep_compile_arguments(args, kwargs)

    return compile_in_mode


def _set_what_was_lost(model, settings):
    """Sets what a class's `compile` has not passed on to Keras, beside what it has.

    A class that repeats Keras's signature passes on a 1 for `steps_per_execution` that nobody said.
    """
    if not settings:
        return
    if not model.compiled:
        raise ValueError(
            "A `compile` of your own must call `super().compile(...)`. "
            f"Received: that of {type(model).__name__}, which does not"
        )
    passed_on = {"mode": model.given_mode}
    if model.has_asked_steps and (model.given_mode or model.steps_per_execution > 1):
        passed_on["steps_per_execution"] = model.steps_per_execution
    model.set_mode(**{**passed_on, **settings})


def bind_arguments(
    compile: Callable, args: tuple, kwargs: dict[str, Any], settings: dict[str, Any]
) -> tuple[tuple, dict[str, Any]]:
    """Returns the arguments for the class's own `compile`, with the settings that it knows."""
    signature = inspect.signature(compile)
    parameters = signature.parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = {name: value for name, value in settings.items() if takes_all or name in parameters}
    try:
        bound = signature.bind(*args, **kwargs, **known)
    except TypeError as error:
        raise TypeError(f"{compile.__qualname__}() {error}") from error
    return bound.args, bound.kwargs


def compiles_as_keras(model: keras.Model) -> bool:
    """Returns whether `compile` is that of Keras and of the modes: no class has one of its own."""
    owners = {cls.__module__ for cls in type(model).__mro__ if "compile" in vars(cls)}
    return all(name.startswith(("keras.", "kerasmodes.engine.")) for name in owners)


def make_config(
    model: keras.Model, arguments: types.SimpleNamespace, found: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns what `compile_from_config` needs, ready for a JSON file.

    Arguments of Keras's own `compile` are written as Keras does, since it hands them to models
    without modes, too (`clone_model` makes such); what belongs to the modes stands beside the
    optimizer's settings, where Keras does not look. Those of a `compile` of the user's own are
    written as they were given; but as Keras does where the class writes and reads them, too.

    Args:
        model: A compiled model.
        arguments: Its namespace of what `compile` was given, with `args` and `kwargs`.
        found: Arguments of `compile` by name, with what the model made of them: written in place of
            what was given.
    """
    settings = {n: value for n, value in arguments.kwargs.items() if n in OWN_ARGUMENTS}
    own = {n: value for n, value in arguments.kwargs.items() if n not in OWN_ARGUMENTS}
    if "gradient_dtype" in settings or model.gradient_dtype is not None:
        settings["gradient_dtype"] = model.gradient_dtype  # It may have been assigned.
    bound = inspect.signature(type(model).compile).bind(model, *arguments.args, **own)
    known = {n: value for n, value in (found or {}).items() if n in bound.signature.parameters}
    bound.arguments |= known
    (_, *args), kwargs = bound.args, bound.kwargs
    if compiles_as_keras(model):
        return _make_keras_config(model, args, kwargs, settings)
    if _reads_own_config(model):
        return _make_config_of_own(model, settings)
    kwargs |= settings
    names = [*bound.signature.parameters][1 : 1 + len(args)]
    names += [f"argument {place}" for place in range(len(names), len(args))]
    values, lost = _serialize({**dict(zip(names, args, strict=True)), **kwargs})
    if lost:
        return {"not_saved": lost}
    return {
        "args": [values.pop(name) for name in names],
        "kwargs": values,
        **optimizers.find_weights(model),
    }


def compile_from_config(model: keras.Model, config: dict[str, Any]) -> None:
    """Compiles a model as a config says, and builds each optimizer for the weights it had."""
    if "not_saved" in config:
        not_saved = config["not_saved"].items()
        lost = "; ".join(f"{name} ({kind}): {reason}" for name, (kind, reason) in not_saved)
        _warn_not_compiled(f"Keras could not save {lost}")
        return
    config = dict(config)
    is_own = "kwargs" in config
    try:
        args, kwargs, weights = _read_config(config)
    except (TypeError, ValueError) as error:
        if not is_own:  # As Keras, of its own arguments.
            raise
        _warn_not_compiled(f"an argument could not be read: {error}")
        return
    model.compile(*args, **kwargs)
    with model.distribute_strategy.scope():
        optimizers.build_for_weights(model, **weights)


def _read_config(config):
    """Returns arguments of `compile` and what `optimizers.build_for_weights` needs."""
    args = keras.saving.deserialize_keras_object(config.pop("args", []))
    weights = {name: config.pop(name, {}) for name in ("optimizer_weights", "num_weights")}
    kwargs = config.pop("kwargs", None)
    if kwargs is None:  # As Keras writes it.
        kwargs = config
        if isinstance(kwargs.get("optimizer"), dict) and "kerasmodes" in kwargs["optimizer"]:
            kwargs["optimizer"] = dict(kwargs["optimizer"])
            own = kwargs["optimizer"].pop("kerasmodes")
            weights = own["weights"]
            kwargs = {name: kwargs[name] for name in kwargs if name not in OWN_ARGUMENTS}
            kwargs |= own["settings"]
    return args, keras.saving.deserialize_keras_object(kwargs), weights


def _warn_not_compiled(reason):
    warnings.warn(
        f"`compile()` was not called as part of model loading because {reason}. Call `compile()` "
        "after loading; to have it saved, give classes `get_config()` and register them.",
        stacklevel=5,
    )


def _make_keras_config(model, args, kwargs, settings):
    bound = inspect.signature(keras.Model.compile).bind(model, *args, **kwargs)
    bound.apply_defaults()
    values = {name: bound.arguments[name] for name in keras_private.COMPILE_ARGUMENTS}
    if not isinstance(values["optimizer"], keras.optimizers.Optimizer):
        values["optimizer"] = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    # For a clone without modes: what this model was told, in Keras's words.
    values |= {
        "run_eagerly": model.run_eagerly,
        "jit_compile": model.jit_compile,
        "steps_per_execution": settings.get("steps_per_execution") or 1,
    }
    values, lost = _serialize(values)
    if lost:
        return {"not_saved": lost}
    own = {"settings": _serialize(settings)[0], "weights": optimizers.find_weights(model)}
    if values["optimizer"] is None:
        return {"args": [], "kwargs": {**values, **own["settings"]}, **own["weights"]}
    return {**values, "optimizer": {**values["optimizer"], "kerasmodes": own}}


def _reads_own_config(model):
    """Returns whether a class writes and reads arguments of `compile`, as Keras asks of its own."""
    names = "get_compile_config", "compile_from_config"
    modules = [getattr(type(model), name).__module__ for name in names]
    return not any(one.startswith("kerasmodes.engine.") for one in modules)


def _make_config_of_own(model, settings):
    """Returns what a class adds its own arguments to, with a mode that its `compile` takes."""
    values = keras.Model.get_compile_config(model)
    settings, _ = _serialize(settings)
    if isinstance(values.get("optimizer"), dict):
        own = {"settings": settings, "weights": optimizers.find_weights(model)}
        values["optimizer"] = {**values["optimizer"], "kerasmodes": own}
    if model.is_loaded_with_modes:
        values = {name: values[name] for name in values if name not in modes.SETTINGS} | settings
    return values


def _serialize(values):
    """Returns the values ready for a JSON file, and why others are not, by name."""
    found, lost = {}, {}
    for name, value in values.items():
        try:
            found[name] = keras.saving.serialize_keras_object(value)
        except (TypeError, ValueError, NotImplementedError) as error:
            lost[name] = [type(value).__name__, str(error)]
    return found, lost
