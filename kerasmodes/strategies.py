"""`get_strategy`: where replicas run, from one word.

What runs on a replica, and how batches are split, is not here: that is `model`.
"""

import functools
import os
import re
import shutil
import socket
import time

import tensorflow as tf

from kerasmodes import replicas

ASK_AGAIN_SECONDS = 0.5
MOST_TASKS_OF_A_NODE = 2**12
# Ports of the steps of SLURM's jobs: below those that systems hand out themselves, from 32,768 on.
FIRST_PORT, PORTS_OF_A_STEP, NUM_PORT_RANGES = 8_888, 128, 180
NAMES = "'single', 'mirrored', 'mirrored:N', 'cpu:N', 'multi_worker' or 'auto'"


def get_strategy(name="auto", timeout=300):
    """Returns a `tf.distribute` strategy by name.

    Args:
        name: `"single"`: one device, TensorFlow's default. `"mirrored"`: all GPUs of this machine;
            `"mirrored:N"`: the first N of them. `"cpu:N"`: N logical CPU devices, to try
            replicas without GPUs; ask before TensorFlow has run anything. `"multi_worker"`: all
            GPUs, or the CPU, of each process that the environment variable `TF_CONFIG` names, or
            SLURM's do; ask before TensorFlow has run anything. `"auto"`: `"multi_worker"` where
            there is `TF_CONFIG`, else `"mirrored"` with more than one GPU, else `"single"`.
        timeout: Seconds to wait for the other workers to come up.

    Returns:
        A strategy; build and compile the model in its `scope()`.

    Raises:
        ValueError: If the name is unknown.
        RuntimeError: If the devices or workers are not there, or TensorFlow has started without
            them.

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
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ValueError(f"`timeout` must be a positive number. Received: timeout={timeout!r}")
    if name == "multi_worker" or (name == "auto" and "TF_CONFIG" in os.environ):
        return _multi_worker(timeout)
    num_gpus = len(tf.config.list_logical_devices("GPU")) if name[:3] != "cpu" else 0
    if name == "auto":
        name = "mirrored" if num_gpus > 1 else "single"
    if name == "single":
        return tf.distribute.get_strategy()
    if name.startswith("mirrored"):
        return _mirrored(*_gpus(name, match[2], num_gpus))
    return _mirrored(*_logical_cpus(int(match[3])))


def is_chief():
    """Returns whether this process, of several workers, is the one that should write files.

    It is if there is but one. `save`, `save_weights` and the callbacks of this package ask it
    themselves; callbacks of `keras.callbacks` that write files are to be given to the chief only.

    Example:

    ```python
    callbacks = [keras.callbacks.CSVLogger("history.csv")] if km.is_chief() else []
    ```
    """
    return replicas.is_chief_task(_resolver_or_none())


@functools.cache
def _mirrored(*devices):
    """Returns the one strategy on these devices.

    Two in a program would give their collective operations the same numbers, and fail when shapes
    differ.
    """
    return tf.distribute.MirroredStrategy(devices)


def _gpus(name, wanted, num_gpus):
    count = int(wanted or num_gpus)
    if not 0 < count <= num_gpus:
        raise RuntimeError(
            f"{name!r} needs {wanted or 'at least 1'} GPUs. Found: {num_gpus} GPUs. "
            "Use 'single', or 'cpu:2' to try replicas on the CPU."
        )
    return [f"GPU:{index}" for index in range(count)]


def _logical_cpus(count):
    """Returns the names of `count` logical CPU devices, splitting the CPU if that is still open."""
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
                "km.get_strategy first thing in the program."
            ) from error
    return [f"CPU:{index}" for index in range(count)]


@functools.cache
def _multi_worker(timeout):
    """Returns the one strategy of this process with the others that its environment names."""
    resolver = _resolver()
    jobs = resolver.cluster_spec().as_dict()
    _await_workers(jobs, jobs[resolver.task_type][resolver.task_id], timeout)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise RuntimeError(
            "'multi_worker' must be asked for before TensorFlow runs anything. Call "
            f"km.get_strategy first thing in the program. Found: {error}"
        ) from error


def _resolver():
    resolver = _resolver_or_none()
    if resolver is None:
        raise RuntimeError(
            "'multi_worker' needs TF_CONFIG, or SLURM's variables, in the environment. Found: "
            "neither. `kerasmodes launch` starts workers on this machine with TF_CONFIG."
        )
    return resolver


def _resolver_or_none():
    if "TF_CONFIG" in os.environ:
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return _slurm_resolver() if "SLURM_STEP_NODELIST" in os.environ else None


def _slurm_resolver():
    resolvers = tf.distribute.cluster_resolver
    port = _first_slurm_port()
    if shutil.which("nvidia-smi"):
        resolver = resolvers.SlurmClusterResolver(port_base=port)
        resolver.cluster_spec()  # It finds out which task this is.
        return resolver
    # Without GPUs TensorFlow's resolver fails, unless it believes in some for each task.
    slurm = resolvers.SlurmClusterResolver(
        port_base=port, gpus_per_node=MOST_TASKS_OF_A_NODE, gpus_per_task=1, auto_set_gpu=False
    )
    cluster_spec = slurm.cluster_spec()
    return resolvers.SimpleClusterResolver(
        cluster_spec, task_type=slurm.task_type, task_id=slurm.task_id, rpc_layer="grpc"
    )


def _first_slurm_port():
    """Returns the first of the ports that the tasks of a step take on each node.

    Jobs that share a node need other ports; TensorFlow would give all of them the same.
    """
    number = sum(int(os.environ.get(name, 0)) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return FIRST_PORT + PORTS_OF_A_STEP * (number % NUM_PORT_RANGES)


def _await_workers(jobs, own, timeout):
    """Returns when each worker answers at its address; raises a `RuntimeError` after `timeout`.

    TensorFlow itself would wait for an hour, or for ever, and could not be interrupted. Until its
    server takes over, a socket answers at this worker's own address.
    """
    missing = {address for addresses in jobs.values() for address in addresses} - {own}
    end = time.monotonic() + timeout
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", int(own.rpartition(":")[2])))
        listener.listen(socket.SOMAXCONN)
        while missing := {address for address in missing if not _answers(address)}:
            if time.monotonic() > end:
                raise RuntimeError(
                    "'multi_worker' needs all workers to come up within "
                    f"timeout={timeout} seconds. Found no answer from {sorted(missing)}."
                )
            time.sleep(ASK_AGAIN_SECONDS)


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ASK_AGAIN_SECONDS).close()
    except OSError:
        return False
    return True
