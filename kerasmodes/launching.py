"""Several worker processes on this machine, each with its `TF_CONFIG`.

What the workers run is the caller's program; how they share a batch is not here: that is `engine`.
"""

import contextlib
import ctypes
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

from kerasmodes import arguments

__all__ = ["WorkerError", "launch"]

GRACE_SECONDS = 10
# Lines of a failed worker's output that its error repeats.
TAIL_LINES = 40
PR_SET_PDEATHSIG = 1  # of Linux's prctl


class WorkerError(RuntimeError):
    """A worker failed; its last lines are in the message."""


def launch(command: Sequence[str], num_workers: int = 2, max_restarts: int = 0) -> None:
    """Runs a program as several workers on this machine and waits until all have ended.

    Each worker finds in its environment the `TF_CONFIG` that `km.get_strategy("multi_worker")`
    reads. Each line of its output is shown after the worker's number. When one worker fails, all
    are stopped; then they are started again, if restarts are left (a program with
    `km.callbacks.Resume` resumes from its last checkpoint). The workers receive Ctrl-C too.
    No process outlives the call.

    Args:
        command: List of the program and its arguments.
        num_workers: Positive int.
        max_restarts: Int, at least 0: how often the workers may be started again after a failure.

    Raises:
        ValueError: If an argument is wrong.
        WorkerError: If a worker fails and no restart is left.

    Example:

    ```python
    km.launching.launch([sys.executable, "train.py"], num_workers=2)
    ```
    """
    _check(command, num_workers, max_restarts)
    for restarts_left in range(max_restarts, -1, -1):
        try:
            _run(command, num_workers)
            return
        except WorkerError as error:
            if not restarts_left:
                raise
            print(f"{error}\nAll workers start again ({restarts_left} restarts left).", flush=True)


def make_cluster(ports: Sequence[int], index: int) -> str:
    """Returns the `TF_CONFIG` of one worker among several on this machine, a JSON text.

    Args:
        ports: Port of each worker.
        index: Number of the worker, at least 0; 0 is the chief.
    """
    workers = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def find_free_ports(count: int) -> list[int]:
    """Returns ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _run(command, num_workers):
    """Runs the workers once; raises a `WorkerError` if one fails."""
    ports = find_free_ports(num_workers)
    ends, workers = queue.Queue(), []
    try:
        for index in range(num_workers):
            environment = {"TF_CONFIG": make_cluster(ports, index)}
            workers.append(_Worker(index, command, environment, ends))
        for _ in workers:
            worker = ends.get()
            if worker.error is not None:
                raise worker.error
            if worker.process.returncode != 0:
                raise WorkerError(worker.describe_failure())
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        stop(workers, signal.SIGINT if interrupted else signal.SIGTERM)
        raise


class Process:
    """A child process in a group of its own, and the thread that waits for it.

    It does not outlive this process, and what it has started does not outlive it.

    Args:
        name: What messages call it, such as `"Worker 0"`.
        command: List of the program and its arguments.
        environment: Dict of the environment variables that it adds to those of this process.
        ends: Queue that receives this object when the process has ended.
        output: File for stdout and stderr, or `subprocess.PIPE`; `None` leaves them those of this
            process.
    """

    def __init__(self, name, command, environment, ends, output=None):
        self.name = name
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_follow_parent if sys.platform == "linux" else None,
        )
        self.start_reading()
        self.waiter = threading.Thread(target=self._wait, args=(ends,), daemon=True)
        self.waiter.start()

    def _wait(self, ends):
        self.process.wait()
        self.send_signal(signal.SIGKILL)  # Its own children would keep its output open.
        self.finish_reading()
        ends.put(self)

    def start_reading(self) -> None:
        """Called after the start, for a subclass that reads the output."""

    def finish_reading(self) -> None:
        """Called after the end, for a subclass that reads the output."""

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def describe_end(self) -> str:
        """Returns how the process has ended, for example "Worker 0 was killed by SIGKILL"."""
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"{self.name} {how}"


class _Worker(Process):
    """A process whose lines are shown after its number; the last of them are kept."""

    def __init__(self, index, command, environment, ends):
        self.index = index
        self.tail = []
        self.error = None  # Of this process's output.
        super().__init__(f"Worker {index}", command, environment, ends, subprocess.PIPE)

    def start_reading(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def finish_reading(self) -> None:
        self.reader.join()
        self.process.stdout.close()

    def _read(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self.tail = [*self.tail[1 - TAIL_LINES :], text]
            self._show(text)

    def _show(self, text):
        try:
            sys.stdout.write(f"[worker {self.index}] {text}\n")
            sys.stdout.flush()
        except OSError as error:
            self.error = error
            self.send_signal(signal.SIGTERM)

    def describe_failure(self) -> str:
        return "\n".join([f"{self.describe_end()}. Its last lines:", *self.tail])


def stop(processes: Iterable[Process], number: int) -> None:
    """Ends processes and their children: sends a signal, waits ten seconds, then kills them."""
    for process in processes:
        process.send_signal(number)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.process.wait(GRACE_SECONDS)
        process.send_signal(signal.SIGKILL)
        process.waiter.join()


@contextlib.contextmanager
def call_on_sigterm(function: Callable[[int], None]) -> Iterator[None]:
    """While open, SIGTERM calls a function with the exit status that a shell has for it, 143.

    Without this, SIGTERM ends Python at once: nothing is closed. Only the main thread may be
    interrupted; in another one, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: function(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _follow_parent():
    """Makes Linux kill this new process when the launcher dies, for whatever reason."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _check(command, num_workers, max_restarts):
    if not isinstance(command, (list, tuple)) or not command:
        raise ValueError(
            "`command` must be a list of a program and its arguments. "
            f"Received: command={command!r}"
        )
    if shutil.which(str(command[0])) is None:
        raise ValueError(
            "`command` must begin with a program that exists. "
            f"Received: {str(command[0])!r} in command={list(map(str, command))}"
        )
    arguments.check_positive_integers(num_workers=num_workers)
    arguments.check_integers(0, max_restarts=max_restarts)
