"""The command `kerasmodes`: flags to library calls.

What a flag means is not decided here: names, defaults and help are read from the signatures and
docstrings of the library. Each command has a module of its own beside this one.
"""

import inspect
import re
import sys

import jsonargparse

import kerasmodes
from kerasmodes.cli import comparison, evaluation, imaging, launch, search, training
from kerasmodes.cli.flags import errors

COMMANDS = {
    "train": {"sum": training.train_sum, "msggan": training.train_msggan},
    "compare": {"sum": comparison.compare_sum, "msggan": comparison.compare_msggan},
    "data": {"prepare": imaging.prepare},
    "evaluate": evaluation.evaluate,
    "generate": imaging.generate,
    "tune": {"sum": search.tune_sum},
    "launch": launch.launch,
}
SUMMARIES = {
    "train": "Train a model in a new run folder.",
    "compare": "Compare the modes: microseconds per step and numbers, side by side.",
    "data": "Prepare data sets.",
    "tune": "Search hyperparameters with keras-tuner.",
}


def main(argv=None):
    """Runs the command.

    Args:
        argv: List of the words after `kerasmodes`; `None` takes those of the process.

    Returns:
        The exit status: 0, 1 after an error, which is shown in one line (`--traceback` as the
        first word shows where it came from), or 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)  # Behind it is another's program.
    own = [_bracketed(_underscored(word)) for word in words[:end]]
    words = [*own, *(words[end:] if words[end + 1 :] else [])]
    show_traceback = words[:1] == ["--traceback"]
    runs = {}
    parser = make_parser(runs)
    path, flags = chosen(parser.parse_args(words[1:] if show_traceback else words))
    try:
        runs[path](flags)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        if show_traceback:
            raise
        errors.print(f"error: {error}", markup=False, highlight=False, style="red")
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted", style="red")
        return 130
    return 0


def make_parser(runs):
    """Returns the parser of the whole command.

    Args:
        runs: Dictionary to fill with the function that runs each command, by the command's path.
    """
    parser = jsonargparse.ArgumentParser(
        prog="kerasmodes", description=kerasmodes.__doc__.split("\n")[0]
    )
    parser.add_argument("--version", action="version", version=kerasmodes.__version__)
    _add_commands(parser, COMMANDS, runs)
    return parser


def chosen(flags):
    """Returns the path of the command that was chosen, and its flags."""
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


def _underscored(word):
    """Returns `--max-trials=3` as `--max_trials=3`: both spellings of a flag work."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _bracketed(word):
    """Returns `(28,28,1)` as `[28,28,1]`: a tuple as it is shown in the help works, too."""
    return re.sub(r"^(--\w+=)?\(([\d, ]*\d),? *\)$", r"\1[\2]", word)
