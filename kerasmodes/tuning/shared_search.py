"""What a tuner of a search does besides: alone, as the chief of other processes, or as a worker.

How processes start and end is in `worker_processes.py`. Checked with keras-tuner 1.4.8.
"""

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Iterator

import grpc
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

    The chief, or a process alone, writes the files of the oracle and shows the progress.
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
