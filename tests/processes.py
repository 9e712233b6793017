"""Processes of tests: that start at once, and whether they have ended."""

import contextlib
import os
import pathlib
import select

import kerasmodes

# Begins a program that needs modules of the package which do not need TensorFlow: its import takes
# seconds.
WITHOUT_TENSORFLOW = f"""
import sys, types
sys.modules["kerasmodes"] = types.ModuleType("kerasmodes")
sys.modules["kerasmodes"].__path__ = {kerasmodes.__path__!r}
"""


def open_process(pid):
    """Returns a file that tells when a process has ended, or `None` if it is gone already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def has_ended(process):
    """Returns whether a process, as `open_process` gives it, ends within a minute.

    A killed process is there for a moment still: the kernel ends it after the call has returned.
    """
    if process is None:
        return True
    try:
        return bool(select.select([process], [], [], 60)[0])
    finally:
        os.close(process)


def list_children(pid):
    """Returns the ids of the processes that a process has started."""
    children = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        # A thread that has ended by now has none.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children += map(int, (task / "children").read_text().split())
    return children
