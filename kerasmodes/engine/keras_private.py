"""The one place for names of Keras beyond its documented interface, checked with Keras 3.15.1.

What they are used for is in `trainer.py`, `readers.py`, `eager.py` and `shared_losses.py`.
"""

import functools
import threading

import keras
import tensorflow as tf
from keras.src.backend import get_keras_mask, set_keras_mask
from keras.src.backend.tensorflow.trainer import (
    convert_to_np_if_not_ragged,
    potentially_ragged_concat,
)
from keras.src.losses import loss as loss_module
from keras.src.losses.loss import unscale_loss_for_distribution
from keras.src.models.functional import Functional
from keras.src.models.model import functional_init_arguments
from keras.src.trainers import compile_utils
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

from kerasmodes import replicas

__all__ = [
    "COMPILE_ARGUMENTS",
    "CompileLoss",
    "Functional",
    "adds_up",
    "all_metrics",
    "arrays_of",
    "can_shuffle",
    "check_compiled",
    "attach",
    "attached_to",
    "check_hooks",
    "compile_arguments_of",
    "compiled_loss",
    "concatenated",
    "concatenated_tensors",
    "filter_traceback",
    "functional_init_arguments",
    "get_data_adapter",
    "has_all_weights",
    "group_attached",
    "is_built",
    "get_keras_mask",
    "is_by_example",
    "is_plain_dense",
    "keep_losses_apart",
    "layers_of",
    "logs_of_epoch",
    "pythonify_logs",
    "loss_trackers",
    "refusing_layers",
    "parts_of",
    "names_of_metric",
    "rates_of_optimizer",
    "reduce_losses_by",
    "replace_losses",
    "restored_epoch",
    "set_keras_mask",
    "set_compiled_loss",
    "set_restored_epoch",
    "shuffle_of",
    "symbolic_batch",
    "train_validation_split",
    "validates_in",
    "values_in_order",
    "sum_of_weights",
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
    "_should_eval _flatten_metrics_in_order _assert_compile_called "
    "_aggregate_additional_loss",
    ArrayDataAdapter: "num_batches batch_size",
    loss_module: "apply_mask reduce_weighted_values",
    keras.optimizers.Optimizer: "_clip_gradients _all_reduce_sum_gradients",
    keras.optimizers.LossScaleOptimizer: "check_finite",
}

# Functions of Keras whose values are each of one example, if they have no other `axis` than -1.
BY_EXAMPLE = frozenset(
    [
        "accuracy",
        "binary_accuracy",
        "binary_crossentropy",
        "binary_focal_crossentropy",
        "categorical_accuracy",
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "categorical_generalized_cross_entropy",
        "categorical_hinge",
        "concordance_correlation",
        "cosine_similarity",
        "hinge",
        "huber",
        "kl_divergence",
        "log_cosh",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_error",
        "mean_squared_logarithmic_error",
        "pearson_correlation",
        "poisson",
        "sparse_categorical_accuracy",
        "sparse_categorical_crossentropy",
        "sparse_top_k_categorical_accuracy",
        "squared_hinge",
        "top_k_categorical_accuracy",
    ]
)

# Metrics of Keras whose states are sums over the examples.
ADDING = frozenset(
    [
        "AUC",
        "BinaryIoU",
        "F1Score",
        "FBetaScore",
        "FalseNegatives",
        "FalsePositives",
        "IoU",
        "Mean",
        "MeanIoU",
        "OneHotIoU",
        "OneHotMeanIoU",
        "Precision",
        "PrecisionAtRecall",
        "R2Score",
        "Recall",
        "RecallAtPrecision",
        "RootMeanSquaredError",
        "SensitivityAtSpecificity",
        "SpecificityAtSensitivity",
        "Sum",
        "TrueNegatives",
        "TruePositives",
    ]
)

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
    """

    def __init__(self, given):
        losses, weights = given._user_loss, given._user_loss_weights
        super().__init__(losses, weights, output_names=given.output_names)

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
        self.loss, self._mean = loss, mean

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = self.loss(y_true, y_pred, sample_weight)
        num_examples = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        self._mean.add_batch(unscale_loss_for_distribution(loss), num_examples)
        return loss


class _MeanOfLoss(keras.metrics.Mean):
    """The mean of the losses of one output."""

    def add_batch(self, loss, num_examples):
        number = tf.cast(num_examples, self.dtype)
        if replicas.has_shard() and replicas.num_shards() == 1:
            number /= tf.distribute.get_replica_context().num_replicas_in_sync  # Each holds all.
        super().update_state(loss, sample_weight=number)

    def update_state(self, values, sample_weight=None):
        """Keras's own call for a batch, which the loss has added already."""


def is_by_example(wrapper):
    """Returns whether a loss or metric wraps a function of Keras with one value an example."""
    function = getattr(wrapper, "fn", None) or getattr(wrapper, "_fn", None)
    arguments = getattr(wrapper, "_fn_kwargs", {})
    is_keras = all(
        getattr(one, "__module__", "").startswith("keras.") for one in (wrapper, function)
    )
    is_listed = getattr(function, "__name__", None) in BY_EXAMPLE
    return is_keras and is_listed and arguments.get("axis", -1) == -1


def adds_up(metric):
    """Returns whether a metric's states, of several parts of the data, may be added up."""
    is_keras = type(metric).__module__.startswith("keras.")
    return (
        isinstance(metric, _MeanOfLoss)
        or is_keras
        and (type(metric).__name__ in ADDING or is_by_example(metric))
    )


def replace_losses(compiled_loss, replace):
    """Puts what a function makes of it in the place of each loss that `compile` made."""
    for place, one in enumerate(compiled_loss._flat_losses):
        if isinstance(one.loss, _TrackedLoss):
            one.loss.loss = replace(one.loss.loss)
        else:
            compiled_loss._flat_losses[place] = one._replace(loss=replace(one.loss))


def reduce_losses_by(reduce):
    """Makes every `keras.losses.Loss` of the program reduce its values by a function.

    Args:
        reduce: Function of Keras's own and its arguments. Where it is not to change anything, it
            calls Keras's own with them.
    """
    if not isinstance(loss_module.reduce_weighted_values, functools.partial):
        keras_reduce = loss_module.reduce_weighted_values
        loss_module.reduce_weighted_values = functools.partial(reduce, keras_reduce)


def sum_of_weights(sample_weight, mask, dtype):
    """Returns the sum of the sample weights, 0 where a mask is."""
    return tf.reduce_sum(loss_module.apply_mask(sample_weight, mask, dtype=dtype, reduction="sum"))


def loss_trackers(model):
    """Returns the metrics in which a compiled model keeps its losses, first that of their sum."""
    compiled_loss = model._compile_loss
    return [model._loss_tracker, *(compiled_loss.metrics if compiled_loss is not None else [])]


def all_metrics(model):
    """Returns all metrics that Keras finds in a model, also those that `metrics` leaves out."""
    found = [*model.metrics, *keras.Model.metrics.fget(model)]
    return list({id(metric): metric for metric in found}.values())


def parts_of(metric):
    """Returns the metrics that `compile` was given, if this is what it made of them; or itself."""
    return metric.metrics if isinstance(metric, compile_utils.CompileMetrics) else [metric]


def keep_losses_apart(model):
    """Makes each thread, hence each replica, have its own list of what `add_loss` was given."""
    for layer in model._flatten_layers():
        if not isinstance(layer._losses, ListOfThread):
            object.__setattr__(layer, "_losses", ListOfThread())


class ListOfThread(threading.local):
    """The methods that Keras uses of a layer's list of losses."""

    def __init__(self):
        self._items = []

    def extend(self, items):
        self._items.extend(items)

    def clear(self):
        self._items.clear()

    def __getitem__(self, key):
        return self._items[key]

    def __len__(self):
        return len(self._items)


def names_of_metric(metric):
    """Returns the names of a metric's results in the logs."""
    results = metric.result()
    return list(results) if isinstance(results, dict) else [metric.name]


def rates_of_optimizer(optimizer):
    """Returns the learning rate, a variable, schedule or function, of an optimizer."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return [getattr(inner, "_learning_rate", None)]


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
    if not hasattr(model, "optimizer"):  # Keras calls each loaded model compiled.
        model.compiled = False
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
