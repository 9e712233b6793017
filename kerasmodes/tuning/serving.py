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
from kerasmodes.tuning import worker_processes

POLL_SECONDS = 0.1
# Workers ask for another trial at once. One that does not ask in this time has ended.
FAREWELL_SECONDS = 2
# The error of a trial, in the trial's folder.
TRACEBACK = "traceback.txt"


def serve(oracle: keras_tuner.Oracle, address: str, worker_timeout: float) -> None:
    """Hands out an oracle's trials to workers, and returns when all trials have ended.

    It waits for the first worker without end.

    Args:
        oracle: That of the search.
        address: `ADDRESS:PORT` where workers ask for trials.
        worker_timeout: Positive number, seconds after which a silent worker is given up.

    Raises:
        RuntimeError: If nothing can listen at the address, too many trials in a row failed, all
            workers are given up, or one that this process has started fails.
    """
    # One thread, as in keras-tuner; without `so_reuseport`, two chiefs could share a port.
    server = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    servicer = Servicer(oracle, worker_timeout)
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
                worker_processes.check_started()
                servicer.give_up_silent_workers()
                time.sleep(POLL_SECONDS)
            end = time.monotonic() + FAREWELL_SECONDS
            while oracle.tuner_ids and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
        finally:
            server.stop(grace=1).wait()


class Servicer(oracle_chief.OracleServicer):
    """Answers workers as keras-tuner's does, and tells when the search is finished.

    Args:
        oracle: That of the search.
        worker_timeout: Seconds after which a silent worker is given up.
        clock: Function that returns the seconds of a clock.
    """

    def __init__(self, oracle, worker_timeout, clock=time.monotonic):
        super().__init__(oracle)
        self.error = None
        self.worker_timeout, self.clock = worker_timeout, clock
        self.last_calls = {}  # The time by the id of a trial.
        self.last_call = None
        # keras-tuner's own lock stays locked after an error.
        self.lock = threading.Lock()

    def CreateTrial(self, request, context):  # noqa: N802
        with self._keep_error():
            repeated = self.oracle.ongoing_trials.get(request.tuner_id)
            if repeated is not None:
                forget_results(repeated)
            begin = self.clock()
            response = super().CreateTrial(request, context)
            # Others could not call meanwhile: Bayesian search may draw for a minute.
            for trial_id in self.last_calls:
                self.last_calls[trial_id] += self.clock() - begin
            self._note_call(response.trial.trial_id)
            if repeated is None and isinstance(self.oracle, GridSearchOracle):
                # keras-tuner would find the next point when this one has ended: one at a time.
                self.oracle._populate_next.extend(self.oracle.start_order[-1:])
            return response

    def GetTrial(self, request, context):  # noqa: N802
        self._note_call(request.trial_id)
        return super().GetTrial(request, context)

    def EndTrial(self, request, context):  # noqa: N802
        with self._keep_error():
            trial = trial_module.Trial.from_proto(request.trial)
            self._note_call(trial.trial_id)
            if trial.trial_id not in self._list_ongoing():  # Its worker was given up.
                return protos.get_service().EndTrialResponse()
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

    def _note_call(self, trial_id):
        self.last_call = self.last_calls[trial_id] = self.clock()

    def _list_ongoing(self):
        return {trial.trial_id for trial in self.oracle.ongoing_trials.values()}

    def give_up_silent_workers(self):
        """Takes back the trials of workers that are silent for too long.

        Raises:
            RuntimeError: If all workers are.
        """
        with self.lock:
            oldest = self.clock() - self.worker_timeout
            if self.last_call is not None and self.last_call < oldest:
                left = sorted(self._list_ongoing() | set(self.oracle._retry_queue))
                raise RuntimeError(
                    "A worker must call the search's chief within "
                    f"worker_timeout={self.worker_timeout:g} seconds. Received: no call from any. "
                    f"Unfinished trials: {', '.join(left) or 'those to be drawn'}. The same "
                    "command resumes the search."
                )
            for tuner_id, trial in list(self.oracle.ongoing_trials.items()):
                if self.last_calls[trial.trial_id] < oldest:
                    self._take_back(tuner_id, trial)

    def _take_back(self, tuner_id, trial):
        del self.oracle.ongoing_trials[tuner_id]
        self.oracle.tuner_ids.discard(tuner_id)
        forget_results(trial)
        self.oracle._retry_queue.append(trial.trial_id)
        print(
            f"Worker {tuner_id} was silent for {self.worker_timeout:g} seconds: trial "
            f"{trial.trial_id} is given to another.",
            flush=True,
        )

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
