"""`OutputWatch`: counts what is not finite in a model's outputs, within its compiled steps.

Only outputs without a loss need it: they may be NaN while each log and each weight is finite.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import data_checks, finite_data, keras_private

OUTPUTS = "outputs"  # Their name among the logs that are not finite.


class OutputWatch:
    """What the outputs of a model's steps were since they were last asked for.

    Args:
        model: A model on one device.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        with model.distribute_strategy.scope():
            self._num_broken = tf.Variable(0.0, trainable=False)
        self._last = []  # Of an eager step.

    def watch(self, step: Callable) -> Callable:
        """Returns a step of training whose outputs are looked at."""

        def run_step(batch):
            outputs = []
            with _collect_outputs(self._model, outputs):
                logs = step(batch)
            for output in outputs:
                is_broken = tf.cast(~tf.math.is_finite(output), tf.float32)
                self._num_broken.assign_add(tf.reduce_sum(is_broken))
            self._last = [one for one in outputs if hasattr(one, "numpy")]
            return logs

        return run_step

    def take_broken(self) -> dict[str, Any]:
        """Returns what was not finite since the last call, by name; empty if all was."""
        if not self._num_broken.numpy():
            return {}
        self._num_broken.assign(0.0)
        outputs, self._last = self._last, []
        broken = [one for one in outputs if not finite_data.is_finite(one)]
        return {OUTPUTS: broken or float("nan")}


def has_outputs_without_loss(model: keras.Model) -> bool:
    """Returns whether a model whose steps are Keras's has outputs that no loss takes."""
    if not data_checks.has_plain_step(model):
        return False
    compiled_loss = keras_private.find_compiled_loss(model)
    if compiled_loss is None:
        return True
    losses = keras.tree.flatten(keras_private.find_given_losses(compiled_loss)[0])
    num_outputs = len(getattr(model, "outputs", None) or [None])
    return sum(loss is not None for loss in losses) < num_outputs


@contextlib.contextmanager
def _collect_outputs(model, outputs):
    """While open, tensors of floats that a call of the model returns are added to a list."""
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
