"""`kerasmodes launch`: several workers on this machine."""

import sys

import jsonargparse

import kerasmodes.launching
from kerasmodes.cli.flags import Command, add_arguments, pick

OWN_COMMANDS = ("train", "tune")


def launch(parser: jsonargparse.ArgumentParser) -> Command:
    """Run a command or a program as several workers on this machine."""
    launch_flags = add_arguments(parser, "workers", kerasmodes.launching.launch, skip={"command"})
    parser.add_argument(
        "program",
        nargs="*",
        help="After `--`: a command (`train msggan ...`), or a program with its arguments.",
    )

    def run(flags: jsonargparse.Namespace) -> None:
        if not flags.program:
            raise ValueError(
                "`program` must follow two dashes, for example: kerasmodes launch "
                "--num-workers 2 -- train sum. Received: none"
            )
        own = [sys.executable, "-m", "kerasmodes"] if flags.program[0] in OWN_COMMANDS else []
        with kerasmodes.launching.call_on_sigterm(sys.exit):  # So that the workers are told, too.
            kerasmodes.launching.launch([*own, *flags.program], **pick(flags, launch_flags))

    return run
