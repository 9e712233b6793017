"""What the commands share: flags read from the library's signatures, and where messages go."""

import inspect

import keras
import rich.console

from kerasmodes import data

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
