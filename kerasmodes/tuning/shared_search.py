"""What a tuner of a search does besides: alone, as the chief of other processes, or as a worker.

How processes start and end is in `worker_processes.py`. Checked with keras-tuner 1.4.8.
"""

import contextlib
import functools
import gc
import json
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

import grpc
import keras_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src import protos

from kerasmodes import atomic_files
from kerasmodes.tuning import search_display, serving, workers

# A chief imports TensorFlow and reads its data before it answers.
SECONDS_FOR_FIRST_ANSWER = 600
SECONDS_FOR_ANSWER = 30
# From one report of a worker to the next: it is alive, in the middle of a trial.
SECONDS_FOR_REPORT = 5
# From one question to the next, when the chief has no trial for now.
IDLE_SECONDS = 0.3


class SharedSearch:
    """A mixin for tuners: one search in one process or in several, in the same files.

    The chief, or a process alone, writes the files of the oracle and shows the progress. Trials
    that a stopped search has left are run first, by whoever asks.
    """

    _was_answered = False
    _running = None  # The trial of a worker.
    _is_idle = False

    def search(self, *args, verbose="auto", **kwargs):
        """Runs the search, or takes part in it.

        Args:
            *args: Passed to the trials, as are the other keyword arguments.
            verbose: `"auto"` or 1 shows the progress of the search, 2 also each epoch of a trial, 0
                nothing. A worker shows each epoch, unless `verbose` is 0.
            **kwargs: See `*args`.
        """
        role = workers.find_role()
        if role is not None:
            serving.silence_messages()
        if role == "worker":
            with self._report_alive(), freeze_garbage_collection():
                super().search(*args, verbose=2 if verbose else 0, **kwargs)
            return
        write_atomically(self.oracle)
        with search_display.SearchDisplay(self.oracle, is_shown=bool(verbose)) as display:
            self.oracle._display = display
            if role is None:
                with freeze_garbage_collection():
                    super().search(*args, verbose=2 if verbose == 2 else 0, **kwargs)
            else:
                self.save()
                address = os.environ[workers.ADDRESS], os.environ[workers.PORT]
                serving.serve(self.oracle, ":".join(address), self._worker_timeout)

    def pre_create_trial(self):
        super().pre_create_trial()
        if workers.find_role() == "worker":
            if self._is_idle:
                time.sleep(IDLE_SECONDS)
            self._wait_for_chief()
        self._is_idle = True

    def on_trial_begin(self, trial):
        self._is_idle, self._running = False, trial.trial_id
        super().on_trial_begin(trial)

    def on_trial_end(self, trial):
        self._running = None
        if workers.find_role() == "worker":
            self._wait_for_chief()
        super().on_trial_end(trial)

    @contextlib.contextmanager
    def _report_alive(self):
        """While open, a thread asks the chief for the running trial, from time to time."""
        ended = threading.Event()

        def ask():
            while not ended.wait(SECONDS_FOR_REPORT):
                running = self._running
                if running is not None:
                    request = protos.get_service().GetTrialRequest(trial_id=running)
                    # A chief that is gone is noticed at the end of the trial.
                    with contextlib.suppress(grpc.RpcError):
                        self.oracle.stub.GetTrial(request, timeout=SECONDS_FOR_ANSWER)

        threading.Thread(target=ask, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def _wait_for_chief(self):
        """Raises if the chief does not answer: keras-tuner would wait for an hour."""
        address = os.environ[workers.ADDRESS], int(os.environ[workers.PORT])
        seconds = SECONDS_FOR_ANSWER if self._was_answered else SECONDS_FOR_FIRST_ANSWER
        end = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(address, timeout=5).close()
                self._was_answered = True
                return
            except OSError as error:
                if time.monotonic() > end:
                    raise RuntimeError(
                        f"The search's chief must answer within {seconds} seconds. Received: "
                        f"{error} at {address[0]}:{address[1]}. If its search is finished, all is "
                        "well."
                    ) from error
                time.sleep(IDLE_SECONDS)

    def reload(self):
        super().reload()
        if not self._is_worker():
            put_back_unfinished_trials(self.oracle)

    def save(self):
        if not self._is_worker():
            super().save()
        elif not os.path.exists(self._get_tuner_fname()):
            # It has no state: only that there are several processes is of interest.
            with atomic_files.atomic_write(self._get_tuner_fname()) as temporary:
                temporary.write_text("{}")

    def _get_tuner_fname(self):
        if workers.find_role() == workers.CHIEF:  # The file of a process alone, which may resume.
            return os.path.join(self.project_dir, "tuner0.json")
        return super()._get_tuner_fname()


@contextlib.contextmanager
def freeze_garbage_collection() -> Iterator[None]:
    """While open, garbage collections leave out what was there before.

    keras-tuner collects twice a trial, each time through all that TensorFlow's import has made:
    0.7 seconds a trial.
    """
    was_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()


def put_back_unfinished_trials(oracle: keras_tuner.Oracle) -> None:
    """Lets any process repeat the trials that a stopped search has left unfinished.

    keras-tuner would leave them to processes with the ids of those that had them.
    """
    for name in set(oracle.trials) - set(oracle.start_order):
        # The process ended after it had written the trial, before the oracle: it is drawn again.
        del oracle.trials[name]
    # keras-tuner reads them in the order of the file system; Bayesian search rounds by their order.
    oracle.trials = {name: oracle.trials[name] for name in oracle.start_order}
    ended = {
        name
        for name in oracle.end_order
        if oracle.trials[name].status not in (TrialStatus.RUNNING, TrialStatus.INVALID)
    }
    # keras-tuner puts back what was running when it wrote: also trials that had just ended.
    left = set(oracle.trials) - ended
    for name in left:
        serving.forget_results(oracle.trials[name])
    oracle.ongoing_trials.clear()
    oracle._retry_queue[:] = sorted(left, reverse=True)  # The last one is next.
    if isinstance(oracle, keras_tuner.oracles.GridSearchOracle):
        restore_grid(oracle)


def restore_grid(oracle: keras_tuner.oracles.GridSearchOracle) -> None:
    """Restores the order of the grid's points, which keras-tuner does not write into a file."""

    def compare(one, other):
        values = [oracle.trials[name].hyperparameters.values for name in (one, other)]
        return oracle._compare(*values)

    names = sorted(oracle.trials, key=functools.cmp_to_key(compare))
    for name, before in zip(names, [None, *names], strict=False):
        oracle._ordered_ids.insert(name, before)
    oracle._populate_next[:] = names


def write_atomically(oracle: keras_tuner.Oracle) -> None:
    """Makes an oracle's writes atomic: a process may be killed during one."""
    oracle.save = functools.partial(_write_state, oracle, oracle._get_oracle_fname)
    oracle._save_trial = functools.partial(_write_trial, oracle)


def _write_state(stateful, find_path):
    with atomic_files.atomic_write(find_path()) as temporary:
        temporary.write_text(json.dumps(stateful.get_state()))


def _write_trial(oracle, trial):
    path = pathlib.Path(oracle._get_trial_dir(trial.trial_id)) / "trial.json"
    _write_state(trial, lambda: path)
