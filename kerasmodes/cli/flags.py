"""What the commands share: flags read from the library's signatures, and where messages go."""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import docstring_parser
import jsonargparse
import keras
import rich.console

from kerasmodes import data, models
from kerasmodes.engine import ModesMixin
from kerasmodes.models.msg_gan import presets

FIT_HELP = {
    "batch_size": "Examples in the global batch; null is Keras's 32.",
    "epochs": "Passes over the data.",
}
# Arguments of `compile` that `compare_modes` sets itself.
MODE_ARGUMENTS = {"mode", "run_eagerly", "jit_compile", "steps_per_execution"}

# What adds the flags of a command returns the function that runs it.
Command = Callable[[jsonargparse.Namespace], None]

console = rich.console.Console(soft_wrap=True)
errors = rich.console.Console(soft_wrap=True, stderr=True)


def pick(flags: jsonargparse.Namespace, names: Iterable[str]) -> dict:
    """Returns the flags of these names, the keyword arguments of a call."""
    return {name: flags[name] for name in names}


def add_arguments(
    parser: jsonargparse.ArgumentParser,
    title: str,
    *functions: Callable,
    skip: Iterable[str] = (),
) -> list[str]:
    """Adds a flag for each argument of functions, with the argument's default and help.

    Type hints do not restrict a flag: the function checks its arguments, so that the command and a
    program show the same error.

    Args:
        parser: Parser of the command.
        title: Heading of the flags in the help.
        *functions: Functions or classes. The first one that has an argument describes it.
        skip: Names of arguments to omit.

    Returns:
        The names of the flags, for `pick`.
    """
    group, names = parser.add_argument_group(title), []
    for function in functions:
        helps = _read_help(function)
        for name, parameter in inspect.signature(function).parameters.items():
            is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if is_variadic or name in {"self", *skip, *names}:
                continue
            kind = Any if parameter.default is None else type(parameter.default) | Any
            group.add_argument(
                f"--{name}", type=kind, default=parameter.default, help=helps.get(name)
            )
            names.append(name)
    return names


def add_compile_arguments(
    parser: jsonargparse.ArgumentParser, model_class: type, skip: Iterable[str] = ()
) -> list[str]:
    """Adds the flags of a model's `compile`, those of the modes included; returns their names."""
    functions = [model_class.compile, ModesMixin.compile]
    if "kwargs" in inspect.signature(model_class.compile).parameters:
        functions.append(keras.Model.compile)
    return add_arguments(parser, "compile", *functions, skip=skip)


def _read_help(function):
    """Returns the help of each argument in a docstring; of Keras's, the first sentence."""
    helps = {}
    for parameter in docstring_parser.parse(inspect.getdoc(function) or "").params:
        text = " ".join((parameter.description or "").split())
        text = re.sub(r"\s*Defaults to `[^`]*`\.$", "", text)  # The help adds it.
        if function.__module__.startswith("keras."):
            text = text.partition(". ")[0].removesuffix(".") + "."
        helps[parameter.arg_name] = text
    return helps


def add_fit_arguments(parser: jsonargparse.ArgumentParser, *names: str) -> tuple[str, ...]:
    """Adds the flags of `fit` with these names, with Keras's defaults; returns the names."""
    parameters = inspect.signature(keras.Model.fit).parameters
    for name in names:
        parser.add_argument(
            f"--{name}", type=int | None, default=parameters[name].default, help=FIT_HELP[name]
        )
    return names


def add_data_argument(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flag of a data set's name."""
    name = inspect.signature(data.images).parameters["name"]
    parser.add_argument("--data", default=name.default, help="The `name` for `km.data.images`.")


def add_gan_arguments(
    parser: jsonargparse.ArgumentParser,
) -> Callable[[jsonargparse.Namespace], models.MSGGAN]:
    """Adds the flags of `MSGGAN` and of its preset; returns the function that makes it of them."""
    names = add_arguments(parser, "model", models.MSGGAN, skip={"seed", "preset"})
    default = inspect.signature(models.MSGGAN).parameters["preset"].default
    parser.add_argument(
        "--preset", choices=[*presets.PRESETS], default=default, help="One of `km.presets`."
    )
    settings = _list_preset_settings()
    for name, (kind, words) in settings.items():
        parser.add_argument(f"--{name}", type=kind, help=f"{words} Default: the preset's.")

    def make(flags: jsonargparse.Namespace) -> models.MSGGAN:
        make_preset = presets.PRESETS[flags.preset]
        given = {name: flags[name] for name in settings if flags[name] is not None}
        for name in given.keys() - inspect.signature(make_preset).parameters.keys():
            raise ValueError(
                f"`{name}` must be left out: the preset {flags.preset!r} has none. "
                f"Received: {name}={given[name]!r}"
            )
        preset = make_preset(**given)
        return models.MSGGAN(**pick(flags, names), preset=preset, seed=flags.seed)

    return make


def _list_preset_settings():
    """Returns the type and the description of each setting that a preset has, by its name."""
    settings = {}
    for preset in presets.PRESETS.values():
        words = {
            one.arg_name: one.description for one in docstring_parser.parse(preset.__doc__).params
        }
        for name, parameter in inspect.signature(preset).parameters.items():
            settings.setdefault(name, (parameter.annotation | None, words.get(name, "")))
    return settings
