"""`get_strategy`: where replicas run, from one word.

What runs on a replica, and how batches are split, is not here: that is `engine`.
"""

import functools
import os
import re
import shutil
import socket
import time

import tensorflow as tf

from kerasmodes import arguments, replicas

RETRY_SECONDS = 0.5
MOST_TASKS_OF_A_NODE = 2**12
# Ports of the steps of SLURM's jobs: below 32,768, where the ports begin that systems assign.
FIRST_PORT, PORTS_OF_A_STEP, NUM_PORT_RANGES = 8_888, 128, 180
NAMES = "'single', 'mirrored', 'mirrored:N', 'cpu:N', 'multi_worker' or 'auto'"


def get_strategy(name: str = "auto", timeout: float = 300) -> tf.distribute.Strategy:
    """Returns a `tf.distribute` strategy by name.

    Args:
        name: `"single"`: one device, TensorFlow's default. `"mirrored"`: all GPUs of this machine;
            `"mirrored:N"`: the first N of them. `"cpu:N"`: N logical CPU devices, to try
            replicas without GPUs; call it before TensorFlow has run anything. `"multi_worker"`: all
            GPUs, or the CPU, of each process that the environment variable `TF_CONFIG` names, or
            SLURM's variables do; call it before TensorFlow has run anything. `"auto"`:
            `"multi_worker"` if `TF_CONFIG` is set, otherwise `"mirrored"` with more than one GPU,
            otherwise `"single"`.
        timeout: Positive number, seconds to wait until all other workers answer.

    Returns:
        A strategy; build and compile the model in its `scope()`.

    Raises:
        ValueError: If the name is unknown, or the timeout is not positive.
        RuntimeError: If devices or workers are missing, or TensorFlow has started without them.

    Example:

    ```python
    with km.get_strategy("single").scope():
        model = km.SumRegressor()
    ```
    """
    match = re.fullmatch(
        r"(single|auto|multi_worker|mirrored|mirrored:([1-9]\d*)|cpu:([1-9]\d*))", str(name)
    )
    if not match:
        raise ValueError(f"`name` must be {NAMES}, N from 1 up. Received: name={name!r}")
    arguments.check_positive_numbers(timeout=timeout)
    if name == "multi_worker" or (name == "auto" and "TF_CONFIG" in os.environ):
        return _make_multi_worker(timeout)
    num_gpus = len(tf.config.list_logical_devices("GPU")) if name[:3] != "cpu" else 0
    if name == "auto":
        name = "mirrored" if num_gpus > 1 else "single"
    if name == "single":
        return tf.distribute.get_strategy()
    if name.startswith("mirrored"):
        return _make_mirrored(*_list_gpus(name, match[2], num_gpus))
    return _make_mirrored(*_split_cpu(int(match[3])))


def is_chief() -> bool:
    """Returns whether this process is the one, of all workers, that should write files.

    A process without other workers is the chief. `save`, `save_weights` and the callbacks of this
    package check it themselves. Give callbacks of `keras.callbacks` that write files to the chief
    only.

    Example:

    ```python
    callbacks = [keras.callbacks.CSVLogger("history.csv")] if km.is_chief() else []
    ```
    """
    return replicas.is_chief_task(_find_resolver())


@functools.cache
def _make_mirrored(*devices):
    """Returns the one strategy on these devices.

    Two in a program would give their collective operations the same numbers, and fail when shapes
    differ.
    """
    return tf.distribute.MirroredStrategy(devices)


def _list_gpus(name, wanted, num_gpus):
    count = int(wanted or num_gpus)
    if not 0 < count <= num_gpus:
        raise RuntimeError(
            f"{name!r} needs {wanted or 'at least 1'} GPUs. Found: {num_gpus} GPUs. "
            "Use 'single', or 'cpu:2' to try replicas on the CPU."
        )
    return [f"GPU:{index}" for index in range(count)]


def _split_cpu(count):
    """Splits the CPU, unless TensorFlow has started; returns the names of `count` devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu)
    if configured is None or len(configured) < count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError as error:
            raise RuntimeError(
                f"'cpu:{count}' must be asked for before TensorFlow runs anything. Found: "
                f"TensorFlow started with {len(configured or [None])} CPU device(s). Call "
                "km.get_strategy at the start of the program."
            ) from error
    return [f"CPU:{index}" for index in range(count)]


@functools.cache
def _make_multi_worker(timeout):
    """Returns the one strategy of this process with the others that its environment names."""
    resolver = _require_resolver()
    jobs = resolver.cluster_spec().as_dict()
    _await_workers(jobs, jobs[resolver.task_type][resolver.task_id], timeout)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise RuntimeError(
            "'multi_worker' must be asked for before TensorFlow runs anything. Call "
            f"km.get_strategy at the start of the program. Found: {error}"
        ) from error


def _require_resolver():
    resolver = _find_resolver()
    if resolver is None:
        raise RuntimeError(
            "'multi_worker' needs TF_CONFIG, or SLURM's variables, in the environment. Found: "
            "neither. `kerasmodes launch` starts workers on this machine with TF_CONFIG."
        )
    return resolver


def _find_resolver():
    if "TF_CONFIG" in os.environ:
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return _make_slurm_resolver() if "SLURM_STEP_NODELIST" in os.environ else None


def _make_slurm_resolver():
    resolvers = tf.distribute.cluster_resolver
    port = _find_first_port()
    if shutil.which("nvidia-smi"):
        resolver = resolvers.SlurmClusterResolver(port_base=port)
        resolver.cluster_spec()  # This call sets which task this process is.
        return resolver
    # Without GPUs TensorFlow's resolver fails, unless it is told of one for each task.
    slurm = resolvers.SlurmClusterResolver(
        port_base=port, gpus_per_node=MOST_TASKS_OF_A_NODE, gpus_per_task=1, auto_set_gpu=False
    )
    cluster_spec = slurm.cluster_spec()
    return resolvers.SimpleClusterResolver(
        cluster_spec, task_type=slurm.task_type, task_id=slurm.task_id, rpc_layer="grpc"
    )


def _find_first_port():
    """Returns the first port of this step's tasks on each node.

    Jobs that share a node need different ports; TensorFlow would give all of them the same.
    """
    number = sum(int(os.environ.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return FIRST_PORT + PORTS_OF_A_STEP * (number % NUM_PORT_RANGES)


def _await_workers(jobs, own, timeout):
    """Waits until each worker answers at its address; raises a `RuntimeError` after `timeout`.

    TensorFlow itself would wait for an hour, or forever, and could not be interrupted. Until its
    server starts, a socket answers at this worker's own address.
    """
    missing = {address for addresses in jobs.values() for address in addresses} - {own}
    end = time.monotonic() + timeout
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", int(own.rpartition(":")[2])))
        listener.listen(socket.SOMAXCONN)
        while missing := {address for address in missing if not _is_reachable(address)}:
            if time.monotonic() > end:
                raise RuntimeError(
                    "'multi_worker' needs all workers to answer within "
                    f"timeout={timeout} seconds. Found no answer from {sorted(missing)}."
                )
            time.sleep(RETRY_SECONDS)


def _is_reachable(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=RETRY_SECONDS).close()
    except OSError:
        return False
    return True
