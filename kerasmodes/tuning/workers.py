"""Processes that share one search: keras-tuner's chief, which has the oracle, and its workers.

This file starts, watches and ends them on this machine. What the chief does is in `serving.py`,
what a tuner does in each role in `shared_search.py`.
"""

import contextlib
import os
import pathlib
import queue
import signal
import socket
import sys
from collections.abc import Iterator, Sequence

import tensorflow as tf

from kerasmodes import arguments, launching

# keras-tuner's environment variables. A process whose id contains "chief" is the chief.
ID, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
CHIEF = "chief"
LOOPBACK = "127.0.0.1"
# What each worker has of its own: threads of one operation, of several, and of other libraries.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
GPUS = "CUDA_VISIBLE_DEVICES"
# A worker whose chief has failed fails too: the chief's own message is the better one.
SECONDS_FOR_CHIEF = 5
TAIL_BYTES = 4_000


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
    arguments.check_positive_integers(num_workers=num_workers)
    arguments.check_integers(0, max_restarts=max_restarts)
    if chief is None:
        chief = f"{LOOPBACK}:{launching.find_free_ports(1)[0]}"
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    group = _Group(command, chief, list_shares(num_workers), pathlib.Path(directory))
    # An error that a signal raises may be lost: Python ignores those in what it calls in a fork.
    with launching.call_on_sigterm(group.ends.put):
        try:
            group.start()
            group.watch(max_restarts)
        finally:
            group.stop()


def find_role() -> str | None:
    """Returns this process's part in a search: `"chief"`, `"worker"`, or `None` if it is alone."""
    if ADDRESS not in os.environ:
        return None
    return CHIEF if CHIEF in os.environ.get(ID, "") else "worker"


@contextlib.contextmanager
def take_role(
    chief: str | None = None, join: str | None = None, worker_id: str | None = None
) -> Iterator[str | None]:
    """While open, this process is the chief of a search, or a worker of one; yields its role.

    Without arguments it has the role that it was started with.

    Args:
        chief: `ADDRESS:PORT` where the chief waits for workers, for example `"0.0.0.0:9000"`.
        join: `ADDRESS:PORT` of the chief whose worker this process is.
        worker_id: Name of the worker, with `join`, and no other's. One that starts again under its
            name repeats the trial that it had. `None` is a new name.

    Raises:
        ValueError: If an argument is wrong, or two contradict each other.
    """
    if chief is not None and join is not None:
        raise ValueError(f"`join` must be left out with `chief`. Received: {join=}, {chief=}")
    if worker_id is not None and (join is None or CHIEF in worker_id or not worker_id):
        raise ValueError(
            f"`worker_id` must be a name without {CHIEF!r}, and be given with `join`. "
            f"Received: {worker_id=}, {join=}"
        )
    variables = {}
    if chief is not None:
        tf.config.set_visible_devices([], "GPU")
        variables = make_environment(CHIEF, "chief", chief)
    elif join is not None:
        name = worker_id or f"{socket.gethostname().replace(CHIEF, 'c')}-{os.getpid()}"
        variables = make_environment(name, "join", join)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield find_role()
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def make_environment(tuner_id: str, argument: str, address: str) -> dict[str, str]:
    """Returns the environment variables of a process of a search.

    Args:
        tuner_id: `"chief"`, or the name of a worker.
        argument: Name of the argument `address`, for an error.
        address: `ADDRESS:PORT` of the chief.

    Raises:
        ValueError: If the address is none.
    """
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"`{argument}` must be ADDRESS:PORT, for example 10.0.0.1:9000. "
            f"Received: {argument}={address!r}"
        )
    return {ID: tuner_id, ADDRESS: host, PORT: port}


def list_shares(num_workers: int) -> list[dict[str, str]]:
    """Returns the environment variables by which workers share this machine, a dict a worker."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [device.name.rpartition(":")[2] for device in tf.config.list_physical_devices("GPU")]
    if gpus and os.environ.get(GPUS):
        gpus = os.environ[GPUS].split(",")[: len(gpus)]
    return [share_devices(index, num_workers, cores or 1, gpus) for index in range(num_workers)]


def share_devices(
    index: int, num_workers: int, num_cores: int, gpus: Sequence[str]
) -> dict[str, str]:
    """Returns the environment variables of one worker's share of cores and GPUs.

    Numbers of threads that the user has set stay.

    Args:
        index: Number of the worker, at least 0.
        num_workers: Number of workers.
        num_cores: Number of the machine's cores.
        gpus: Names of its GPUs, as in `CUDA_VISIBLE_DEVICES`. Each belongs to one worker, unless
            there are more workers than GPUs.
    """
    threads = str(max(1, num_cores // num_workers))
    share = {name: os.environ.get(name, threads) for name in THREADS}
    if gpus:
        own = gpus[index::num_workers] or [gpus[index % len(gpus)]]
        share[GPUS] = ",".join(own)
        if num_workers > len(gpus):  # TensorFlow would take all of the memory for the first.
            share["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return share


class _Group:
    """The chief and the workers of a search on this machine."""

    def __init__(self, command, address, shares, directory):
        self.command = [*map(str, command)]
        self.address = address
        self.shares = shares
        self.directory = directory
        self.ends = queue.SimpleQueue()  # A signal may put a status into it, at any time.
        self.chief = None
        self.workers = {}
        self.failed = None
        make_environment(CHIEF, "chief", address)  # Raises if it is no address.

    def start(self):
        environment = {GPUS: "-1", **make_environment(CHIEF, "chief", self.address)}
        self.chief = launching.Process("The chief", self.command, environment, self.ends)
        for index in range(len(self.shares)):
            self._start_worker(index)

    def _start_worker(self, index):
        address = self.address.replace("0.0.0.0:", f"{LOOPBACK}:")
        environment = make_environment(f"worker_{index}", "chief", address) | self.shares[index]
        with open(self._find_log(index), "ab") as log:
            self.workers[index] = launching.Process(
                f"Worker {index}", self.command, environment, self.ends, log
            )

    def watch(self, restarts_left):
        """Waits for the chief; starts killed workers again, and raises if something fails."""
        while True:
            ended = self.ends.get()
            if isinstance(ended, int):
                sys.exit(ended)
            code = ended.process.returncode
            if ended is self.chief:
                if code == 0:
                    return
                raise launching.WorkerError(f"{ended.describe_end()}. {self._explain_resuming()}")
            index = next(index for index, worker in self.workers.items() if worker is ended)
            if code < 0 and restarts_left:
                restarts_left -= 1
                self._start_worker(index)
                _show(
                    f"{ended.describe_end()}. It starts again and repeats its trial "
                    f"({restarts_left} restarts left)."
                )
            elif code != 0:
                self._wait_for_chief()
                raise launching.WorkerError(self._describe_failure(ended, index))

    def _wait_for_chief(self):
        """Puts the chief's end before that of a worker that failed because of it."""
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
        started = [self.chief, *self.workers.values()] if self.chief else []
        launching.stop(started, signal.SIGTERM)
        if sys.stdout.isatty():  # A chief that was killed has left the cursor hidden.
            print("\x1b[?25h", end="", flush=True)


def _show(text):
    """Prints a line; on a terminal, in the place of the chief's line of progress."""
    print(f"\r\x1b[2K{text}" if sys.stdout.isatty() else text, flush=True)
