"""`Resume`: a fit that was stopped continues where it stood, in mid-epoch too.

What a checkpoint holds is in `engine/fit_progress.py`. With several workers, only the chief writes.
"""

import datetime
import pathlib
import signal
import threading
import time
import warnings

from kerasmodes import arguments, atomic_files, replicas
from kerasmodes.engine import checkpoints, fit_description, saving
from kerasmodes.engine.fit_watchers import FitWatcher

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Resume(FitWatcher):
    """Writes checkpoints while a model is fitted, and resumes from the last when run again.

    A seeded program (`keras.utils.set_random_seed`) may be stopped at any moment and started again:
    it ends with the weights and the history of a run that was never stopped, in every mode. It does
    so bit for bit where the run itself repeats bit for bit: `auto`, and `fused` with convolutions,
    choose by timing how steps run.

    A checkpoint holds all variables of the model and its optimizers; running means; Keras's,
    Python's and NumPy's random numbers, and of a `tf.random.Generator` that a layer holds; the
    place in the data; the history; and what callbacks count: Keras's own, and those of your own
    with the methods `get_state()` and `set_state(state)`. It is written after all other callbacks,
    wherever this one stands in the list. Rows of a `CSVLogger` and events of a `TensorBoard` that
    came after it are dropped.

    Arrays, and examples of `km.data.from_source`, continue at their place without being read again.
    Of a data set, its iterator is saved with what it has read ahead; where that cannot be done
    (data from a Python generator, more than 256 MB), the batches are read again, and a warning says
    how long that took. A `PyDataset` that counts epochs in `on_epoch_end` is told as often as
    before.

    SIGTERM and SIGINT (Ctrl-C) let the running execution end and write a checkpoint; then they do
    what they would have done. A second one does so at once. With several workers the last
    checkpoint before is used.

    A checkpoint is a folder that appears when it is complete, with checksums (`sha256sum -c
    SHA256SUMS`). A damaged one is set aside with a warning, and the one before is used. One with a
    weight that is NaN, or trained and infinite, is not written.

    Args:
        directory: Folder for the checkpoints; made if missing. A new fit needs a new folder. With
            several workers, on a disk that they share.
        every: When a checkpoint is written: `"epoch"`, after each; a positive int, after so many
            steps (where K was given to `compile`, at the end of the execution); a
            `datetime.timedelta`, after so much time, on one worker. One more is written
            after the last epoch.
        keep: Positive int: how many checkpoints are kept.

    Raises:
        ValueError: If an argument is wrong; at the start of a fit, if `directory` is none to write
            to, or belongs to a fit of another model, optimizer, loss or data.
        TypeError: At the start of a fit, if the model has no modes; at the first checkpoint, if a
            callback's state is more than numbers, strings and arrays.
        OSError: If a checkpoint cannot be written; those before stay.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100, seed=0)
    model = km.SumRegressor()
    model.compile()
    model.fit(x, y, epochs=3, callbacks=[km.callbacks.Resume("progress", every=2)])
    ```
    """

    writes_to = "directory"

    def __init__(
        self,
        directory: str | pathlib.Path,
        every: str | int | datetime.timedelta = "epoch",
        keep: int = 2,
    ):
        super().__init__()
        if not isinstance(directory, (str, pathlib.Path)) or not str(directory):
            raise ValueError(f"`directory` must name a folder. Received: directory={directory!r}")
        _check_every(every)
        arguments.check_positive_integers(keep=keep)
        self.directory = pathlib.Path(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"`directory` must be a folder. Received: the file {directory!r}")
        self.every, self.keep = every, keep
        self._signal = None
        self._handlers = {}

    def begin_fit(self, progress):
        strategy = progress.model.distribute_strategy
        self._progress = progress
        self._is_chief = replicas.is_chief(strategy)
        self._is_alone = replicas.num_workers(strategy) == 1
        if isinstance(self.every, datetime.timedelta) and not self._is_alone:
            raise ValueError(
                "`every` must be 'epoch' or a number of steps with several workers, whose clocks "
                f"differ. Received: every={self.every!r}"
            )
        if self._is_chief:
            atomic_files.prepare_folder("directory", self.directory)
        progress.reader.remember_calls()
        self._made_with = fit_description.describe_fit(progress.model, progress.reader)
        self._restore()
        self._begin_interval()
        self._catch_signals()

    def end_execution(self, logs):
        self._num_steps += self._progress.step - self._last_step
        self._last_step = self._progress.step
        if self._is_due() or self._signal is not None:
            self._write()
        self._limit_execution()
        self._pass_signal_on()

    def end_epoch(self):
        self._last_step = 0
        is_last = self.model.stop_training or self._progress.epoch >= self.params["epochs"]
        if self.every == "epoch" or is_last or self._is_due() or self._signal is not None:
            self._write()
        self._pass_signal_on()

    def end_fit(self):
        self._release_signals()
        self._progress = None
        self._raise_signal()  # It came after the last checkpoint.

    def _restore(self):
        folder, self._damaged = checkpoints.find_latest(self.directory)
        if folder is None:
            if self._is_chief:
                checkpoints.begin_without_checkpoint(
                    self.directory, self._progress.callbacks.callbacks
                )
            return
        state, made_with = checkpoints.read_checkpoint(folder)
        fit_description.check_fit(made_with, self._made_with)
        self._progress.build()
        fit_description.check_weights(made_with, self.model)
        self._progress.restore(state, folder)
        epoch, step = state["epoch"], state["step"]
        if state["has_stopped"] or epoch >= self.params["epochs"]:
            self._say(f"The fit in {self.directory} has ended, after {_count('epoch', epoch)}.")
        else:
            run = f"{_count('epoch', epoch)} and {_count('step', step)}"
            self._say(f"Resumed from {folder}, after {run}.")

    def _begin_interval(self):
        self._num_steps, self._time = 0, time.monotonic()
        self._last_step = self._progress.step
        self._limit_execution()

    def _limit_execution(self):
        """Lets the next execution end where a checkpoint is due, if steps are counted."""
        if not isinstance(self.every, (str, datetime.timedelta)):
            steps_left = max(1, self.every - self._num_steps)
            self._progress.reader.execution_length.set_limit(self, steps_left)

    def _is_due(self):
        if isinstance(self.every, datetime.timedelta):
            return time.monotonic() - self._time >= self.every.total_seconds()
        return self.every != "epoch" and self._num_steps >= self.every

    def _write(self):
        """Writes a checkpoint, on the chief; all workers must call this."""
        if self._progress.has_failed:  # The data stand behind the failure, the model before it.
            return
        broken = saving.find_broken_weight(self.model) if self._is_chief else None
        if broken is not None:
            warnings.warn(
                f"No checkpoint of epoch {self._progress.epoch}, step {self._progress.step}: the "
                f"weight {broken!r} is not finite. The checkpoints before stay.",
                stacklevel=2,
            )
        if broken is not None or not self._is_chief:
            self._progress.capture(None)
        else:
            checkpoints.set_aside(self._damaged)  # Now: all workers have read.
            self._damaged = []
            self._write_checkpoint()
            checkpoints.remove_oldest(self.directory, self.keep)
        self._begin_interval()

    def _write_checkpoint(self):
        made_with = self._made_with | fit_description.describe_state(self.model)
        try:
            checkpoints.write_checkpoint(self.directory, self._progress, made_with)
        except (OSError, RuntimeError) as error:  # The latter is what h5py makes of a full disk.
            raise OSError(
                f"Resume could not write a checkpoint. Received: {error}. The checkpoints before "
                f"stay in {self.directory}: make room, and run the program again."
            ) from error

    def _say(self, words):
        """Shows a line, unless `fit` was given `verbose=0`."""
        if self._is_chief and self.params.get("verbose"):
            print(words, flush=True)

    def _catch_signals(self):
        """Lets signals wait for the end of an execution; in another thread, Python has none."""
        self._signal = None
        if self._is_alone and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._note_signal)

    def _note_signal(self, number, frame):
        is_second = self._signal is not None
        self._signal = number
        if is_second:
            self._pass_signal_on()

    def _pass_signal_on(self):
        """Lets a signal that has come do what it would have done."""
        if self._signal is None:
            return
        self._release_signals()
        self._raise_signal()
        self._catch_signals()  # It was ignored.

    def _raise_signal(self):
        number, self._signal = self._signal, None
        if number is not None:
            signal.raise_signal(number)

    def _release_signals(self):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


def _count(noun, number):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _check_every(every):
    if every == "epoch":
        return
    if isinstance(every, datetime.timedelta):
        if every < datetime.timedelta(0):
            raise ValueError(f"`every` must not be negative. Received: every={every!r}")
        return
    if not arguments.is_positive_integer(every):
        raise ValueError(
            "`every` must be 'epoch', a positive number of steps or a datetime.timedelta. "
            f"Received: every={every!r}"
        )
