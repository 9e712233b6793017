"""The flags of MSGGAN and of its preset, and the model that they describe."""

import inspect

import jsonargparse

import kerasmodes as km
from kerasmodes.cli import declared, kinds
from kerasmodes.cli.flags import add_arguments, add_dtype_argument, add_flag, pick, read_help

NOT_FLAGS = {"seed", "preset"}  # The run has a seed; a preset has flags of its own.


def add_gan_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flags of `MSGGAN` and of its preset."""
    gan = declared.km.models.MSGGAN
    add_arguments(parser, "model", gan, skip=NOT_FLAGS)
    add_dtype_argument(parser)
    default = inspect.signature(gan).parameters["preset"].default
    choices = [*declared.km.presets.PRESETS]
    words = "Gives what is left out below."
    add_flag(parser, "preset", "preset", kinds.NAME, default, words, choices=choices)
    for name, (kind, words) in _list_settings().items():
        add_flag(parser, "preset", name, kind, help=words)


def make_gan(flags: jsonargparse.Namespace) -> "km.MSGGAN":
    """Returns the model that the flags describe."""
    names = inspect.signature(km.MSGGAN).parameters.keys() - {*NOT_FLAGS, "kwargs"}
    arguments = pick(flags, names)
    return km.MSGGAN(**arguments, dtype=flags.dtype, preset=make_preset(flags), seed=flags.seed)


def make_preset(flags: jsonargparse.Namespace) -> "km.presets.Preset":
    """Returns the preset of the flags, with the settings that were given.

    Raises:
        ValueError: If the preset does not have a setting that was given.
    """
    make = km.presets.PRESETS[flags.preset]
    given = {name: flags[name] for name in _list_settings() if flags[name] is not None}
    for name in given.keys() - inspect.signature(make).parameters.keys():
        raise ValueError(
            f"`{name}` must be left out: the preset {flags.preset!r} has none. "
            f"Received: {name}={given[name]!r}"
        )
    return make(**given)


def _list_settings():
    """Returns the kind and the description of each setting that a preset has, by its name."""
    settings = {}
    for preset in declared.km.presets.PRESETS.values():
        words = read_help(preset)
        for name, parameter in inspect.signature(preset).parameters.items():
            text = words.get(name, "").partition(";")[0].removesuffix(".") + "."
            settings.setdefault(name, (kinds.find_kind(parameter), text))
    return settings
