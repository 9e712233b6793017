"""Standard output that cannot be written: to a disk without space, to a program that has ended."""

import contextlib
import os
import sys
from collections.abc import Iterator


class OutputError(OSError):
    """Standard output cannot be written."""


@contextlib.contextmanager
def flush_output() -> Iterator[None]:
    """Writes what the block has printed, at its end.

    Raises:
        OutputError: If it cannot be written. What is printed later is lost: otherwise Python would
            try again, and complain, as it ends.
    """
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:  # It is `None` where it was closed before the start.
                sys.stdout.flush()
        except OSError as error:
            _drop_output()
            raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _drop_output():
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
