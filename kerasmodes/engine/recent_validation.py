"""The validation of a fit, run again to find the batch after which a number is not finite.

The data are read once more for it, so that nothing is kept while all is well.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import keras_private, model_state, recent_steps, replay
from kerasmodes.engine.executors.executor import is_of_user


class RecentValidation:
    """The last validation of a fit.

    Args:
        progress: The `fit_progress.FitProgress` of the fit.
    """

    def __init__(self, progress: Any) -> None:
        self._progress, self._model = progress, progress.model
        self._seeds, self._seed_values, self._global_seed = None, None, None

    def begin(self) -> None:
        """Notes from where the validation draws its random numbers, before it begins."""
        self._seeds = _find_seeds(self._model)
        self._seed_values = self._seeds.copy()
        self._global_seed = keras_private.read_global_seed()

    def find_failed_batch(
        self, find_broken_logs: Callable[[dict], dict]
    ) -> replay.FailedStep | None:
        """Returns the first batch after which a log is not finite; leaves the model as it is.

        Args:
            find_broken_logs: As in `replay.Replay`, of the logs of a step of validation.

        Returns:
            `None` if all are finite this time, if the data cannot be read again, or if the
            `test_function` is the user's own.
        """
        model, reader = self._model, self._progress.validation_reader
        is_alone = replicas.num_workers(model.distribute_strategy) == 1
        is_own = is_of_user(model.test_function)
        if reader is None or self._seed_values is None or is_own or not is_alone:
            return None
        state = model_state.ModelState(model)
        after, seed_after = state.copy(), keras_private.read_global_seed()
        state.leave_out_broken()
        self._seeds.restore(self._seed_values)
        keras_private.set_global_seed(self._global_seed)
        model.reset_metrics()
        again = replay.Replay(model, state, find_broken_logs, kind="test")
        reader.reset()
        try:
            for execution in self._read_again(reader):
                failed = again.find_failed_step(state.copy(), [execution])
                if failed is not None:
                    return failed
            return None
        finally:
            state.restore(after)
            keras_private.set_global_seed(seed_after)

    def _read_again(self, reader):
        for first, _, read in reader.executions():
            try:
                batches = read()
            except (StopIteration, tf.errors.OutOfRangeError):  # Of a generator.
                return
            if isinstance(batches, tf.distribute.DistributedIterator):
                return
            if not isinstance(batches, list):
                batches = recent_steps.take(batches, self._model.steps_of_iterators)
            if not batches:
                return
            yield replay.KeptExecution(self._progress.epoch, first, batches)


def _find_seeds(model):
    """Returns the state of what counts and draws: integers that no optimizer and no metric has."""
    state = model_state.ModelState(model, (model_state.OTHER,))
    state.variables = [one for one in state.variables if one.parts[0].dtype.is_integer]
    return state
