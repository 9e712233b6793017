"""The one place for hooks of Keras beyond its documented interface, checked with Keras 3.15.1.

What the modes mean is in `modes.py`; the fused loop itself in `fusing.py`.
"""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments
from keras.src.trainers.epoch_iterator import EpochIterator

from kerasmodes import fusing

__all__ = [
    "Functional",
    "KerasHooks",
    "check_hooks",
    "functional_init_arguments",
    "refusing_layers",
]

HOOKS = {
    keras.Model: (
        "make_train_function",
        "make_test_function",
        "make_predict_function",
        "_make_function",
        "_maybe_symbolic_build",
        "_flatten_layers",
    ),
    EpochIterator: ("_enumerate_iterator",),
}


class KerasHooks:
    """Hands `fit`, `evaluate` and `predict` the functions of the model's mode.

    For a class with the attributes `mode` and `_block_steps`.
    """

    def make_train_function(self, force=False):
        self._make_for_mode("train", super().make_train_function, force)

    def make_test_function(self, force=False):
        self._make_for_mode("test", super().make_test_function, force)

    def make_predict_function(self, force=False):
        self._make_for_mode("predict", super().make_predict_function, force)

    def _make_for_mode(self, kind, keras_make_function, force):
        """Makes `train_function` and its siblings anew when there is none for the present mode."""
        made = getattr(self, f"{kind}_function")
        if made is not None and getattr(made, "mode", None) == self.mode and not force:
            return
        if self.mode == "fused":
            step, run = getattr(self, f"{kind}_step"), self.distribute_strategy.run
            if kind == "predict":
                function = fusing.make_predict_function(step, run)
            else:
                function = fusing.make_step_function(step, lambda: self._block_steps, run)
        else:
            keras_make_function(force=True)
            function = getattr(self, f"{kind}_function")
        function.mode = self.mode
        setattr(self, f"{kind}_function", function)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Called by `fit` and `evaluate` with the iterator that cuts an epoch into executions."""
        if not _is_built(self):
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        if iterator is not None and self.mode == "fused":
            _end_with_the_epoch(iterator, self)

    def _make_function(self, step_function):
        # A program of XLA runs whole or not at all, on tensors.
        step = step_function if self.mode == "xla" else _after_its_batch(step_function)
        return super()._make_function(step)


def check_hooks():
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in HOOKS.items()
        for name in names
        if not hasattr(owner, name)
    ]
    if missing:
        raise RuntimeError(
            f"Keras must have {', '.join(missing)}, on which the modes are built (checked with "
            f"Keras 3.15.1). Received: Keras {keras.__version__}"
        )


def _is_built(model):
    """Returns whether nothing is left for Keras to build from a batch.

    Under a strategy Keras reads one all the same, with an iterator that it destroys at once, while
    TensorFlow's threads may still be filling it: rarely, the process crashes.
    """
    parts = [*model._flatten_layers(), model._compile_loss, model._compile_metrics, model.optimizer]
    return all(part is None or part.built for part in parts)


def refusing_layers(model):
    """Returns the names of the layers that XLA cannot compile."""
    return [layer.name for layer in model._flatten_layers() if not layer.supports_jit]


def _end_with_the_epoch(epoch_iterator, model):
    """Makes the iterator's last block end where the epoch ends; tells the model each block's steps.

    Keras counts, and runs, whole blocks of K steps also where K does not divide the epoch.
    """
    if "_enumerate_iterator" in vars(epoch_iterator):
        return  # Keras keeps the iterator of the validation data over the epochs.
    blocks = epoch_iterator._enumerate_iterator

    def ending_blocks():
        for begin, end, batches in blocks():
            if epoch_iterator.num_batches:
                last = min(end, epoch_iterator.num_batches - 1)
                epoch_iterator._steps_seen -= end - last
                end = last
            model._block_steps = end - begin + 1
            yield begin, end, batches

    epoch_iterator._enumerate_iterator = ending_blocks


def _after_its_batch(step):
    """Returns the step, held back until its batch is there, in tensors.

    In a graph, what does not depend on the batch (step counters, seeds) would else run once more
    when data of unknown length end, and the next epoch would see other numbers. In eager mode,
    `train_on_batch` would else give it NumPy arrays.
    """

    @functools.wraps(step)
    def waiting_step(data):
        data = tf.nest.map_structure(
            lambda part: tf.convert_to_tensor(part) if isinstance(part, np.ndarray) else part, data
        )
        with tf.control_dependencies(
            [part for part in tf.nest.flatten(data) if tf.is_tensor(part)]
        ):
            return step(data)

    return waiting_step
