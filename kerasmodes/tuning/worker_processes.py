"""The processes of a search on this machine: started, watched, started again, and ended.

Their roles are in `workers.py`.
"""

import contextlib
import os
import pathlib
import queue
import signal
import sys
from collections.abc import Iterator, Sequence

from kerasmodes import arguments, launching
from kerasmodes.tuning import workers

LOOPBACK = "127.0.0.1"
# A worker whose chief has failed fails too: the chief's own message is the better one.
SECONDS_FOR_CHIEF = 5
TAIL_BYTES = 4_000

_started = []  # The group of workers that this process, their chief, has started.


def launch_workers(
    command: Sequence[str],
    num_workers: int = 2,
    max_restarts: int = 3,
    directory: str | os.PathLike = "tuning",
    chief: str | None = None,
) -> None:
    """Runs a program that calls `km.tuning.search` as one chief and several workers; waits.

    All run the same program on this machine. In the chief, `search` hands out the trials, shows the
    progress and returns the tuner of all trials; it sees no GPU. In a worker, it runs trials until
    there are no more; `find_role` tells the program which one it is. The workers share the CPU's
    cores and the GPUs. Their output goes into the files `worker_0.log`, ... in `directory`.

    A worker that is killed starts again and repeats its trial. When a worker fails with an error,
    or the chief in any way, all end, and the same call resumes the search. No process outlives the
    call.

    Args:
        command: List of the program and its arguments.
        num_workers: Positive int, worker processes.
        max_restarts: Int, at least 0: how many killed workers are started again.
        directory: Folder of the search, for the workers' output.
        chief: `ADDRESS:PORT` where the chief also waits for workers of other machines, for example
            `"0.0.0.0:9000"`; `None` is a free port that other machines cannot reach.

    Raises:
        ValueError: If an argument is wrong.
        WorkerError: If the chief fails, a worker fails with an error, or one is killed and no
            restart is left.

    Example:

    ```python
    km.tuning.launch_workers([sys.executable, "search.py"], num_workers=2)
    ```
    """
    group = _make_group(command, num_workers, max_restarts, directory, chief)
    # An error that a signal raises may be lost: Python ignores those in what it calls in a fork.
    with launching.call_on_sigterm(group.ends.put):
        try:
            group.start_chief()
            group.start_workers()
            group.watch()
        finally:
            group.stop()


@contextlib.contextmanager
def open_workers(
    command: Sequence[str],
    num_workers: int,
    max_restarts: int = 3,
    directory: str | os.PathLike = "tuning",
    chief: str | None = None,
) -> Iterator[None]:
    """While open, this process is the chief of a search whose workers it has started.

    It saves the process that `launch_workers` needs for the chief. `serve` watches the workers.

    Args:
        command: List of the program of a worker and its arguments.
        num_workers, max_restarts, directory, chief: As in `launch_workers`.

    Raises:
        ValueError: If an argument is wrong.
        WorkerError: If a worker fails with an error, or one is killed and no restart is left.
    """
    group = _make_group(command, num_workers, max_restarts, directory, chief)
    with launching.call_on_sigterm(sys.exit), workers.take_role(chief=group.address):
        _started.append(group)
        try:
            group.start_workers()
            yield
        finally:
            group.stop()
            _started.remove(group)


def check_started() -> None:
    """Starts workers again that were killed, of those that this process has started.

    Raises:
        WorkerError: If one has failed with an error, or no restart is left.
    """
    for group in _started:
        group.check()


def _make_group(command, num_workers, max_restarts, directory, chief):
    arguments.check_positive_integers(num_workers=num_workers)
    arguments.check_integers(0, max_restarts=max_restarts)
    if chief is None:
        chief = f"{LOOPBACK}:{launching.find_free_ports(1)[0]}"
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    return _Group(
        command, chief, workers.list_shares(num_workers), pathlib.Path(directory), max_restarts
    )


class _Group:
    """The workers of a search on this machine, and its chief if that is another process."""

    def __init__(self, command, address, shares, directory, restarts_left):
        self.command = [*map(str, command)]
        self.address = address
        self.shares = shares
        self.directory = directory
        self.restarts_left = restarts_left
        self.ends = queue.SimpleQueue()  # A signal may put a status into it, at any time.
        self.chief = None
        self.workers = {}
        workers.make_environment(workers.CHIEF, "chief", address)  # Raises if it is no address.

    def start_chief(self):
        environment = {
            workers.GPUS: "-1",
            **workers.make_environment(workers.CHIEF, "chief", self.address),
        }
        self.chief = launching.Process("The chief", self.command, environment, self.ends)

    def start_workers(self):
        for index in range(len(self.shares)):
            self._start_worker(index)

    def _start_worker(self, index):
        address = self.address.replace("0.0.0.0:", f"{LOOPBACK}:")
        environment = (
            workers.make_environment(f"worker_{index}", "chief", address) | self.shares[index]
        )
        with open(self._find_log(index), "ab") as log:
            self.workers[index] = launching.Process(
                f"Worker {index}", self.command, environment, self.ends, log
            )

    def watch(self):
        """Waits for the chief; starts killed workers again, and raises if something fails."""
        while True:
            ended = self.ends.get()
            if isinstance(ended, int):
                sys.exit(ended)
            if ended is not self.chief:
                self._handle_end(ended)
            elif ended.process.returncode == 0:
                return
            else:
                raise launching.WorkerError(f"{ended.describe_end()}. {self._explain_resuming()}")

    def check(self):
        """Starts killed workers again, and raises if one fails; does not wait."""
        while not self.ends.empty():
            self._handle_end(self.ends.get())

    def _handle_end(self, ended):
        code = ended.process.returncode
        index = next(index for index, worker in self.workers.items() if worker is ended)
        if code < 0 and self.restarts_left:
            self.restarts_left -= 1
            self._start_worker(index)
            _show(
                f"{ended.describe_end()}. It starts again and repeats its trial "
                f"({self.restarts_left} restarts left)."
            )
        elif code != 0:
            self._wait_for_chief()
            raise launching.WorkerError(self._describe_failure(ended, index))

    def _wait_for_chief(self):
        """Puts the chief's end before that of a worker that failed because of it."""
        if self.chief is None:
            return
        with contextlib.suppress(Exception):
            self.chief.process.wait(SECONDS_FOR_CHIEF)
        if self.chief.process.returncode:
            raise launching.WorkerError(f"{self.chief.describe_end()}. {self._explain_resuming()}")

    def _describe_failure(self, worker, index):
        log = self._find_log(index)
        tail = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace").splitlines()
        lines = tail[-launching.TAIL_LINES :]
        return "\n".join(
            [f"{worker.describe_end()}. Its last lines, from {log}:", *lines]
            + [self._explain_resuming()]
        )

    def _explain_resuming(self):
        return f"All processes have ended; the same command resumes the search in {self.directory}."

    def _find_log(self, index):
        return self.directory / f"worker_{index}.log"

    def stop(self):
        started = [self.chief] if self.chief else []
        launching.stop([*started, *self.workers.values()], signal.SIGTERM)
        if self.chief and sys.stdout.isatty():  # One that was killed has left the cursor hidden.
            print("\x1b[?25h", end="", flush=True)


def _show(text):
    """Prints a line; on a terminal, in the place of the chief's line of progress."""
    print(f"\r\x1b[2K{text}" if sys.stdout.isatty() else text, flush=True)
