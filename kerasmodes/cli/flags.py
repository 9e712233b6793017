"""What the commands share: flags read from the library's signatures, and where messages go."""

import inspect

import docstring_parser
import keras
import rich.console

from kerasmodes import data, models
from kerasmodes.models.msg_gan import presets

FIT_HELP = {
    "batch_size": "Examples in the global batch; null is Keras's 32.",
    "epochs": "Passes over the data.",
}
# What `compile` takes and `compare_modes` sets itself.
MODE_ARGUMENTS = {"mode", "run_eagerly", "jit_compile", "steps_per_execution"}

console = rich.console.Console(soft_wrap=True)
errors = rich.console.Console(soft_wrap=True, stderr=True)


def pick(flags, names):
    return {name: flags[name] for name in names}


def add_fit_arguments(parser, *names):
    parameters = inspect.signature(keras.Model.fit).parameters
    for name in names:
        parser.add_argument(
            f"--{name}", type=int | None, default=parameters[name].default, help=FIT_HELP[name]
        )
    return names


def add_data_argument(parser):
    name = inspect.signature(data.images).parameters["name"]
    parser.add_argument("--data", default=name.default, help="The `name` for `km.data.images`.")


def add_gan_arguments(parser):
    """Adds the flags of `MSGGAN` and of its preset; returns the function that makes it of them."""
    names = parser.add_class_arguments(models.MSGGAN, skip={"seed", "preset"})
    default = inspect.signature(models.MSGGAN).parameters["preset"].default
    parser.add_argument(
        "--preset", choices=[*presets.PRESETS], default=default, help="One of `km.presets`."
    )
    settings = _list_preset_settings()
    for name, (kind, words) in settings.items():
        parser.add_argument(f"--{name}", type=kind, help=f"{words} Default: the preset's.")

    def make(flags):
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
            settings.setdefault(name, (parameter.annotation | None, words[name]))
    return settings
