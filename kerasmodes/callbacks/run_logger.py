"""What `MLflow` and `WandB` share: when a run begins, what is logged of it, how it is continued.

How each program is told is in the file of that callback.
"""

import importlib.util
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from kerasmodes import replicas
from kerasmodes.callbacks import run_record
from kerasmodes.engine.fit_watchers import FitWatcher

MODEL = "model.keras"
RATE = "learning_rate"


class StoreError(RuntimeError):
    """A store of runs cannot be used.

    Args:
        argument: Name of the argument that says which store.
        message: What is wrong.
    """

    def __init__(self, argument: str, message: str):
        super().__init__(message)
        self.argument = argument


class RunLogger(FitWatcher):
    """Hands what a fit does to a program that keeps runs.

    A run begins with the first epoch, not before: only then is it known whether `Resume` continues
    an earlier one. With several workers, only the chief logs.

    Args:
        hparams: Dict of settings by name, or `None`.
        files: Paths of files and folders.
        save_model: Bool, whether the model is saved, too.
    """

    accepts_joined_steps = True

    def __init__(
        self,
        hparams: Mapping[str, Any] | None,
        files: Sequence[str | os.PathLike],
        save_model: bool,
    ):
        super().__init__()
        if hparams is not None and not isinstance(hparams, Mapping):
            raise TypeError(
                f"`hparams` must be a dict of settings, or None. Received: hparams={hparams!r}"
            )
        if isinstance(files, (str, os.PathLike)):
            raise TypeError(f"`files` must be a list of paths. Received: files={files!r}")
        self.hparams = dict(hparams or {})
        self.files = [pathlib.Path(path) for path in files]
        self.save_model = save_model
        self._run_id, self._is_open, self._progress = None, False, None

    def get_state(self) -> dict | None:
        """Returns which run this is, for a fit that resumes this one."""
        return None if self._run_id is None else {"run_id": self._run_id}

    def set_state(self, state: dict) -> None:
        """Continues the run that `get_state` has named."""
        self._run_id = state["run_id"]

    def on_train_begin(self, logs=None):
        if self._is_open:  # Of a fit that an exception has ended.
            self._end(has_ended=False)
        self._run_id = self._progress = None

    def begin_fit(self, progress):
        self._progress = progress  # A model of Keras's own has none.

    def end_fit(self):
        self._progress = None

    def on_epoch_begin(self, epoch, logs=None):
        # In the middle of an epoch, what `Resume` restores comes after this.
        if self._progress is None or not self._progress.step:
            self._begin()

    def on_train_batch_begin(self, batch, logs=None):
        self._begin()

    def on_epoch_end(self, epoch, logs=None):
        self._begin()  # An epoch that is resumed after its last step has had no batch.
        if self._is_open:
            self._log_epoch(epoch, self._list_numbers(logs or {}))

    def on_train_end(self, logs=None):
        if self._is_open:
            self._log_files()
            self._end(has_ended=logs is not None)

    def _open_run(self, run_id: str | None) -> str:
        """Begins a run, or continues the one of this id; returns its id."""
        raise NotImplementedError

    def _log_epoch(self, epoch: int, numbers: dict[str, float]) -> None:
        """Logs the numbers of an epoch; epochs count from 0."""
        raise NotImplementedError

    def _log_file(self, path: pathlib.Path) -> None:
        """Copies a file or a folder to the run."""
        raise NotImplementedError

    def _close_run(self, has_ended: bool) -> None:
        """Ends the run; `has_ended` tells whether the fit has ended by itself."""
        raise NotImplementedError

    def _begin(self):
        if not self._is_open and replicas.is_chief(self.model.distribute_strategy):
            self._run_id = self._open_run(self._run_id)
            self._is_open = True

    def _end(self, has_ended):
        self._is_open = False
        self._close_run(has_ended)

    def _list_numbers(self, logs):
        """Returns the logs, and the learning rates under the names that `TensorBoard` gives."""
        rates = run_record.find_learning_rates(self.model)
        named = {RATE if len(rates) == 1 else f"{RATE}_{n}": rate for n, rate in rates.items()}
        return {name: float(value) for name, value in (named | logs).items()}

    def _log_files(self):
        for path in self.files:
            if path.exists():  # A fit that was stopped has not written all of them.
                self._log_file(path)
        if self.save_model:
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, MODEL)
                self.model.save(path)
                self._log_file(path)


def check_package(name: str, callback: str) -> None:
    """Raises a `RuntimeError` that says what to install, unless a package is installed.

    Args:
        name: Name of the package, for Python and for pip.
        callback: Name of the class that needs it.
    """
    spec = importlib.util.find_spec(name)
    # Without a file it is a folder of that name, such as the one with W&B's runs.
    if spec is None or spec.origin is None:
        raise RuntimeError(
            f"`{callback}` must have {name} installed. Received: an environment without. "
            f"Run: pip install {name}"
        )
