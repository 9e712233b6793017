"""`kerasmodes launch`: several workers on this machine."""

import sys

from kerasmodes import launching
from kerasmodes.cli.flags import pick

OWN_COMMANDS = ("train", "tune")


def launch(parser):
    """Run a command of kerasmodes, or another program, as several workers on this machine."""
    of_launch = parser.add_function_arguments(launching.launch, skip={"command"})
    parser.add_argument(
        "program",
        nargs="*",
        help="After `--`: a command (`train msggan ...`), or a program with its arguments.",
    )

    def run(flags):
        if not flags.program:
            raise ValueError(
                "`launch` must be given a program behind two dashes, as in: kerasmodes launch "
                "--num-workers 2 -- train sum. Received: none"
            )
        own = [sys.executable, "-m", "kerasmodes"] if flags.program[0] in OWN_COMMANDS else []
        launching.launch([*own, *flags.program], **pick(flags, of_launch))

    return run
