"""The one place for names of Keras beyond its documented interface, checked with Keras 3.15.1.

What they are used for is in `functions.py`, `epochs.py` and `summed_gradients.py`.
"""

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import (
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.array_data_adapter import (
    ArrayDataAdapter,
    can_convert_arrays,
)
from keras.src.trainers.data_adapters.array_slicing import (
    convert_to_sliceable,
    train_validation_split,
)
from keras.src.utils.python_utils import pythonify_logs
from keras.src.utils.traceback_utils import filter_traceback

__all__ = [
    "COMPILE_ARGUMENTS",
    "Functional",
    "arrays_of",
    "can_shuffle",
    "check_compiled",
    "check_hooks",
    "compile_arguments_of",
    "compiled_loss",
    "concatenated",
    "concatenated_tensors",
    "filter_traceback",
    "functional_init_arguments",
    "functions_of_losses",
    "functions_of_metric",
    "get_data_adapter",
    "has_all_weights",
    "is_built",
    "is_plain_dense",
    "layers_of",
    "logs_of_epoch",
    "pythonify_logs",
    "refusing_layers",
    "restored_epoch",
    "set_restored_epoch",
    "shuffle_of",
    "symbolic_batch",
    "train_validation_split",
    "validates_in",
    "values_in_order",
    "variables_of_optimizer",
]

# What Keras writes of `compile` into a file, and hands to the `compile` of a clone.
COMPILE_ARGUMENTS = (
    "optimizer",
    "loss",
    "loss_weights",
    "metrics",
    "weighted_metrics",
    "run_eagerly",
    "steps_per_execution",
    "jit_compile",
)

HOOKS = {
    keras.Model: "make_train_function make_test_function make_predict_function "
    "_maybe_symbolic_build _flatten_layers _make_function _get_metrics_result_or_logs "
    "_should_eval _flatten_metrics_in_order _assert_compile_called",
    ArrayDataAdapter: "num_batches batch_size",
    keras.optimizers.Optimizer: "_clip_gradients _all_reduce_sum_gradients",
    keras.optimizers.LossScaleOptimizer: "check_finite",
}


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


def functions_of_losses(compiled_loss):
    """Returns the losses in what `compile` made, and the plain functions in these."""
    losses = [one.loss for one in compiled_loss._flat_losses]
    return [*losses, *(loss.fn for loss in losses if hasattr(loss, "fn"))]


def functions_of_metric(metric):
    """Returns the metric with the metrics in it and their plain functions."""
    inner = getattr(metric, "metrics", [])  # `compile` holds its metrics in one.
    return [metric, *inner, *(one._fn for one in [metric, *inner] if hasattr(one, "_fn"))]


def names_of_metric(metric):
    """Returns the names of a metric's results in the logs."""
    results = metric.result()
    return list(results) if isinstance(results, dict) else [metric.name]


def variables_of_optimizer(optimizer):
    """Returns the variables that a built optimizer updates."""
    return optimizer._trainable_variables


def can_shuffle(x, y, sample_weight):
    """Returns whether Keras can shuffle such data: arrays, and a `PyDataset` that has an end."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is not None
    return can_convert_arrays((x, y, sample_weight))


def check_compiled(model, method):
    """Raises Keras's `ValueError` if a model was not compiled."""
    model._assert_compile_called(method)


def compile_arguments_of(model):
    """Returns what a model without modes was compiled with, by name, or `None`."""
    config = getattr(model, "_compile_config", None)
    return dict(config.config) if model.compiled and config is not None else None


def has_all_weights(model):
    """Returns whether the model and all layers in it have their weights."""
    return all(layer.built for layer in model._flatten_layers())


def logs_of_epoch(model, logs):
    """Returns the metrics' results if the logs of the last step are those, otherwise the logs."""
    return dict(model._get_metrics_result_or_logs(logs))


def validates_in(model, epoch, validation_freq):
    """Returns whether a fit validates at the end of an epoch."""
    return model._should_eval(epoch, validation_freq)


def values_in_order(model, logs):
    """Returns what `evaluate` does: the loss alone, or a list in the order of the metrics."""
    return model._flatten_metrics_in_order(logs)


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
