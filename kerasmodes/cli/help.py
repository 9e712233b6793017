"""What `--help` shows: the flags of a command, or the commands of a group.

The words on each flag are in `flags.py`.
"""

import argparse
import copy
import inspect
import shutil
import textwrap
from collections.abc import Iterator, Sequence

import jsonargparse

import kerasmodes
from kerasmodes.cli import kinds

HELP, PRINT_CONFIG = ("-h", "--help"), "--print-config"
EPILOG = "A list is written 20,10, and None is null."
NOTES = (
    "kerasmodes COMMAND --help lists the flags of a command.",
    "kerasmodes --version",
    "kerasmodes --traceback COMMAND ... shows where an error came from.",
)
MOST_COLUMNS = 100  # Longer lines are hard to read.


class Parser(jsonargparse.ArgumentParser):
    """A parser whose help is an error where it cannot be written: argparse ignores that."""

    def print_help(self, file=None):
        print(self.format_help(), end="", file=file)


class HelpFormatter(argparse.HelpFormatter):
    """Help with a usage of one line, and with defaults as one writes them."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26)

    def add_usage(self, usage, actions, groups, prefix=None):
        needed = [one for one in actions if one.required or not one.option_strings]
        words = [
            " ".join([*one.option_strings[:1], one.metavar or one.dest.upper()]) for one in needed
        ]
        super().add_usage(" ".join(["%(prog)s", *words, "[flags]"]), actions, groups, prefix)

    def add_argument(self, action):
        shown = copy.copy(action)
        if HELP[-1] in action.option_strings:
            shown.help = "Show this help, and exit."
        elif PRINT_CONFIG in action.option_strings:
            shown.metavar, shown.help = "", "Print all flags for such a file, and exit."
        elif action.help != argparse.SUPPRESS and action.nargs != 0 and action.default is not None:
            default = kinds.format_value(action.default).replace("%", "%%")
            shown.help = f"{action.help or ''} (default: {default})".strip()
        super().add_argument(shown)


def describe_commands(path: Sequence[str], commands: dict) -> str:
    """Returns the help of a group of commands.

    Args:
        path: Path of the group, for example `("train",)`.
        commands: Dict of the functions and groups of commands by their names.
    """
    rows = [*_list_commands(path, commands)]
    indent = 4 + max(len(name) for name, _ in rows)
    lines = [" ".join(["usage: kerasmodes", *path, "COMMAND [flags]"]), ""]
    lines += [*_wrap(kerasmodes.__doc__.split("\n")[0]), "", "commands:"]
    for name, summary in rows:
        lines += _wrap(summary, f"  {name}".ljust(indent), " " * indent)
    lines += ["", *(line for note in NOTES for line in _wrap(note, later="  "))]
    return "\n".join(lines)


def _wrap(text: str, first: str = "", later: str = "") -> list[str]:
    """Returns the lines of a text in the width of the terminal, which argparse takes, too.

    Args:
        text: The text.
        first: What the first line begins with.
        later: What all later lines begin with.
    """
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=later)


def _list_commands(path: Sequence[str], commands: dict) -> Iterator[tuple[str, str]]:
    """Yields the words of each command and the first line of its docstring."""
    for name, command in commands.items():
        if isinstance(command, dict):
            yield from _list_commands((*path, name), command)
        else:
            yield " ".join((*path, name)), inspect.getdoc(command).partition("\n")[0]
