"""What the commands share: flags read from the library's signatures, and where messages go."""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import docstring_parser
import jsonargparse
import rich.console

import kerasmodes as km
from kerasmodes.cli import declared, kinds

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import tensorflow as tf

# What adds the flags of a command returns the function that runs it.
Command = Callable[[jsonargparse.Namespace], None]

PLAIN = {"soft_wrap": True, "markup": False, "emoji": False, "highlight": False}
console = rich.console.Console(**PLAIN)
errors = rich.console.Console(**PLAIN, stderr=True)

# For one line of the help; the docstrings of these arguments speak to programs.
SHORT_HELP = {
    "augmentation": "One of {}; without it, none.",
    "averaged": "Whether averaged weights make the images.",
    "cache_dir": "Keeps the features of the real images here.",
    "chief": "Where to wait for workers of other machines.",
    "data_dir": "Folder of TFDS's data sets.",
    "discriminator_optimizer": "Keras's name; without it, the preset's.",
    "discriminator_steps": "Its updates for one of the generator.",
    "generator_optimizer": "Keras's name; without it, the preset's.",
    "idx_dir": "Folder with Fashion-MNIST's IDX files.",
    "image_shape": "Shape of the images.",
    "jit_compile": "As in Keras; must agree with --mode.",
    "loss": "Name of a loss; a wrong one lists all.",
    "metrics": "Names of metrics.",
    "mode": "How a step is run; without it, as in Keras.",
    "optimizer": "Keras's name, or the path of a class.",
    "overwrite": "Delete the search in the folder first.",
    "losses": "One or more of {}.",
    "penalties": "One or more of {}.",
    "repair": "Set damaged files of the search aside.",
    "run_eagerly": "As in Keras; must agree with --mode.",
    "seed": "Fixes the random numbers.",
    "split": "Part of the data set, such as train[:1000].",
    "steps_per_execution": "As in Keras; without it, by the mode.",
    "tuner": "One of {}.",
}
# The tables whose names stand in such a line.
TABLES = {
    "augmentation": lambda: declared.km.augmentation.NAMES,
    "losses": lambda: declared.km.losses.LOSSES,
    "penalties": lambda: declared.km.penalties.PENALTIES,
    "tuner": lambda: declared.km.tuning.tuners.TUNERS,
}
FIT_HELP = {
    "batch_size": "Examples in the global batch; without it, 32.",
    "epochs": "Passes over the data.",
}
# What the value's name in the help says already.
KIND_OF_NUMBER = re.compile(r"(Positive int|Int|Integer)s?(, at least \d)?[:,] (?!or )(the )?")


def pick(flags: jsonargparse.Namespace, names: Iterable[str]) -> dict:
    """Returns the flags of these names, the keyword arguments of a call."""
    return {name: flags[name] for name in names}


@contextlib.contextmanager
def name_flag(argument: str, flag: str) -> Iterator[None]:
    """Lets the errors of a call name the flag that was typed, where its argument has another name.

    Args:
        argument: Name of an argument of what is called.
        flag: Name of the flag, with underscores.
    """
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        words = str(error).replace(f"`{argument}`", f"`{flag}`")
        words = re.sub(rf"\b{argument}=", f"{flag}=", words)
        if words == str(error):
            raise
        raise type(error)(words) from error


def list_flags(parser: jsonargparse.ArgumentParser) -> list[str]:
    """Returns the flags that the help of a command shows, such as `--batch-size`."""
    return sorted(set(re.findall(r"--[a-z][a-z0-9-]*", parser.format_help())))


def name_flags(message: str, parser: jsonargparse.ArgumentParser) -> str:
    """Returns an error of the library with its arguments as one writes them for a command.

    It has `--batch-size` for `batch_size`, and --batch-size=0 for batch_size=0.

    Args:
        message: What the error says.
        parser: Parser of the command.
    """
    for flag in list_flags(parser):
        name = flag[2:].replace("-", "_")
        message = message.replace(f"`{name}`", f"`{flag}`")
        # Not in a path, nor in a value that was received.
        message = re.sub(rf"(?<![\w.\-/'\"]){name}=", f"{flag}=", message)
    return message


def add_flag(
    parser: jsonargparse.ArgumentParser,
    title: str,
    name: str,
    kind: kinds.Kind,
    default: Any = None,
    help: str = "",
    **others: Any,
) -> None:
    """Adds one flag, in the help under a heading.

    Args:
        parser: Parser of the command.
        title: Heading in the help; flags with the same heading stand together.
        name: Name of the argument, with underscores; that of the flag has dashes.
        kind: What the flag takes.
        default: Value without the flag; the help adds it, unless it is `None`.
        help: Sentence for the help.
        **others: Passed to argparse's `add_argument`.
    """
    find_group(parser, title).add_argument(
        f"--{name.replace('_', '-')}",
        type=kind,
        default=default,
        help=help.replace("%", "%%"),
        **({} if "choices" in others else {"metavar": kind.metavar}),
        **others,
    )


def add_switch(parser: jsonargparse.ArgumentParser, title: str, name: str, help: str) -> None:
    """Adds a flag that takes no value; see `add_flag`."""
    find_group(parser, title).add_argument(
        f"--{name.replace('_', '-')}", action="store_true", help=help
    )


def find_group(parser: jsonargparse.ArgumentParser, title: str) -> Any:
    """Returns the group of flags with a heading, a new one if there is none."""
    return parser.groups.get(title) or parser.add_argument_group(title, name=title)


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
    names = []
    for function in functions:
        helps = read_help(function)
        for name, parameter in inspect.signature(function).parameters.items():
            is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if is_variadic or name in {"self", *skip, *names}:
                continue
            kind = kinds.find_kind(parameter)
            words = _write_short_help(name) or helps.get(name, "")
            add_flag(parser, title, name, kind, parameter.default, words)
            names.append(name)
    return names


def _write_short_help(name):
    """Returns the line of the help for an argument, `None` if it has none but its docstring."""
    words = SHORT_HELP.get(name)
    return words.format(", ".join(TABLES[name]())) if name in TABLES else words


def read_help(function: Callable) -> dict[str, str]:
    """Returns the first sentence on each argument in a docstring, in plain words."""
    helps = {}
    for parameter in docstring_parser.parse(inspect.getdoc(function) or "").params:
        text = " ".join((parameter.description or "").split())
        text = re.sub(r"\s*Defaults to `[^`]*`\.$", "", text)  # The help adds it.
        text = text.partition(". ")[0].removesuffix(".") + "."
        text = re.sub(r"[`\"]", "", text)
        if found := KIND_OF_NUMBER.match(text):
            text = text[found.end()].upper() + text[found.end() + 1 :]
        helps[parameter.arg_name] = text
    return helps


def add_fit_arguments(parser: jsonargparse.ArgumentParser, *names: str) -> tuple[str, ...]:
    """Adds the flags of `fit` with these names, with Keras's defaults; returns the names."""
    parameters = inspect.signature(declared.keras.Model.fit).parameters
    for name in names:
        add_flag(parser, "fit", name, kinds.INT, parameters[name].default, FIT_HELP[name])
    return names


def add_data_argument(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flag of a data set's name."""
    name = inspect.signature(declared.km.data.images).parameters["name"]
    add_flag(parser, "data", "data", kinds.NAME, name.default, "The name for km.data.images.")


def read_images(name: str, **arguments: Any) -> "tf.data.Dataset":
    """Returns `km.data.images`; an error calls the name of the data set `data`, as its flag."""
    with name_flag("name", "data"):
        return km.data.images(name, **arguments)


def add_dtype_argument(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flag of a model's precision."""
    words = "float32, mixed_bfloat16 or mixed_float16."
    add_flag(parser, "model", "dtype", kinds.DTYPE, help=words)
