"""What the chief of a search does: it answers the workers until the search is finished.

In the place of `oracle_chief.start_server` of keras-tuner, which ends up to 20 seconds after the
last trial, or never. Checked with keras-tuner 1.4.8.
"""

import contextlib
import pathlib
import sys
import threading
import time
from concurrent import futures

import grpc
import keras_tuner
from keras_tuner.oracles import GridSearchOracle
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief
from keras_tuner.src.engine import conditions, metrics_tracking
from keras_tuner.src.engine import trial as trial_module

from kerasmodes import launching

POLL_SECONDS = 0.1
# Workers ask for another trial at once. One that does not ask in this time has ended.
FAREWELL_SECONDS = 2
# The error of a trial, in the trial's folder.
TRACEBACK = "traceback.txt"


def serve(oracle: keras_tuner.Oracle, address: str) -> None:
    """Hands out an oracle's trials to workers, and returns when all trials have ended.

    Args:
        oracle: That of the search.
        address: `ADDRESS:PORT` where workers ask for trials.

    Raises:
        RuntimeError: If nothing can listen at the address, or too many trials in a row failed.
    """
    # One thread, as in keras-tuner; without `so_reuseport`, two chiefs could share a port.
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    servicer = _Servicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise RuntimeError(
            "The chief's address must be one of this machine, and free. "
            f"Received: address={address!r}"
        ) from error
    with launching.call_on_sigterm(sys.exit):
        try:
            server.start()
            while not servicer.is_finished():
                time.sleep(POLL_SECONDS)
            end = time.monotonic() + FAREWELL_SECONDS
            while oracle.tuner_ids and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
        finally:
            server.stop(grace=1).wait()


class _Servicer(oracle_chief.OracleServicer):
    """Answers workers as keras-tuner's does, and tells when the search is finished."""

    def __init__(self, oracle):
        super().__init__(oracle)
        self.error = None
        # keras-tuner's own lock stays locked after an error.
        self.lock = threading.Lock()

    def CreateTrial(self, request, context):  # noqa: N802
        with self._keep_error():
            repeated = self.oracle.ongoing_trials.get(request.tuner_id)
            if repeated is not None:
                forget_results(repeated)
            response = super().CreateTrial(request, context)
            if repeated is None and isinstance(self.oracle, GridSearchOracle):
                # keras-tuner would find the next point when this one has ended: one at a time.
                self.oracle._populate_next.extend(self.oracle.start_order[-1:])
            return response

    def EndTrial(self, request, context):  # noqa: N802
        with self._keep_error():
            trial = trial_module.Trial.from_proto(request.trial)
            trial.message = _read_message(self.oracle, trial)
            self.oracle.end_trial(trial)
            return protos.get_service().EndTrialResponse()

    @contextlib.contextmanager
    def _keep_error(self):
        """Keeps an error for the chief; the worker is told in any case."""
        with self.lock:
            try:
                yield
            except Exception as error:
                self.error = error
                raise

    def is_finished(self):
        with self.lock:
            if self.error is not None:
                raise self.error
            oracle = self.oracle
            is_all = self.stop_triggered or len(oracle.trials) >= oracle.max_trials
            return is_all and not oracle.ongoing_trials and not oracle._retry_queue


def _read_message(oracle, trial):
    """Returns the error of a trial, which keras-tuner's messages leave out; a file has it."""
    path = pathlib.Path(oracle._get_trial_dir(trial.trial_id)) / TRACEBACK
    has_failed = trial.status != trial_module.TrialStatus.COMPLETED
    return path.read_text() if has_failed and path.exists() else None


def forget_results(trial: trial_module.Trial) -> None:
    """Deletes what a trial has reported: keras-tuner would take it for the result of the next run.

    A worker that is killed between its report and the end of its trial leaves such a report.
    """
    trial.metrics = metrics_tracking.MetricsTracker()


def silence_messages() -> None:
    """Hides a line of keras-tuner's for debugging: it prints each condition that it sends."""
    conditions.print = lambda *_: None
