"""What `--help` shows: the flags of a command, or the commands of a group.

The words on each flag are in `flags.py`.
"""

import argparse
import copy
import inspect
import textwrap
from collections.abc import Iterator, Sequence

import kerasmodes
from kerasmodes.cli import kinds

HELP, PRINT_CONFIG = ("-h", "--help"), "--print-config"
EPILOG = "A list is written 20,10, and None is null."
NOTES = """kerasmodes COMMAND --help lists the flags of a command.
kerasmodes --version
kerasmodes --traceback COMMAND ... shows where an error came from."""
WIDTH = 80


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
    width = max(len(name) for name, _ in rows)
    lines = [
        " ".join(["usage: kerasmodes", *path, "COMMAND [flags]"]),
        "",
        *textwrap.wrap(kerasmodes.__doc__.split("\n")[0], WIDTH),
        "",
        "commands:",
        *(f"  {name:{width}}  {summary}" for name, summary in rows),
        "",
        NOTES,
    ]
    return "\n".join(lines)


def _list_commands(path: Sequence[str], commands: dict) -> Iterator[tuple[str, str]]:
    """Yields the words of each command and the first line of its docstring."""
    for name, command in commands.items():
        if isinstance(command, dict):
            yield from _list_commands((*path, name), command)
        else:
            yield " ".join((*path, name)), inspect.getdoc(command).partition("\n")[0]
