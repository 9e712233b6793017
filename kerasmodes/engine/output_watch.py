"""`OutputWatch`: adds up a model's outputs and logs within compiled steps, to see what is broken.

Only outputs without a loss need it, which may be NaN while each log and each weight is finite, and
logs of a step of the user's own: callbacks see those of an execution's last step.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import finite_data, keras_private, target_checks

OUTPUTS = "outputs"  # Their name among the logs that are not finite.
LOGS = "logs"


class OutputWatch:
    """What the outputs and logs of a model's steps were since they were last asked for.

    Args:
        model: A model on one device.
        watched: What to look at: `OUTPUTS` (all that a call of the model returns), `LOGS` (what the
            step returns).
    """

    def __init__(self, model: keras.Model, watched: tuple[str, ...] = (OUTPUTS,)) -> None:
        self.watched = watched
        self._model = model
        # Variables, by the names of what they add up: a sum with a number that is not finite never
        # is again. Whatever else would tell takes a step more operations.
        self._sums = {}
        self._last = []  # Outputs of an eager step.

    def watch(self, step: Callable) -> Callable:
        """Returns a step of training whose outputs and logs are looked at."""

        def run_step(batch):
            outputs = []
            with _collect_outputs(self._model, outputs if OUTPUTS in self.watched else None):
                logs = step(batch)
            numbers = [(OUTPUTS, one) for one in outputs]
            if LOGS in self.watched:
                numbers += _list_numbers(logs)
            if numbers:
                self._add(*zip(*numbers, strict=True))
            self._last = [one for one in outputs if hasattr(one, "numpy")]
            return logs

        return run_step

    def take_broken(self) -> dict[str, Any]:
        """Returns what was not finite since the last call, by name; empty if all was."""
        broken = {}
        for names, sums in self._sums.items():
            is_finite = np.isfinite(sums.numpy())
            if not is_finite.all():
                sums.assign(tf.zeros_like(sums))
                broken |= {
                    n: np.nan for n, known in zip(names, is_finite, strict=True) if not known
                }
        outputs, self._last = self._last, []
        if OUTPUTS in broken and outputs:
            broken[OUTPUTS] = [one for one in outputs if not finite_data.is_finite(one)]
        return broken

    def _add(self, names, numbers):
        if names not in self._sums:
            self._sums[names] = self._make_sums(len(names))
        self._sums[names].assign_add(tf.stack([_make_term(one) for one in numbers]))

    def _make_sums(self, size):
        strategy = self._model.distribute_strategy
        with tf.init_scope():  # A step may be traced now.
            is_there = tf.distribute.get_strategy() is strategy
            with contextlib.nullcontext() if is_there else strategy.scope():
                return tf.Variable(tf.zeros([size]), trainable=False)


def _make_term(number):
    """Returns a float32 scalar that is finite if all of a tensor is."""
    if number.dtype == tf.float32 and number.shape.rank == 0:
        return number
    is_finite = tf.reduce_all(tf.math.is_finite(number))
    return tf.where(is_finite, 0.0, np.float32(np.nan))


def find_watched(model: keras.Model, has_many_steps: bool) -> tuple[str, ...]:
    """Returns what of a model's steps neither logs nor weights tell, for an `OutputWatch`.

    Args:
        model: The model.
        has_many_steps: Whether executions may have several steps: of a single one, callbacks see
            all logs.
    """
    watched = (OUTPUTS,) if has_outputs_without_loss(model) else ()
    return (*watched, LOGS) if has_many_steps and has_own_logs(model) else watched


def has_own_logs(model: keras.Model) -> bool:
    """Returns whether the training step of a model, and with it what it logs, is the user's own."""
    owner = next(cls for cls in type(model).__mro__ if "train_step" in vars(cls))
    return not owner.__module__.startswith(("keras.", "kerasmodes."))


def has_outputs_without_loss(model: keras.Model) -> bool:
    """Returns whether a model whose steps are Keras's has outputs that no loss takes."""
    if not target_checks.has_plain_step(model):
        return False
    compiled_loss = keras_private.find_compiled_loss(model)
    if compiled_loss is None:
        return True
    losses = keras.tree.flatten(keras_private.find_given_losses(compiled_loss)[0])
    num_outputs = len(getattr(model, "outputs", None) or [None])
    return sum(loss is not None for loss in losses) < num_outputs


@contextlib.contextmanager
def _collect_outputs(model, outputs):
    """While open, tensors of floats that a call of the model returns are added to a list, if any.

    Args:
        model: The model.
        outputs: The list, or `None`.
    """
    if outputs is None:
        yield
        return
    attributes, call = vars(model), model.call
    before = attributes.get("call")

    def collecting_call(*args, **kwargs):
        returned = call(*args, **kwargs)
        tensors = tf.nest.flatten(returned, expand_composites=True)
        outputs.extend(one for one in tensors if tf.is_tensor(one) and one.dtype.is_floating)
        return returned

    attributes["call"] = collecting_call
    try:
        yield
    finally:
        if before is None:
            del attributes["call"]
        else:
            attributes["call"] = before


def _list_numbers(logs: Any) -> Iterator[tuple[str, tf.Tensor]]:
    """Yields the names and values of logs of floats; nested ones are unfolded."""
    for name, value in logs.items() if isinstance(logs, dict) else ():
        if isinstance(value, dict):
            yield from _list_numbers(value)
            continue
        tensors = map(tf.convert_to_tensor, tf.nest.flatten(value, expand_composites=True))
        yield from ((name, one) for one in tensors if one.dtype.is_floating)
