"""What a fit needs to go back a little: a copy of the state, and the batches since then.

Copies and looks at the state are as frequent as their cost allows. What is done when a number is
not finite, the caller decides; `replay.py` finds the step.
"""

import time
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import keras_private, model_state, optimizers, replay, super_batches
from kerasmodes.engine.executors.executor import is_of_user

# Of the time of a fit, and of its CPU time: for copies of the state, and as much for looking at it.
SHARE = 0.005
# Of batches that have run; beyond it, the state is copied and they are let go.
MOST_BYTES = 256 * 2**20
# Batches of a data set that are read at once.
BLOCK = 64
# So many batches are taken to have the bytes of the first one.
ALIKE = 16


class RecentSteps:
    """The last executions of a fit, and the state before them.

    With several workers, which must do the same at the same time whatever their clocks say, the
    state is copied once an epoch, and no batches are kept. Those of a distributed data set cannot
    be: what an iterator hands out is not what the executor takes. Nor can those of a
    `train_function` of the user's own.

    Args:
        model: The model of the fit.

    Attributes:
        state: The `model_state.ModelState`, or `None` before the model is built.
        can_replay: Whether all executions since the copy are kept.
        copied_at: The epoch and step before which the copy was made, both from 0; or `None`.
    """

    def __init__(self, model: keras.Model) -> None:
        self.state = None
        self.can_replay = True
        self.copied_at = None
        self._model = model
        self._is_alone = replicas.num_workers(model.distribute_strategy) == 1
        self._values, self._copied_state = None, None
        self._rates = []
        self._kept = []  # The arguments of `replay.KeptExecution`: a step may take as little time.
        self._copy_timer, self._look_timer = _Timer(), _Timer()
        self._bytes, self._last_super_batch, self._batch_bytes = 0, None, 0
        self._num_batches = 0
        self._epoch = None

    def begin_execution(self, epoch: int, step: int, batches: Any) -> Any:
        """Notes what is about to run, and returns what to run in its place.

        Args:
            epoch: The epoch, from 0.
            step: The execution's first step, from 0 in each epoch.
            batches: List of `super_batches.BatchRange`, or an iterator, whose next batches are
                taken from it.

        Raises:
            ValueError: If a weight is not finite before the first execution.
        """
        is_new_epoch, self._epoch = epoch != self._epoch, epoch
        if self._is_copy_due(is_new_epoch):
            self._copy(epoch, step)
        rates = self._read_rates() if is_new_epoch and self._kept else None
        if self._is_alone and type(batches) is list:
            self._kept.append((epoch, step, batches, rates))
            if len(batches) > 1 or batches[0].super_batch is not self._last_super_batch:
                self._count_super_batches(batches)
            return batches
        is_distributed = isinstance(batches, tf.distribute.DistributedIterator)
        if is_distributed or not self._is_alone or is_of_user(self._model.train_function):
            self.can_replay = False
            return batches
        taken = take(batches, self._model.steps_of_iterators)
        if taken:
            self._kept.append((epoch, step, taken, rates))
            self._count_batches(taken)
        return iter(taken)

    def is_look_due(self) -> bool:
        """Returns whether the state may be looked at again, as far as the cost goes."""
        return self._is_alone and self._look_timer.is_due()

    def find_broken(self) -> list[str]:
        """Returns the names of the variables that are not finite."""
        if self.state is None:
            return []
        with self._look_timer:
            self._extend_state()
            return self.state.find_broken()

    def find_failed_step(self, find_broken_logs) -> replay.FailedStep | None:
        """Runs the kept steps again; see `replay.Replay`, and `None` if they cannot be."""
        self._complete_copy()
        if self._values is None or not self.can_replay or not self._kept:
            return None
        again = replay.Replay(self._model, self.state, find_broken_logs, self._set_rates)
        executions = [replay.KeptExecution(*one) for one in self._kept]
        return again.find_failed_step(self._values, executions)

    def restore(self, values: list | None = None) -> bool:
        """Gives the model the copied state, or another; returns whether there is one."""
        if values is None:
            self._complete_copy()
            values = self._values
        if values is None:
            return False
        self.state.restore(values)
        return True

    def _begin_state(self):
        self.state = model_state.ModelState(self._model)
        broken = set(self.state.find_broken())
        weights = [v.name for v in self.state.variables if v.kind == model_state.WEIGHT]
        first = next((name for name in weights if name in broken), None)
        if first is not None:
            raise ValueError(
                "All weights must be finite when a fit begins. "
                f"Received: the weight {first!r} with NaN or infinity"
            )
        self.state.leave_out_broken()

    def _is_copy_due(self, is_new_epoch):
        if self._values is None:
            return True
        if not self._is_alone:
            return is_new_epoch
        return self._bytes > MOST_BYTES or self._copy_timer.is_due()

    def _copy(self, epoch, step):
        """Copies the state, if there is one yet, unless a callback has just broken it."""
        if self.state is None and keras_private.has_all_weights(self._model):
            self._begin_state()
        if self.state is None:
            return
        with self._copy_timer:
            self._extend_state()
            if self.state.find_broken():
                return
            self._values, self._copied_state = self.state.copy(), self.state
        self.copied_at = epoch, step
        self._kept, self.can_replay = [], True
        self._rates = self._list_rates()
        self._bytes, self._last_super_batch = 0, None

    def _extend_state(self):
        """Takes in what has been made meanwhile: the first step makes an optimizer's variables."""
        if not self.state.is_complete():
            self.state = self.state.extend()

    def _complete_copy(self):
        """Adds to the copy what has been made since then, as it was in the beginning."""
        if self._values is None:
            return
        self._extend_state()
        if self._copied_state is not self.state:
            self._values = self.state.complete_values(self._copied_state, self._values)
            self._copied_state = self.state

    def _count_super_batches(self, ranges):
        for super_batch, _, _ in ranges:
            if super_batch is not self._last_super_batch:
                self._last_super_batch = super_batch
                parts = tf.nest.flatten(super_batch)
                self._bytes += sum(map(_count_tensor_bytes, parts))

    def _count_batches(self, batches):
        for batch in batches:
            if self._num_batches % ALIKE == 0:
                self._batch_bytes = _count_bytes(batch)
            self._num_batches += 1
            self._bytes += self._batch_bytes

    def _read_rates(self):
        return [model_state.read(part) for part in self._rates]

    def _set_rates(self, values):
        for part, value in zip(self._rates, values, strict=True):
            part.assign(value)

    def _list_rates(self):
        """Returns the variables of the learning rates, which a schedule of a callback sets."""
        by_name = optimizers.find_optimizers(self._model)
        found = [one for o in by_name.values() for one in keras_private.find_learning_rate(o)]
        variables = [rate for rate in found if isinstance(rate, keras.Variable)]
        strategy = self._model.distribute_strategy
        return [part for v in variables for part in strategy.experimental_local_results(v.value)]


class _Timer:
    """Tells when something may be done again that is to take a share of the time.

    That is of the wall time and of the CPU time. On a busy machine, what is short runs without a
    break, and the steps between wait for their turn: by the clock on the wall alone, it would take
    several times its share of what the process gets. With many threads, CPU time runs faster than
    that clock.

    As a context, it times what is done. The first time, which is longer, is not counted.
    """

    def __init__(self):
        self._due, self._start, self._is_first = (0.0, 0.0), (0.0, 0.0), True

    def is_due(self):
        # The second clock is the dearer one: a call of the system.
        return time.perf_counter() >= self._due[0] and time.process_time() >= self._due[1]

    def __enter__(self):
        self._start = _read_clocks()

    def __exit__(self, *exception):
        self._due = ends = _read_clocks()
        if not self._is_first:
            self._due = tuple(e + (e - s) / SHARE for s, e in zip(self._start, ends, strict=True))
        self._is_first = False


def _read_clocks():
    return time.perf_counter(), time.process_time()


def take(iterator: Any, number: int) -> list:
    """Returns the next batches of an iterator; none at its end, which the executor notices."""
    taken = []
    while len(taken) < number:
        try:
            taken.append(next(iterator))
        except (StopIteration, tf.errors.OutOfRangeError):
            break
    return taken


def _count_bytes(batch):
    parts = tf.nest.flatten(super_batches.remove_optionals(batch), expand_composites=True)
    return sum(getattr(one, "nbytes", 0) or _count_tensor_bytes(one) for one in parts)


def _count_tensor_bytes(tensor):
    return tensor.shape.num_elements() * tensor.dtype.size if tf.is_tensor(tensor) else 0
