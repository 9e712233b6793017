"""`RunRecord`: how a run really ran, in a file: mode, devices, versions, time of each epoch, end.

What is made of the file is in `kerasmodes/reporting`.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import time

import keras
import tensorflow as tf

from kerasmodes import arguments, atomic_files, replicas
from kerasmodes.engine import optimizers

PACKAGES = ("kerasmodes", "keras", "tensorflow", "numpy")
RUNNING, FINISHED, STOPPED = "running", "finished", "stopped by a callback"
ENDS = {
    FloatingPointError: "stopped at a number that is not finite",
    KeyboardInterrupt: "interrupted",
    SystemExit: "terminated",
}


class RunRecord(keras.callbacks.Callback):
    """Writes how a run really ran, as JSON, at its start, after each epoch and at its end.

    The file holds:

    - `status`: `"running"` until the end (also of a program that was killed), `"finished"`,
      `"stopped by a callback"`, or what `end` was told;
    - `mode`: the mode that ran, also where `"auto"` has chosen;
    - `model_class`, `parameters`, `strategy`, `replicas`, `workers`, `devices`, `versions`,
      `planned_epochs`, `started`, `updated`;
    - `epochs`: for each epoch its number from 0, `seconds` with validation and with callbacks
      before this one, `steps`, `microseconds_per_step` with reading of data, and
      `learning_rates` by optimizer.

    A fit that starts at a later epoch keeps the earlier epochs of the file. With several workers,
    only the chief writes. The file is written by an atomic write.

    Args:
        path: JSON file to write; its folder is made if missing.

    Raises:
        ValueError: If `path` is a folder, or is in a file; when a fit starts at a later epoch, if
            the file is there and cannot be read.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    model = km.SumRegressor()
    model.compile()
    model.fit(x, y, epochs=3, callbacks=[km.callbacks.RunRecord("run/run.json")])
    ```
    """

    accepts_joined_steps = True

    writes_to = "path"

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        arguments.check_file("path", path)
        self.path = pathlib.Path(path)
        self.record = {}
        self._has_epoch = False

    def on_train_begin(self, logs=None):
        self._has_epoch = False
        self.record = {
            "status": RUNNING,
            "message": "",
            "planned_epochs": (self.params or {}).get("epochs"),
            "started": _find_time(),
            **describe_machine(self.model),
            "epochs": [],
        }
        # It is written in the first epoch: only then is it known which epochs it continues.

    def on_epoch_begin(self, epoch, logs=None):
        if not self._has_epoch:
            self._has_epoch = True
            self.record["epochs"] = self._read_epochs(epoch) if epoch else []
            self._write()
        self._start = time.perf_counter()
        self._first_step = None

    def on_train_batch_begin(self, batch, logs=None):
        if self._first_step is None:  # Not 0 in an epoch that is resumed.
            self._first_step, self._step_start = batch, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._last_step, self._step_end = batch, time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if self._first_step is None:  # Resumed after its last step.
            steps = microseconds = None
        else:
            steps = self._last_step + 1 - self._first_step
            microseconds = 1e6 * (self._step_end - self._step_start) / steps
        self.record["epochs"].append(
            {
                "epoch": epoch,
                "seconds": time.perf_counter() - self._start,
                "steps": steps,
                "microseconds_per_step": microseconds,
                "learning_rates": find_learning_rates(self.model),
            }
        )
        self._write()

    def on_train_end(self, logs=None):
        if logs is not None:  # Those of a fit that ended by itself.
            self.record["status"] = STOPPED if self.model.stop_training else FINISHED
            self._write()

    def end(self, error: BaseException) -> None:
        """Notes the exception that has ended a fit, with its words.

        Args:
            error: A `FloatingPointError`, as of `NaNGuard`, `KeyboardInterrupt`, `SystemExit` or
                any other exception.
        """
        if self._has_epoch:
            found = [words for kind, words in ENDS.items() if isinstance(error, kind)]
            self.record["status"] = found[0] if found else f"ended by {type(error).__name__}"
            has_words = isinstance(error, Exception)
            self.record["message"] = str(error) if has_words else ""
            self._write()

    def _write(self):
        # A fit that had ended before has no epoch: what is written of it stays.
        if not self._has_epoch or not replicas.is_chief(self.model.distribute_strategy):
            return
        self.record |= {
            "mode": getattr(self.model, "mode", None),  # `auto` may have chosen since.
            "parameters": self.model.count_params() if self.model.built else None,
            "updated": _find_time(),
        }
        with atomic_files.atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self.record, indent=2) + "\n", "utf-8")

    def _read_epochs(self, num_epochs):
        """Returns the epochs in an older file that the fit continues; none without a file."""
        if not self.path.exists():
            return []
        try:
            epochs = json.loads(self.path.read_text("utf-8"))["epochs"]
            return [row for row in epochs if row["epoch"] < num_epochs]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                "`path` must be the record of a run, or none, to add later epochs to. "
                f"Received: path={str(self.path)!r}, {type(error).__name__}: {error}"
            ) from error


def describe_machine(model: keras.Model) -> dict:
    """Returns where a model trains: strategy, replicas, workers, devices and versions."""
    strategy = model.distribute_strategy
    name = type(strategy).__name__
    return {
        "model_class": type(model).__name__,
        "strategy": "single" if name.startswith("_Default") else name,
        "replicas": strategy.num_replicas_in_sync,
        "workers": replicas.num_workers(strategy),
        "devices": _list_devices(strategy),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }


def find_learning_rates(model: keras.Model) -> dict[str, float]:
    """Returns the present learning rate of each optimizer, by its name in the model."""
    found = optimizers.find_optimizers(model)
    inner = {name: getattr(one, "inner_optimizer", one) for name, one in found.items()}
    return {
        name: float(keras.ops.convert_to_numpy(one.learning_rate)) for name, one in inner.items()
    }


def _list_devices(strategy):
    """Returns the names of the devices of all replicas here; of a GPU, its product's too."""
    if strategy.num_replicas_in_sync > 1:
        names = [name.rpartition("device:")[2] for name in strategy.extended.worker_devices]
    else:
        names = ["GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"]
    gpus = tf.config.list_physical_devices("GPU")
    products = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    described = []
    for name in names:
        kind, _, number = name.partition(":")
        has_product = kind == "GPU" and int(number) < len(products) and products[int(number)]
        described.append(f"{name} ({products[int(number)]})" if has_product else name)
    return described


def _find_time():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
