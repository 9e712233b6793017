"""Roles in a search of several processes: keras-tuner's chief, with the oracle, and its workers.

How they are started on this machine is in `worker_processes.py`, what the chief does in
`serving.py`, what a tuner does in each role in `shared_search.py`.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

import tensorflow as tf

# keras-tuner's environment variables. A process whose id contains "chief" is the chief.
ID, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
CHIEF = "chief"
# What each worker has of its own: threads of one operation, of several, and of other libraries.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
GPUS = "CUDA_VISIBLE_DEVICES"


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
