"""The one place for names of Keras beyond its documented interface, checked with Keras 3.15.1.

What they are used for is in `functions.py`, `epochs.py` and `summed_gradients.py`.
"""

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import (
    TFEpochIterator,
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.losses.loss import unscale_loss_for_distribution
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments
from keras.src.trainers import compile_utils
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable

__all__ = [
    "CompileLoss",
    "Functional",
    "TFEpochIterator",
    "arrays_of",
    "attach",
    "attached_to",
    "check_hooks",
    "compiled_loss",
    "concatenated",
    "concatenated_tensors",
    "dataset_of",
    "functional_init_arguments",
    "group_attached",
    "is_built",
    "is_in_memory",
    "is_plain_dense",
    "layers_of",
    "refusing_layers",
    "restored_epoch",
    "set_compiled_loss",
    "set_restored_epoch",
    "shuffle_of",
    "symbolic_batch",
    "variables_of_optimizer",
]

HOOKS = {
    keras.Model: "make_train_function make_test_function make_predict_function "
    "_maybe_symbolic_build _flatten_layers _make_function _get_metrics_result_or_logs",
    TFEpochIterator: "_enumerate_iterator _interrupted_warning",
    ArrayDataAdapter: "num_batches batch_size",
    keras.optimizers.Optimizer: "_clip_gradients _all_reduce_sum_gradients",
    keras.optimizers.LossScaleOptimizer: "check_finite",
}

# The mask of time steps, and the logits from which a softmax or sigmoid was made.
ATTACHED = ("_keras_mask", "_keras_logits")


def check_hooks():
    """Raises a `RuntimeError` when Keras lacks a method that the modes override."""
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in HOOKS.items()
        for name in names.split()
        if not hasattr(owner, name)
    ]
    if missing:
        raise RuntimeError(
            f"Keras must have {', '.join(missing)}, on which the modes are built (checked with "
            f"Keras 3.15.1). Received: Keras {keras.__version__}"
        )


def attached_to(tensor):
    """Returns what layers have hung on a tensor for losses and metrics, `None` for what is not."""
    return [getattr(tensor, name, None) for name in ATTACHED]


def group_attached(flat):
    """Returns the lists of `attached_to`, for some tensors, that were put into one."""
    return [flat[place : place + len(ATTACHED)] for place in range(0, len(flat), len(ATTACHED))]


def attach(tensor, attached):
    """Hangs on a tensor what `attached_to` has returned for another."""
    for name, value in zip(ATTACHED, attached, strict=True):
        if value is not None:
            setattr(tensor, name, value)


def refusing_layers(model):
    """Returns the names of the layers that XLA cannot compile."""
    return [layer.name for layer in model._flatten_layers() if not layer.supports_jit]


def layers_of(model):
    """Returns the model with all layers in it, at any depth."""
    return list(model._flatten_layers())


def is_plain_dense(layer):
    """Returns whether a dense layer is a product, a bias and an activation, nothing else."""
    is_plain = layer.built and not layer.lora_enabled and layer.quantization_mode is None
    return is_plain and layer.compute_dtype == layer.variable_dtype


def is_built(model):
    """Returns whether layers, losses, metrics and optimizer all have their variables."""
    parts = [*model._flatten_layers(), model._compile_loss, model._compile_metrics, model.optimizer]
    return all(part is None or part.built for part in parts)


def compiled_loss(model):
    """Returns the one loss that `compile` makes of what it was given, or `None`."""
    return model._compile_loss


def set_compiled_loss(model, loss):
    """Puts another loss in the place of the one that `compile` has made."""
    model._compile_loss = loss


class CompileLoss(compile_utils.CompileLoss):
    """What Keras's `compile` makes of the losses, with means over the examples for each output.

    Keras weights a batch by the size that is known before it comes. In a graph for batches of any
    size that is none, and a smaller last batch counts as much there as the others do.

    Args:
        given: The loss that Keras's `compile` has made.
        change: Function of what the user gave to `compile(loss=...)` that returns what to use.
    """

    def __init__(self, given, change):
        losses, weights = given._user_loss, given._user_loss_weights
        super().__init__(change(losses), weights, output_names=given.output_names)

    def build(self, y_true, y_pred):
        super().build(y_true, y_pred)
        # A single loss has no metric; `loss` itself is its mean.
        self._metrics[:] = [_MeanOfLoss(name=metric.name) for metric in self._metrics]
        if self._metrics:
            self._flat_losses = [
                one._replace(loss=_TrackedLoss(one.loss, metric))
                for one, metric in zip(self._flat_losses, self._metrics, strict=True)
            ]


class _TrackedLoss:
    """A loss of one output that adds itself to its mean."""

    def __init__(self, loss, mean):
        self._loss, self._mean = loss, mean

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = self._loss(y_true, y_pred, sample_weight)
        num_examples = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        self._mean.add_batch(unscale_loss_for_distribution(loss), num_examples)
        return loss


class _MeanOfLoss(keras.metrics.Mean):
    """The mean of the losses of one output."""

    def add_batch(self, loss, num_examples):
        super().update_state(loss, sample_weight=num_examples)

    def update_state(self, values, sample_weight=None):
        """Keras's own call for a batch, which the loss has added already."""


def names_of_metric(metric):
    """Returns the names of a metric's results in the logs."""
    results = metric.result()
    return list(results) if isinstance(results, dict) else [metric.name]


def variables_of_optimizer(optimizer):
    """Returns the variables that a built optimizer updates."""
    return optimizer._trainable_variables


def dataset_of(epoch_iterator):
    """Returns the data set of global batches, or `None` if the user has distributed it."""
    dataset = epoch_iterator._distributed_dataset
    if isinstance(dataset, tf.data.Dataset):
        return dataset
    dataset = epoch_iterator.data_adapter.get_tf_dataset()
    return dataset if isinstance(dataset, tf.data.Dataset) else None


def arrays_of(adapter):
    """Returns nested tensors of what an adapter holds, or `None` if it holds no arrays."""
    if not isinstance(adapter, ArrayDataAdapter):
        return None
    arrays = convert_to_sliceable(adapter._inputs, target_backend="tensorflow")
    return tf.nest.map_structure(
        lambda array: None if array is None else tf.convert_to_tensor(array),
        keras.tree.lists_to_tuples(arrays),
    )


def shuffle_of(adapter):
    """Returns the argument `shuffle` that arrays were given with."""
    return adapter._shuffle


def restored_epoch(model):
    """Returns the epoch that a callback has set the fit back to, 0 if none has."""
    return model._initial_epoch or 0


def set_restored_epoch(model, epoch):
    """Makes the fit that has just begun go on with that epoch; `None` undoes it."""
    model._initial_epoch = epoch


def is_in_memory(epoch_iterator):
    """Returns whether the data are arrays."""
    return isinstance(epoch_iterator.data_adapter, ArrayDataAdapter)


def symbolic_batch(structure):
    """Returns what Keras builds a model from, from nested specs of a batch."""
    kinds = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)
    return tf.nest.map_structure(lambda s: s if isinstance(s, kinds) else None, structure)


def concatenated_tensors(parts):
    """Returns the outputs of some batches as nested tensors, ragged where shapes differ."""
    return tf.nest.map_structure(lambda *one: potentially_ragged_concat(one), *parts)


def concatenated(parts):
    """Returns the outputs of all batches as nested arrays, ragged where shapes differ."""
    return keras.tree.map_structure(
        lambda *one: convert_to_np_if_not_ragged(potentially_ragged_concat(one)), *parts
    )
