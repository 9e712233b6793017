"""The command `kerasmodes`: flags to library calls.

Names, defaults and help of flags come from the signatures and docstrings of the library, which are
read without importing it: only what works starts TensorFlow. So what the modules here import at
their top is light. Each command has its own module in this folder.
"""

import argparse
import contextlib
import inspect
import sys
from collections.abc import Callable, Sequence

import jsonargparse

import kerasmodes
from kerasmodes import quiet_start
from kerasmodes.cli import (
    comparison,
    evaluation,
    exporting,
    imaging,
    launch,
    reporting,
    search,
    training,
    verification,
)
from kerasmodes.cli.config_files import (
    ConfigFile,
    check_trusted,
    put_config_first,
    suggest_name,
)
from kerasmodes.cli.flags import Command, errors, list_flags, name_flags
from kerasmodes.cli.help import (
    EPILOG,
    HELP,
    PRINT_CONFIG,
    HelpFormatter,
    Parser,
    describe_commands,
)
from kerasmodes.cli.output import flush_output

COMMANDS = {
    "train": {"sum": training.train_sum, "msggan": training.train_msggan},
    "compare": {"sum": comparison.compare_sum, "msggan": comparison.compare_msggan},
    "data": {"prepare": imaging.prepare},
    "evaluate": evaluation.evaluate,
    "generate": imaging.generate,
    "export": exporting.export,
    "report": reporting.report,
    "tune": {"sum": search.tune_sum, "msggan": search.tune_msggan},
    "launch": launch.launch,
    "verify": verification.verify,
}
LIGHT_COMMANDS = ("launch", "report")  # Their work needs no TensorFlow.
# Errors whose words are enough.
EXPECTED = (ImportError, ValueError, TypeError, RuntimeError, OSError, FloatingPointError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: List of the words after `kerasmodes`; `None` takes those of the process.

    Returns:
        The exit status: 0; 1 after an error, which is shown in one line (with `--traceback` as the
        first word, the error is raised); 2 if a word is no command or no flag; or 130 after Ctrl-C.

    Example:

    ```python
    from kerasmodes import cli

    cli.main(["compare", "sum", "--modes=graph,fused", "--steps=20", "--repeats=1"])
    ```
    """
    words = list(sys.argv[1:] if argv is None else argv)
    show_traceback = words[:1] == ["--traceback"]
    words = words[show_traceback:]
    path, command = find_command(words)
    parser = None
    try:
        with flush_output():
            if _show_words(path, command, words):
                return 0
            parser, run, flags = _read_flags(path, command, words[len(path) :])
            if path[0] not in LIGHT_COMMANDS:
                quiet_start.import_library()
            run(flags)
    except argparse.ArgumentError as error:
        name = " ".join(["kerasmodes", *path, "--help"])
        _show_error(f"{' '.join(str(error).split())} (see {name})")
        return 2
    except EXPECTED as error:
        if show_traceback:
            raise
        words = _describe(error)
        _show_error(name_flags(words, parser) if parser else words)
        return 1
    except KeyboardInterrupt:
        _show("interrupted")
        return 130
    return 0


def find_command(words: Sequence[str]) -> tuple[tuple[str, ...], Callable | dict]:
    """Returns the path of the chosen command, for example `("train", "sum")`, and the command.

    Where the words lead to no command, the path ends at a group of commands, a dict.
    """
    path, command = (), COMMANDS
    for word in words:
        if not isinstance(command, dict) or word not in command:
            break
        path, command = (*path, word), command[word]
    return path, command


def make_parser(
    path: Sequence[str], command: Callable[[jsonargparse.ArgumentParser], Command]
) -> tuple[jsonargparse.ArgumentParser, Command]:
    """Returns the parser of a command, and the function that runs it.

    Args:
        path: Path of the command, for example `("train", "sum")`.
        command: Function of `COMMANDS` that adds the flags.
    """
    parser = Parser(
        prog=" ".join(["kerasmodes", *path]),
        description=inspect.getdoc(command),
        epilog=EPILOG,
        formatter_class=HelpFormatter,
        print_config=PRINT_CONFIG,
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument(
        "--config",
        action=ConfigFile,
        metavar="PATH",
        help="YAML file of flags; those beside it win.",
    )
    return parser, command(parser)


def _show_words(path, command, words):
    """Shows the version, or the help of a group of commands; returns whether it was asked for."""
    rest = words[len(path) :]
    if words[:1] == ["--version"]:
        print(kerasmodes.__version__)
    elif isinstance(command, dict) and (not words or (rest and rest[0] in HELP)):
        print(describe_commands(path, command))
    else:
        return False
    return True


def _read_flags(path, command, words):
    """Returns the parser of a command, the function that runs it, and its flags.

    Raises:
        argparse.ArgumentError: If there is no such command or flag.
    """
    if isinstance(command, dict):
        received = repr(words[0]) if words else "nothing"
        expected = f"`{' '.join(['kerasmodes', *path])}` must be followed by one of "
        received += suggest_name(words[0], command) if words else ""
        raise argparse.ArgumentError(None, f"{expected}{', '.join(command)}. Received: {received}")
    end = words.index("--") if "--" in words else len(words)  # Another program follows.
    own = put_config_first([_replace_underscores(word) for word in words[:end]])
    parser, run = make_parser(path, command)
    try:
        flags = parser.parse_args([*own, *(words[end:] if words[end + 1 :] else [])])
    except argparse.ArgumentError as error:
        words = _suggest_flag(_name_missing(str(error), parser), parser)
        raise argparse.ArgumentError(None, words) from error
    check_trusted(own)
    flags.pop("config")
    return parser, run, flags


def _name_missing(message, parser):
    """Returns an error of the parser with what is missing as one writes it: a flag has dashes."""
    start, required, names = message.partition("are required: ")
    usage = parser.format_usage().split()  # Of all flags, it has those that are required.
    flags = {name: f"--{name.replace('_', '-')}" for name in names.split(", ")}
    names = [flag if flag in usage else name for name, flag in flags.items()]
    return start + required + ", ".join(names)


def _suggest_flag(message, parser):
    """Returns an error of the parser with the flag that the first unknown word may have meant."""
    unknown = message.partition("unrecognized arguments: ")[2].split()
    if not unknown:
        return message
    name = unknown[0].partition("=")[0].lstrip("-")
    return message + suggest_name(f"--{name}", list_flags(parser))


def _describe(error):
    """Returns what an error says; one of the system is written without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    # The second of two is what a temporary file was to become.
    name = error.filename2 or error.filename
    return error.strerror if name is None else f"{name}: {error.strerror}"


def _show_error(error):
    _show(f"error: {error}")


def _show(words):
    # Where nothing can be said, the exit status says it.
    with contextlib.suppress(OSError):
        errors.print(words, style="red")


def _replace_underscores(word):
    """Returns `--max_trials=3` as `--max-trials=3`: both spellings of a flag work."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}"
