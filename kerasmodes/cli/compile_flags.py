"""The flags of a model's `compile`, with the settings of its optimizers that need no Python."""

import copy
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments
from kerasmodes.cli import declared, kinds
from kerasmodes.cli.flags import add_arguments, add_flag, pick

# Arguments of `compile` that `compare_modes` sets itself.
MODE_ARGUMENTS = {"mode", "run_eagerly", "jit_compile", "steps_per_execution"}
DECAY_HELP = "Steps after which learning rates have fallen to half; without it, as above."
CLIPNORM_HELP = "Clip the gradients, together, to this norm."
# Settings of the penalties, with kind and help.
PENALTY_SETTINGS = {
    "gamma": (kinds.FLOAT, "Weight of the penalties; without it, their own."),
    "gamma_decay_steps": (kinds.INT, "Steps after which that weight has fallen to half."),
    "every": (kinds.INT, "Steps from one penalty to the next."),
}
# They change nothing in a model with one output, no weights of examples, and no loop of its own.
WITHOUT_EFFECT = {"auto_scale_loss", "loss_weights", "weighted_metrics"}
NAMES_OF_COMPILE = ["accuracy", "crossentropy"]  # Of metrics; the loss tells which is meant.


def add_compile_arguments(
    parser: jsonargparse.ArgumentParser, model_class: type, skip: Iterable[str] = ()
) -> Callable[..., dict[str, Any]]:
    """Adds the flags of a model's `compile`, those of the modes included.

    Beside `optimizer` stands its learning rate, beside `generator_optimizer` that of the generator;
    for all of them, `learning_rate_decay_steps` and `global_clipnorm`.

    Args:
        parser: Parser of the command.
        model_class: Class of the model, as it is declared.
        skip: Names of arguments to omit.

    Returns:
        A function of the flags that returns the arguments of `compile`. It takes the preset that
        has what is not named, if the model has one.
    """
    functions = [model_class.compile, declared.km.ModesMixin.compile]
    has_keras_arguments = "kwargs" in inspect.signature(model_class.compile).parameters
    if has_keras_arguments:
        functions.append(declared.keras.Model.compile)
    names = add_arguments(parser, "compile", *functions, skip={*skip, *WITHOUT_EFFECT})
    optimizers = [name for name in names if name.endswith("optimizer")]
    for name in optimizers:
        words = "Learning rate; without it, the optimizer's own."
        add_flag(parser, "compile", name_rate(name), kinds.FLOAT, help=words)
    add_flag(parser, "compile", "learning_rate_decay_steps", kinds.INT, help=DECAY_HELP)
    add_flag(parser, "compile", "global_clipnorm", kinds.FLOAT, help=CLIPNORM_HELP)
    if "penalties" in names:
        for name, (kind, words) in PENALTY_SETTINGS.items():
            add_flag(parser, "compile", f"penalty_{name}", kind, help=words)

    def make(
        flags: jsonargparse.Namespace, preset: "km.presets.Preset | None" = None
    ) -> dict[str, Any]:
        given = pick(flags, names)
        for name in optimizers:
            given[name] = _make_optimizer(name, flags, preset and preset.optimizer)
        if "penalties" in names:
            given["penalties"] = _make_penalties(flags, preset)
        if has_keras_arguments:
            check_loss(flags.loss)
            _check_metrics(flags.metrics or ())
        return given

    return make


def name_rate(optimizer):
    return optimizer.removesuffix("optimizer") + "learning_rate"


def _make_optimizer(name, flags, default):
    """Returns the optimizer that the flags describe, or `None` if they say nothing."""
    rate, steps = name_rate(name), flags.learning_rate_decay_steps
    settings = {"learning_rate": flags[rate], "global_clipnorm": flags.global_clipnorm}
    settings = {key: value for key, value in settings.items() if value is not None}
    for key, value in settings.items():
        arguments.check_positive_numbers(**{rate if key == "learning_rate" else key: value})
    has_default = flags[name] is None and default is not None
    if has_default and not settings and steps is None:
        return None
    optimizer = default() if has_default else _find_optimizer(name, flags[name])
    if inspect.isclass(optimizer):
        optimizer = optimizer(**settings)
    elif settings:
        optimizer = type(optimizer).from_config({**optimizer.get_config(), **settings})
    if steps is not None:
        arguments.check_positive_integers(learning_rate_decay_steps=steps)
        first = settings.get("learning_rate", float(optimizer.learning_rate))
        falling = {"learning_rate": _make_falling_schedule(first, steps)}
        optimizer = type(optimizer).from_config({**optimizer.get_config(), **falling})
    return optimizer


def _make_falling_schedule(first, steps):
    """Returns a schedule with no end: half of the first value after so many steps."""
    import keras

    return keras.optimizers.schedules.InverseTimeDecay(first, steps, decay_rate=1.0)


def _make_penalties(flags, preset):
    """Returns the penalties that the flags describe."""
    settings = {name: flags[f"penalty_{name}"] for name in PENALTY_SETTINGS}
    settings = {name: value for name, value in settings.items() if value is not None}
    if "gamma" in settings:
        arguments.check_positive_numbers(penalty_gamma=settings["gamma"])
    for name in settings.keys() - {"gamma"}:
        arguments.check_positive_integers(**{f"penalty_{name}": settings[name]})
    if not settings:
        return flags.penalties
    is_of_preset = flags.penalties == declared.km.models.msg_gan.model.OF_PRESET
    found = km.penalties.get(preset.penalties() if is_of_preset else flags.penalties)
    if not found:
        name, value = next(iter(settings.items()))
        raise ValueError(
            f"`penalty_{name}` must be left out without penalties. "
            f"Received: penalty_{name}={value!r}, penalties={flags.penalties!r}"
        )
    return [_change_penalty(one, **settings) for one in found]


def _change_penalty(penalty, gamma_decay_steps=None, **settings):
    """Returns a penalty with these settings; its weight falls if it has steps for that."""
    changed = type(penalty).from_config({**penalty.get_config(), **settings})
    if gamma_decay_steps is not None:
        first = changed.gamma if arguments.is_number(changed.gamma) else float(changed.gamma(0))
        changed.gamma = _make_falling_schedule(first, gamma_decay_steps)
    return changed


def _list_optimizers():
    """Returns the classes of Keras's optimizers, by their names in small letters."""
    import keras

    return {
        name.lower(): found
        for name, found in vars(keras.optimizers).items()
        if inspect.isclass(found)
        and issubclass(found, keras.optimizers.Optimizer)
        and found not in (keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer)
        and "optimizer" not in name.lower()[1:]  # `MultiOptimizer` holds others.
    }


def _find_optimizer(name, identifier):
    """Returns the class of a name or of a path such as `my_package.Mine`, or what a dict makes."""
    import keras

    optimizers = _list_optimizers()
    expected = f"`{name}` must be one of {', '.join(optimizers)}, or the path of a class such as "
    expected += f"my_package.MyOptimizer. Received: {name}={identifier!r}"
    try:
        if isinstance(identifier, dict):
            return keras.optimizers.get(copy.deepcopy(identifier))  # Keras changes it.
        if identifier.lower() in optimizers:
            return optimizers[identifier.lower()]
        module, _, attribute = identifier.rpartition(".")
        found = getattr(importlib.import_module(module), attribute)
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        reason = ""
        if isinstance(identifier, dict):
            reason = f". {' '.join(str(error).splitlines()[-1:])}"
        elif isinstance(identifier, str) and "." in identifier:
            reason = f", {error}. Is its folder in PYTHONPATH?"
        raise ValueError(expected + reason) from error
    if not (inspect.isclass(found) and issubclass(found, keras.optimizers.Optimizer)):
        raise ValueError(f"{expected}, which is no keras.optimizers.Optimizer")
    return found


def check_loss(name: str) -> None:
    """Raises a `ValueError` that lists Keras's losses, unless one has the name."""
    import keras

    _check_name("loss", name, keras.losses)


def _check_metrics(metrics):
    import keras

    for metric in metrics:
        if metric not in NAMES_OF_COMPILE:
            _check_name("metrics", metric, keras.metrics, NAMES_OF_COMPILE)


def _check_name(argument, name, module, others=()):
    """Raises unless a module of Keras has a loss or a metric of that name."""
    try:
        module.get(name)
    except ValueError as error:
        found = [one for one, value in vars(module).items() if inspect.isfunction(value)]
        names = sorted({*found, *others} - {"get", "serialize", "deserialize"})
        raise ValueError(
            f"`{argument}` must be one of {', '.join(names)}. Received: {argument}={name!r}"
        ) from error
