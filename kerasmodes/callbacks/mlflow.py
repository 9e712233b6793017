"""`MLflow`: a fit as a run in a store of MLflow's, on the disk or on a server."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kerasmodes.callbacks import run_logger

EXPERIMENT = "Default"
# MLflow's settings of its requests, in seconds the last: a fit waits for half a minute at most.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
TO_WAIT = f"To wait longer, set {' or '.join(PATIENCE)}."
WAITING_SHARE = 0.05  # of the time of a fit, for a server that does not answer


class MLflow(run_logger.RunLogger):
    """Logs a fit to MLflow: settings, numbers of each epoch, files, and the model.

    Metrics are the logs and the learning rates, with the number of the epoch, from 0, as the step.
    A metric that a callback adds to the logs is there if that callback stands before this one. At
    the end, the files and the model become artifacts. A fit that an exception ends stays
    `RUNNING`, unless `on_train_end()` is called, which says `FAILED`.

    With `Resume`, a fit that was stopped continues its run, with each epoch once; the settings stay
    those of its start. If a run of MLflow's is active (`mlflow.start_run`) and `uri` is `None`, the
    fit is logged to that one, which stays active. With several workers, only the chief logs.

    A server has about half a minute to answer, unless MLflow's variables for its requests are set:
    `MLFLOW_HTTP_REQUEST_MAX_RETRIES` and `MLFLOW_HTTP_REQUEST_TIMEOUT`. If it stops answering, the
    fit continues with a warning. The numbers of its epochs wait in memory, and are sent when the
    server answers again; a second warning tells of what it has not received at the end.

    Args:
        uri: Address of the store, such as `"sqlite:///mlflow.db"` or a server; or a folder, which
            MLflow allows with the variable `MLFLOW_ALLOW_FILE_STORE`. `None` takes that of
            `mlflow.set_tracking_uri`, of the variable `MLFLOW_TRACKING_URI`, or MLflow's default,
            the file `mlflow.db`.
        experiment: Name of the experiment, a new one if there is none. `None` takes that of the
            variable `MLFLOW_EXPERIMENT_NAME`, otherwise `"Default"`.
        run_name: Name of the run; `None` lets MLflow make one up.
        hparams: Dict of settings by name, logged as parameters.
        files: Paths of files and folders to log at the end; what is not there then is left out.
        save_model: Bool, whether the model is logged, too, as `model.keras`.

    Raises:
        RuntimeError: If MLflow is not installed; at the first step, if the store cannot be used.
        TypeError: If `hparams` is no dict or `files` no list.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    model = km.SumRegressor()
    model.compile()
    log = km.callbacks.MLflow("sqlite:///mlflow.db", hparams={"batch_size": 32})
    model.fit(x, y, epochs=3, callbacks=[log])  # then: mlflow ui
    ```
    """

    def __init__(
        self,
        uri: str | os.PathLike | None = None,
        experiment: str | None = None,
        run_name: str | None = None,
        hparams: Mapping[str, Any] | None = None,
        files: Sequence[str | os.PathLike] = (),
        save_model: bool = True,
    ):
        run_logger.check_package("mlflow", "MLflow")
        super().__init__(hparams, files, save_model)
        self.uri, self.experiment, self.run_name = uri, experiment, run_name
        self._client, self._is_own, self._first_epoch = None, True, 0
        self._unsent, self._has_warned, self._due = [], False, 0.0

    def on_train_end(self, logs=None):
        if self._is_open:
            with self._allow_silence(is_end=True):
                self._send()
                with _set_patience():  # Not for the files, which may be large.
                    self._client.get_run(self._run_id)
                super().on_train_end(logs)
            self._is_open = False

    def _open_run(self, run_id):
        import mlflow

        active = mlflow.active_run() if run_id is None and self.uri is None else None
        self._is_own, self._first_epoch = active is None, 0
        self._unsent, self._has_warned, self._due = [], False, 0.0
        try:
            uri = mlflow.get_tracking_uri() if self.uri is None else str(self.uri)
            self._client = mlflow.MlflowClient(uri)
            with _set_patience():
                if run_id is not None:
                    return self._continue_run(run_id)
                run_id = active.info.run_id if active else self._make_run()
                params = [mlflow.entities.Param(name, str(v)) for name, v in self.hparams.items()]
                self._client.log_batch(run_id, params=params)
        except mlflow.MlflowException as error:
            words = " ".join(str(error).split())
            if _is_silence(error):
                words = f"and no answer from {uri}. {TO_WAIT}"
            raise run_logger.StoreError(
                "uri",
                f"`uri` must be a store of MLflow that can be used. Received: uri={self.uri!r}, "
                f"{words}",
            ) from error
        return run_id

    def _log_epoch(self, epoch, numbers):
        from mlflow import entities

        if epoch < self._first_epoch:  # Logged before a stop, after the last checkpoint.
            return
        now = round(1e3 * time.time())
        self._unsent += [entities.Metric(name, v, now, epoch) for name, v in numbers.items()]
        if time.monotonic() >= self._due:
            with self._allow_silence():
                self._send()

    def _send(self):
        if self._unsent:
            with _set_patience():
                self._client.log_batch(self._run_id, metrics=self._unsent)
            self._unsent, self._has_warned = [], False

    @contextlib.contextmanager
    def _allow_silence(self, is_end=False):
        """Warns of a server that does not answer in the block; lets the fit continue.

        Args:
            is_end: Whether there is no later time to send what was not sent.
        """
        import mlflow
        import requests

        start = time.monotonic()
        try:
            yield
        except (mlflow.MlflowException, requests.RequestException) as error:
            if not _is_silence(error):
                raise
            end = time.monotonic()
            self._due = end + (end - start) / WAITING_SHARE
            if is_end or not self._has_warned:
                self._has_warned = True
                # Of this file, not of Python's `contextlib`.
                warnings.warn(self._describe_silence(is_end), UserWarning, stacklevel=3)

    def _describe_silence(self, is_end):
        words = f"MLflow: no answer from {self._client.tracking_uri}. "
        if not is_end:
            return words + "The fit continues; its numbers are sent when the server answers again."
        epochs = sorted({1 + one.step for one in self._unsent})
        missing = f"epochs {epochs[0]} to {epochs[-1]}, " if epochs else ""
        return words + f"Its run {self._run_id} lacks {missing}files and the end. {TO_WAIT}"

    def _log_file(self, path):
        if path.is_dir():
            self._client.log_artifacts(self._run_id, str(path), path.name)
        else:
            self._client.log_artifact(self._run_id, str(path))

    def _close_run(self, has_ended):
        if self._is_own:
            self._client.set_terminated(self._run_id, "FINISHED" if has_ended else "FAILED")

    def _make_run(self):
        name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        number = found.experiment_id if found else self._client.create_experiment(name)
        return self._client.create_run(number, run_name=self.run_name).info.run_id

    def _continue_run(self, run_id):
        self._client.update_run(run_id, status="RUNNING")
        names = self._client.get_run(run_id).data.metrics
        points = [one for n in names for one in self._client.get_metric_history(run_id, n)]
        self._first_epoch = 1 + max((point.step for point in points), default=-1)
        return run_id


def _is_silence(error):
    """Returns whether an error of MLflow or of its requests says that a server does not answer."""
    import requests

    silent = (requests.ConnectionError, requests.Timeout, requests.exceptions.RetryError)
    return isinstance(error, silent) or isinstance(error.__context__, silent)


@contextlib.contextmanager
def _set_patience() -> Iterator[None]:
    """Sets `PATIENCE` for the block, but for what the user has set."""
    own = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            del os.environ[name]
