"""`get_strategy`: where replicas run, from one word.

What runs on a replica is the models' business; how batches are split is `tf.distribute`'s.
"""

import functools
import re

import tensorflow as tf

NAMES = "'single', 'mirrored', 'mirrored:N', 'cpu:N' or 'auto'"


def get_strategy(name="auto"):
    """Returns a `tf.distribute` strategy by name.

    Args:
        name: `"single"`: one device, TensorFlow's default. `"mirrored"`: all GPUs of this machine;
            `"mirrored:N"`: the first N of them. `"cpu:N"`: N logical CPU devices, to try
            replicas without GPUs; ask before TensorFlow has run anything. `"auto"`: `"mirrored"`
            with more than one GPU, else `"single"`.

    Returns:
        A strategy; build and compile the model in its `scope()`.

    Raises:
        ValueError: If the name is unknown.
        RuntimeError: If the devices are not there, or TensorFlow has started with fewer.

    Example:

    ```python
    with km.get_strategy("single").scope():
        model = km.SumRegressor()
    ```
    """
    match = re.fullmatch(r"(single|auto|mirrored|mirrored:([1-9]\d*)|cpu:([1-9]\d*))", str(name))
    if not match:
        raise ValueError(f"`name` must be {NAMES}, N from 1 up. Received: name={name!r}")
    num_gpus = len(tf.config.list_logical_devices("GPU")) if name[:3] != "cpu" else 0
    if name == "auto":
        name = "mirrored" if num_gpus > 1 else "single"
    if name == "single":
        return tf.distribute.get_strategy()
    if name.startswith("mirrored"):
        return _mirrored(*_gpus(name, match[2], num_gpus))
    return _mirrored(*_logical_cpus(int(match[3])))


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
