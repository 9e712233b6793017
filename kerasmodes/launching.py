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
from collections.abc import Sequence

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
    `km.callbacks.Resume` resumes after its last complete epoch). The workers receive Ctrl-C too.
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
            environment = {**os.environ, "TF_CONFIG": make_cluster(ports, index)}
            workers.append(_Worker(index, command, environment, ends))
        for _ in workers:
            worker = ends.get()
            if worker.process.returncode != 0:
                raise WorkerError(worker.describe_failure())
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        _stop(workers, signal.SIGINT if interrupted else signal.SIGTERM)
        raise


class _Worker:
    """A process in a group of its own, and the threads that read its output and wait for it."""

    def __init__(self, index, command, environment, ends):
        self.index = index
        self.tail = []
        self.process = subprocess.Popen(
            command,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_follow_parent if sys.platform == "linux" else None,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.waiter = threading.Thread(target=self._wait, args=(ends,), daemon=True)
        self.waiter.start()

    def _wait(self, ends):
        self.process.wait()
        self.send_signal(signal.SIGKILL)  # Its own children would keep its output open.
        self.reader.join()
        self.process.stdout.close()
        ends.put(self)

    def _read(self):
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self.tail = [*self.tail[1 - TAIL_LINES :], text]
            sys.stdout.write(f"[worker {self.index}] {text}\n")
            sys.stdout.flush()

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def describe_failure(self) -> str:
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return "\n".join([f"Worker {self.index} {how}. Its last lines:", *self.tail])


def _stop(workers, number):
    """Ends all workers and their children: sends the signal, waits, then kills them."""
    for worker in workers:
        worker.send_signal(number)
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(GRACE_SECONDS)
        worker.send_signal(signal.SIGKILL)
        worker.waiter.join()


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
