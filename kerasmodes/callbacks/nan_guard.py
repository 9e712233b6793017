"""`NaNGuard`: stops a fit at the first number that is not finite, and names where it came from.

Where that is, `engine/replay.py` finds; how it is said is in `nan_report.py`. `health.py` only
warns.
"""

import copy
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any

from kerasmodes import atomic_files, replicas
from kerasmodes.callbacks import nan_report, saved_batches
from kerasmodes.engine import (
    finite_data,
    fit_watchers,
    output_watch,
    recent_steps,
    recent_validation,
    replay,
)

SKIP_CHECK = (
    "Remove such examples; or, if these numbers are there on purpose, use "
    "km.callbacks.NaNGuard(check_data=False)."
)
NOT_KEPT = (
    "Which step it was, and why, was not searched for: with several workers, with a data set that "
    "is distributed already, and for a `train_function` of your own, no batches are kept."
)
NOT_BUILT = (
    "The model, or a layer in it, was not built when the fit began, so the cause cannot be "
    "searched for. Build it with `model.build(input_shape)` before `fit`, and the cause is named."
)
NOT_AGAIN = (
    "The steps since the last copy of the state were run again, and stayed finite: something that "
    "is no variable of the model took part, such as a callback, or random numbers without a seed."
)

NOT_FOUND = (
    "Which batch it was, and why, was not found: the validation was run again and stayed finite, "
    "or its data cannot be read twice."
)


class NaNGuard(fit_watchers.FitWatcher):
    """Stops a fit at the first NaN or infinity, goes back to the state before, and names the cause.

    It watches the logs of every execution and of every epoch, the weights, and the states of the
    optimizers, in every mode. When a number is not finite, it runs the last steps again from a copy
    of the state, finds the first one that fails, and runs this one eagerly, looking at each
    operation. The fit ends there, with a `UserWarning` (or an error) that says which step failed,
    which layer and operation, gradient, update or example of the data it came from, in which line,
    and what the inputs were. All variables of the model, its optimizers and its metrics have the
    values from before the failed step again, bit for bit.

    The eager step draws the random numbers of the step that failed, unless XLA has drawn them and
    they are none of `km.random`: the report says so if it is finite then.

    What is infinite without harm, such as a mask, is no failure as long as it is not NaN; neither
    is a step that `keras.optimizers.LossScaleOptimizer` skips because its gradients are infinite.

    Of the logs of a validation, it names the batch, and the layer, metric or example, in the same
    way. The batches are read once more for that, and the model stays as it is.

    The logs of all steps are looked at after each execution; one that was not finite in any of
    them stays so to its end. So are outputs that no loss takes, of models whose steps are Keras's;
    they count as a log with the name `outputs`. What callbacks add to the logs of an epoch is
    looked at, too. Weights are looked at, and the state is copied, as often as half a percent of
    the time and of the CPU time allows each, and at the end of the fit: with short steps, a broken
    weight may be found some steps later, but the step that is named, and the state that is
    restored, are the same. The batches since the last copy stay in memory, 256 MB at the most
    beside those of one execution; those of a data set are read up to 64 at a time. With several
    workers, give it to all of them: it stops all, and restores the state from the beginning of the
    epoch, without a search.

    Put it first among the callbacks: those behind it save and log what it has restored.

    Args:
        directory: Folder in which the batch of the failed step is saved, as an `.npz` file; made if
            missing. `None` saves none.
        ignore: Names of logs that may be NaN, such as a metric of classes that are not there. A
            warning after the first epoch tells which of them the fit does not log.
        raise_error: Bool, whether to raise a `FloatingPointError` in place of the warning.
        check_data: Bool, whether arrays that `fit` is given must be finite, `x`, `y`,
            `sample_weight` and `validation_data`. Turn it off if NaN marks what is missing in them.

    Attributes:
        report: A `NaNReport` of the last fit, or `None` if nothing has failed.

    Raises:
        TypeError: When a fit begins, if the model has no modes.
        ValueError: If `directory` is a file, or `ignore` holds no names; when a fit begins, if data
            or weights are not finite.
        FloatingPointError: If `raise_error` is set, when a number is not finite.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100, seed=0)
    model = km.SumRegressor()
    model.compile(mode="fused")
    guard = km.callbacks.NaNGuard("nan")
    model.fit(x, y, epochs=2, callbacks=[guard])
    print(guard.report)  # None: all is well.
    ```
    """

    watches_outputs = True
    writes_to = "directory"

    def __init__(
        self,
        directory: str | pathlib.Path | None = None,
        ignore: Iterable[str] = (),
        raise_error: bool = False,
        check_data: bool = True,
    ):
        super().__init__()
        if isinstance(ignore, str) or not all(isinstance(name, str) for name in ignore):
            raise ValueError(f"`ignore` must be a list of names of logs. Received: {ignore=}")
        self.directory = None if directory is None else pathlib.Path(directory)
        if self.directory is not None and self.directory.is_file():
            raise ValueError(f"`directory` must be a folder. Received: the file {str(directory)!r}")
        self.ignore = tuple(ignore)
        self.raise_error = raise_error
        self.check_data = check_data
        self.report = None
        self._progress = self._steps = self._validation = None
        self._test_logs, self._epoch_logs = {}, {}

    def __deepcopy__(self, memo):
        return copy.copy(self)  # As in `GenerationMetrics`.

    def begin_fit(self, progress: Any) -> None:
        self.report = None
        self._progress = progress
        self._steps = recent_steps.RecentSteps(progress.model)
        self._validation = recent_validation.RecentValidation(progress)
        self._test_logs, self._epoch_logs = {}, {}
        self._find_broken_logs({})  # Forgets the outputs of an earlier fit.
        self._is_looked_at, self._has_checked_names = True, not self.ignore
        self._epoch, self._num_steps = progress.epoch, progress.step
        self._is_alone = replicas.num_workers(progress.model.distribute_strategy) == 1
        if self.directory is not None and replicas.is_chief(progress.model.distribute_strategy):
            atomic_files.check_writable("directory", self.directory)
        if not progress.model.run_eagerly:
            progress.reader.read_in_blocks(recent_steps.BLOCK)
        if self.check_data:
            self._check_arrays()

    def begin_execution(self, batches: Any) -> Any:
        self._is_looked_at = False
        self._epoch = self._progress.epoch
        return self._steps.begin_execution(self._progress.epoch, self._progress.step, batches)

    def end_execution(self, logs: dict[str, Any]) -> None:
        self._num_steps = self._progress.step
        broken = self._find_broken_logs(logs)
        if broken or self._steps.is_look_due():
            variables = self._look()
            if broken or variables:
                self._fail(broken, variables)

    def on_test_begin(self, logs=None):
        if self._validation is not None:
            self._test_logs = {}
            self._validation.begin()

    def on_test_end(self, logs=None):
        self._test_logs = logs or {}

    def on_epoch_end(self, epoch, logs=None):
        if self._steps is None or self.report is not None:
            return
        self._epoch_logs = {} if logs is None else logs
        broken = self._find_broken_logs(self._epoch_logs)
        looks = bool(broken) or not self._is_alone or self._steps.is_look_due()
        variables = self._look() if looks else []
        if variables:
            self._fail(broken, variables)
        elif broken:
            self._fail_epoch(broken)

    def end_epoch(self) -> None:
        """Looks at what other callbacks have added to the logs meanwhile."""
        broken = self._find_broken_logs(self._epoch_logs) if self.report is None else {}
        self._warn_of_unknown_names()
        self._epoch_logs = {}
        if broken:
            self._fail_epoch(broken)

    def on_train_end(self, logs=None):
        if self._steps is not None and self.report is None:
            variables = self._look()
            if variables:
                self._fail({}, variables)

    def end_fit(self) -> None:
        self._progress = self._steps = self._validation = None  # With the batches.

    def _look(self):
        """Returns the names of the variables that are not finite, if any step has run since."""
        if self._is_looked_at:
            return []
        self._is_looked_at = True
        return self._steps.find_broken()

    def _check_arrays(self):
        arrays, validation = self._progress.reader.arrays, self._progress.validation
        if arrays is not None:
            named = dict(zip(saved_batches.PARTS, arrays, strict=False))
            finite_data.check_finite(SKIP_CHECK, **named)
        if validation is not None:
            parts = tuple(validation[name] for name in saved_batches.PARTS)
            finite_data.check_finite(SKIP_CHECK, validation_data=parts)

    def _find_broken_logs(self, logs):
        watch = self._progress.model.output_watch
        broken = {} if watch is None else watch.take_broken()
        broken |= replay.find_broken_numbers(logs)
        return {n: value for n, value in broken.items() if n not in self.ignore} if broken else {}

    def _fail(self, logs, variables):
        """Searches for the cause, goes back to the last good state, and tells."""
        steps = self._steps
        failed = steps.find_failed_step(self._find_broken_logs)
        found = {"logs": tuple(logs), "variables": tuple(variables)}
        if failed is not None:
            steps.restore(failed.values)
            found |= nan_report.explain(failed)
            if failed.is_broken_eagerly:
                found |= {"logs": tuple(failed.logs), "variables": tuple(failed.variables)}
            found["restored_to"] = failed.epoch, failed.step
            found["batch_path"] = self._save(failed, "step")
        else:
            if not steps.can_replay:
                found["remark"] = NOT_KEPT
            else:
                found["remark"] = NOT_BUILT if steps.copied_at is None else NOT_AGAIN
            found["restored_to"] = steps.copied_at if steps.restore() else None
        self._tell(**found)

    def _warn_of_unknown_names(self):
        """Tells, after the first epoch with all logs, which names to ignore are in none of them."""
        is_complete = self._progress.validation is None or self._test_logs
        if self._has_checked_names or not is_complete:
            return
        self._has_checked_names = True
        logs = {**self._progress.logs, **self._epoch_logs}
        known = [output_watch.OUTPUTS, *replay.list_names(logs)]
        unknown = [name for name in self.ignore if name not in known]
        if unknown:
            warnings.warn(
                f"`ignore` must name logs. Received: {unknown}, which this fit does not log. "
                f"Its logs: {', '.join(dict.fromkeys(known))}",
                UserWarning,
                stacklevel=2,
            )

    def _find_broken_test_logs(self, logs):
        broken = replay.find_broken_numbers(logs)
        return {n: value for n, value in broken.items() if f"val_{n}" not in self.ignore}

    def _fail_epoch(self, logs):
        """Tells of logs of an epoch, after steps that were finite."""
        found = {"step": None, "logs": tuple(logs)}
        tested = {f"val_{name}" for name in self._find_broken_test_logs(self._test_logs)}
        if not tested & set(logs):
            is_known = set(logs) & set(self._progress.logs)
            stage = nan_report.UNKNOWN if is_known else nan_report.CALLBACK
            self._tell(stage=stage, **found)
            return
        failed = self._validation.find_failed_batch(self._find_broken_test_logs)
        found |= {"is_validation": True, "remark": NOT_FOUND}
        if failed is not None:
            found |= {"remark": "", **nan_report.explain(failed)}
            found |= {"step": None, "validation_step": failed.step}
            found["batch_path"] = self._save(failed, "validation")
        self._tell(**found)

    def _tell(self, **found):
        model = self._progress.model
        moment = {"epoch": self._epoch, "step": self._num_steps - 1, "mode": model.mode}
        self.report = nan_report.NaNReport(**{"logs": (), "variables": (), **moment, **found})
        model.stop_training = self._progress.has_failed = True
        words = str(self.report)
        if self.report.logs:
            words += "\nIf a log may be NaN, name it: km.callbacks.NaNGuard(ignore=[...])."
        if self.raise_error:
            raise FloatingPointError(words)
        warnings.warn(words, UserWarning, stacklevel=2)

    def _save(self, failed, kind):
        """Returns the path of the file to which the batch of a failed step is written."""
        if self.directory is None or not replicas.is_chief(self.model.distribute_strategy):
            return None
        name = f"epoch_{failed.epoch + 1:04d}_{kind}_{failed.step + 1:06d}.npz"
        saved_batches.save(failed.batch, self.directory / name)
        return self.directory / name
