"""The functions that run an execution of `fit`, `evaluate` and `predict`, in the model's mode.

What the modes mean is in `modes.py`; how steps run in a loop, in `fusing`; what replicas do with a
batch, in `sharing.py`.
"""

import functools

import keras
import tensorflow as tf

from kerasmodes import modes, replicas
from kerasmodes.engine import (
    compile_config,
    keras_private,
    replicated_losses,
    replicated_metrics,
    replication,
    summed_gradients,
    super_batches,
    used_metrics,
)
from kerasmodes.engine.executors import eager, loops, single_steps, xla_errors


class StepFunctions:
    """Hands `fit`, `evaluate` and `predict` the functions of the model's mode.

    For a class with the attributes `mode` and `steps_per_execution`.
    """

    def make_train_function(self, force=False):
        self._make_for_mode("train", super().make_train_function, force)

    def make_test_function(self, force=False):
        self._make_for_mode("test", super().make_test_function, force)

    def make_predict_function(self, force=False):
        self._make_for_mode("predict", super().make_predict_function, force)

    def _make_for_mode(self, kind, keras_make_function, force):
        """Makes `train_function` and its siblings anew when there is none for the present mode."""
        mode, in_loop = self.mode, self.steps_per_execution > 1
        if not force and _is_made_for(getattr(self, f"{kind}_function"), mode, in_loop):
            return
        keras_make_function(force=True)
        keras_function = xla_errors.explain_xla_error(mode)(getattr(self, f"{kind}_function"))
        step = getattr(self, f"{kind}_step")
        if kind == "predict":
            function = self._predicting_function(step, mode, keras_function)
        else:
            function = self._step_function(step, mode, keras_function)
        function.made_for, function.trains = (mode, in_loop), kind == "train"
        setattr(self, f"{kind}_function", function)

    def _step_function(self, step, mode, keras_function):
        """Returns the function that runs an execution, on super-batches or an iterator."""
        strategy = self.distribute_strategy
        is_shared = strategy.num_replicas_in_sync > 1
        if is_shared:
            replicated_losses.prepare(self)
            replicated_metrics.prepare(self)
        run = replication.TrainingRun(strategy, self, mode) if is_shared else strategy.run
        if is_shared and step == self.train_step:
            compile_config.check_optimizers_built(self)
            summed_gradients.prepare(compile_config.find_optimizers(self))
        if mode == modes.AUTO and step == self.train_step:
            on_pieces = self._chooser.run
        elif mode == "eager":
            on_pieces = eager.make_step_function(step, self, run if is_shared else None)
        else:
            on_pieces = loops.make_step_function(step, run, mode)
        if is_shared:
            on_pieces = run.with_metrics(on_pieces)
        if is_shared or mode in ("eager", "fused"):
            on_batch = on_pieces
        else:
            in_replica = step
            if self._distribute_strategy is not None:
                in_replica = functools.wraps(step)(lambda batch: run(step, args=(batch,)))
            on_batch = single_steps.make_step_function(in_replica, mode)

        def function(data):
            if isinstance(data, tf.distribute.DistributedIterator):
                return keras_function(data)
            if not isinstance(data, list):
                return on_batch(data)
            if isinstance(data[0], super_batches.Piece):
                return on_pieces(data)
            return [on_batch(iter([batch])) for batch in data][-1]

        function.loops = getattr(on_pieces, "loops", None)
        return function

    def _predicting_function(self, step, mode, keras_function):
        """Returns the function that predicts an execution: pieces, or what Keras hands out."""
        strategy = self.distribute_strategy
        is_shared = strategy.num_replicas_in_sync > 1
        run = replication.predicting_run(strategy) if is_shared else strategy.run
        on_pieces = loops.make_predict_function(step, run, mode)

        def function(data):
            is_whole = isinstance(data[0], super_batches.Piece) or mode == "fused"
            if is_whole or (is_shared and not _is_distributed(data[0])):
                return keras_private.concatenated_tensors(on_pieces(data))
            return keras_function(data)

        return function

    @functools.wraps(keras.Model.compute_loss)
    def compute_loss(self, *args, **kwargs):
        return replicas.mark_share(super().compute_loss(*args, **kwargs))

    def _aggregate_additional_loss(self, loss):
        """Called with what a layer gave to `add_loss`, and with its penalties on weights."""
        if replicas.is_share(loss):
            return loss
        if replicas.has_shard() and len(loss.shape) > 0:
            raise ValueError(
                "`add_loss` must be given a scalar on several replicas: a mean over the examples. "
                f"Received: a tensor with shape={tuple(loss.shape)}. Use km.average_loss."
            )
        return super()._aggregate_additional_loss(loss)

    def _make_function(self, step_function):
        """Keras's own functions, which serve data that are not dense, or distributed already."""
        step = step_function if self.mode == "xla" else single_steps.after_its_batch(step_function)
        return super()._make_function(step)

    def _get_metrics_result_or_logs(self, logs):
        """Called by `fit` and `evaluate` at the end of an epoch, with the last step's logs."""
        results = super()._get_metrics_result_or_logs(logs)
        return logs if results is logs else used_metrics.keep_own_values(self, results, logs)


def _is_made_for(function, mode, in_loop):
    """Returns whether a function serves a mode; that of training outlives the choice of a mode."""
    made_mode, made_in_loop = getattr(function, "made_for", (None, None))
    if made_mode == modes.AUTO and function.trains:
        return mode != "eager"
    return (made_mode, made_in_loop) == (mode, in_loop)


def _is_distributed(batch):
    return any(isinstance(p, tf.distribute.DistributedValues) for p in keras.tree.flatten(batch))
