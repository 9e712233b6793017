"""Standard output that cannot be written: to a disk without space, to a program that has ended."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class OutputError(OSError):
    """Standard output cannot be written."""


@contextlib.contextmanager
def flush_output() -> Iterator[None]:
    """Writes what the block has printed, at its end.

    Raises:
        OutputError: If it cannot be written. What is printed later is lost: otherwise Python would
            try again, and complain, as it ends.
    """
    if sys.stdout is None:  # It was closed before the start.
        yield
        return
    output = _Output(sys.stdout)
    try:
        with contextlib.redirect_stdout(output):
            try:
                yield
            finally:
                output.flush()
    except OutputError:
        _drop_output()
        raise


class _Output:
    """A stream whose errors say that it is standard output: the system's say only why.

    They come at any time, not only from a buffer at the end: `PYTHONUNBUFFERED`, or a console.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _name_output():
            return self._stream.write(text)

    def flush(self) -> None:
        with _name_output():
            self._stream.flush()


@contextlib.contextmanager
def _name_output():
    try:
        yield
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _drop_output():
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
