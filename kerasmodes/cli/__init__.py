"""The command `kerasmodes`: flags to library calls.

Names, defaults and help of flags come from the signatures and docstrings of the library. Each
command has its own module in this folder.
"""

import inspect
import re
import sys
from collections.abc import Callable, Sequence

import jsonargparse

import kerasmodes
from kerasmodes.cli import (
    comparison,
    evaluation,
    imaging,
    launch,
    search,
    training,
    verification,
)
from kerasmodes.cli.flags import errors

COMMANDS = {
    "train": {"sum": training.train_sum, "msggan": training.train_msggan},
    "compare": {"sum": comparison.compare_sum, "msggan": comparison.compare_msggan},
    "data": {"prepare": imaging.prepare},
    "evaluate": evaluation.evaluate,
    "generate": imaging.generate,
    "tune": {"sum": search.tune_sum, "msggan": search.tune_msggan},
    "launch": launch.launch,
    "verify": verification.verify,
}
SUMMARIES = {
    "train": "Train a model in a new run folder.",
    "compare": "Compare the modes: microseconds per step and numbers, side by side.",
    "data": "Prepare data sets.",
    "tune": "Search hyperparameters with keras-tuner.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: List of the words after `kerasmodes`; `None` takes those of the process.

    Returns:
        The exit status: 0; 1 after an error, which is shown in one line (with `--traceback` as the
        first word, the error is raised); or 130 after Ctrl-C.

    Example:

    ```python
    from kerasmodes import cli

    cli.main(["compare", "sum", "--modes=[graph,fused]", "--steps=20", "--repeats=1"])
    ```
    """
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)  # Another program follows.
    own = [_replace_parentheses(_replace_dashes(word)) for word in words[:end]]
    words = [*own, *(words[end:] if words[end + 1 :] else [])]
    show_traceback = words[:1] == ["--traceback"]
    runs = {}
    parser = make_parser(runs)
    path, flags = find_command(parser.parse_args(words[1:] if show_traceback else words))
    try:
        runs[path](flags)
    except (ValueError, TypeError, RuntimeError, OSError, FloatingPointError) as error:
        if show_traceback:
            raise
        errors.print(f"error: {error}", markup=False, highlight=False, style="red")
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted", style="red")
        return 130
    return 0


def make_parser(runs: dict[tuple[str, ...], Callable]) -> jsonargparse.ArgumentParser:
    """Returns the parser of the command with all its subcommands.

    Args:
        runs: Dict that this call fills with the function of each command, by the command's path.
    """
    parser = jsonargparse.ArgumentParser(
        prog="kerasmodes", description=kerasmodes.__doc__.split("\n")[0]
    )
    parser.add_argument("--version", action="version", version=kerasmodes.__version__)
    _add_commands(parser, COMMANDS, runs)
    return parser


def find_command(
    flags: jsonargparse.Namespace,
) -> tuple[tuple[str, ...], jsonargparse.Namespace]:
    """Returns the path of the chosen command, for example `("train", "sum")`, and its flags."""
    path = ()
    while "command" in flags:
        path += (flags.command,)
        flags = flags[flags.command]
    return path, flags


def _add_commands(parser, commands, runs, path=()):
    """Adds a tree of commands to the parser; collects their functions in `runs` by path."""
    choices = parser.add_subcommands(dest="command", required=True)
    for name, command in commands.items():
        is_group = isinstance(command, dict)
        description = SUMMARIES[name] if is_group else inspect.getdoc(command)
        child = jsonargparse.ArgumentParser(description=description)
        choices.add_subcommand(name, child, help=description)
        if is_group:
            _add_commands(child, command, runs, (*path, name))
        else:
            runs[(*path, name)] = command(child)


def _replace_dashes(word):
    """Returns `--max-trials=3` as `--max_trials=3`: both spellings of a flag work."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _replace_parentheses(word):
    """Returns `(28,28,1)` as `[28,28,1]`: a tuple may be written as the help shows it."""
    return re.sub(r"^(--\w+=)?\(([\d, ]*\d),? *\)$", r"\1[\2]", word)
