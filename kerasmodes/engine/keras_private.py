"""The one place for names of Keras beyond its documented interface, and for nine of TensorFlow.

Checked with Keras 3.15.1, 3.14.1 and 3.13.2 on TensorFlow 2.20 and 2.21.
What differs between versions belongs here too, with the version that it is for.

Three lists: what is imported (below), the hooks that the package calls or overrides (`HOOKS`), and
the attributes that it reads (`ATTRIBUTES`). What they are used for is said where they are used.
"""

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

CHECKED_WITH = "3.15.1"

try:
    from keras.src.backend.common import global_state
    from keras.src.backend.tensorflow import core as core_module
    from keras.src.backend.tensorflow import random as random_module
    from keras.src.backend.tensorflow.trainer import (
        TensorFlowTrainer,
        convert_to_np_if_not_ragged,
        potentially_ragged_concat,
    )
    from keras.src.losses import loss as loss_module
    from keras.src.models.functional import Functional
    from keras.src.models.model import functional_init_arguments
    from keras.src.random import seed_generator
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR, global_seed_generator
    from keras.src.trainers.compile_utils import CompileLoss, CompileMetrics
    from keras.src.trainers.data_adapters import get_data_adapter
    from keras.src.trainers.data_adapters.array_data_adapter import (
        ArrayDataAdapter,
        can_convert_arrays,
    )
    from keras.src.trainers.data_adapters.array_slicing import (
        convert_to_sliceable,
        train_validation_split,
    )
    from keras.src.trainers.trainer import model_supports_jit
    from keras.src.utils import tf_utils
    from keras.src.utils.traceback_utils import filter_traceback

    # What TensorFlow calls after each operation that a thread runs: `tf.debugging` is built on it.
    from tensorflow.python.framework.op_callbacks import add_op_callback, remove_op_callback

    # What TensorFlow's functions, and the gradients of its operations, are made of.
    from tensorflow.python.ops import gen_array_ops, gen_math_ops, gen_nn_ops

    # The mark by which TensorFlow knows that XLA will compile what is being traced.
    from tensorflow.python.ops.control_flow_ops import XLAControlFlowContext

    # Whether XLA will compile what is being traced in a graph.
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    # What `tf.Variable` makes, past what scopes would make instead.
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable
except ImportError as error:
    raise ImportError(
        f"Keras must have what the modes are built on (checked with Keras {CHECKED_WITH}): "
        f"{error}. Received: Keras {keras.__version__}"
    ) from error

# Handed on as they are.
__all__ = [
    "CompileLoss",
    "Functional",
    "ResourceVariable",
    "XLAControlFlowContext",
    "add_op_callback",
    "filter_traceback",
    "functional_init_arguments",
    "get_data_adapter",
    "remove_op_callback",
    "train_validation_split",
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
    TensorFlowTrainer: "fit evaluate predict",
    keras.Model: "_maybe_symbolic_build _symbolic_build _flatten_layers _aggregate_additional_loss",
    ArrayDataAdapter: "num_batches batch_size",
    loss_module: "apply_mask reduce_weighted_values",
    core_module: "fori_loop",
    random_module: "uniform normal randint dropout shuffle _cast_seed _get_concrete_noise_shape",
    gen_array_ops: "strided_slice",
    gen_math_ops: "sqrt_grad rsqrt_grad reciprocal_grad cumsum cumprod ndtri",
    gen_nn_ops: "selu_grad max_pool_grad max_pool3d_grad",
    keras.optimizers.Optimizer: "_clip_gradients _all_reduce_sum_gradients",
    keras.optimizers.LossScaleOptimizer: "check_finite",
    tf.Graph: "_get_function",
    keras.callbacks.TensorBoard: "_close_writers _pop_writer _push_writer _train_writer",
}

# As they are before a program replaces them in `keras.Model`.
OWN_METHODS = {name: getattr(TensorFlowTrainer, name) for name in ("fit", "evaluate", "predict")}

# What is read of objects, by the kind of object.
ATTRIBUTES = {
    "a compiled model": "_compile_loss _compile_metrics _loss_tracker _initial_epoch "
    "_compile_config _distribute_strategy",
    "compiled metrics": "_user_metrics _user_weighted_metrics",
    "a built compiled loss": "_user_loss _user_loss_weights _flat_losses _metrics",
    "a functional model": "_nodes_by_depth",
    "a layer": "_losses _outbound_nodes",
    "a symbolic tensor": "_keras_history",
    "a metric": "_direction",
    "an optimizer": "_learning_rate _trainable_variables",
    "a loss": "_fn_kwargs",
    "an adapter of arrays": "_inputs _shuffle",
    "an adapter of a PyDataset": "_standardize_batch",
    "an entry of a compiled loss": "_replace",
    "a distributed variable": "_aggregation",
    "a TensorBoard callback": "_writers _global_train_batch",
}

# What Keras's callbacks count, by class.
CALLBACK_COUNTS = {
    keras.callbacks.History: "epoch history",
    keras.callbacks.EarlyStopping: "wait stopped_epoch best best_weights best_epoch",
    keras.callbacks.ReduceLROnPlateau: "wait cooldown_counter best",
    keras.callbacks.ModelCheckpoint: "best epochs_since_last_save "
    "_batches_seen_since_last_saving _last_batch_seen",
    keras.callbacks.SwapEMAWeights: "_ema_weights_in_model",
    keras.callbacks.TensorBoard: "_global_train_batch _global_test_batch "
    "_previous_epoch_iterations",
}

# The mask of time steps, and the logits from which a softmax or sigmoid was made.
ATTACHED = ("_keras_mask", "_keras_logits")


def check_hooks() -> None:
    """Raises a `RuntimeError` when Keras lacks a method that the modes override."""
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in HOOKS.items()
        for name in names.split()
        if not hasattr(owner, name)
    ]
    # `replace_method` sets the one function that `filter_traceback` has wrapped.
    wrapped = {name: method.__closure__ or () for name, method in OWN_METHODS.items()}
    missing += [f"a wrapped Model.{name}" for name, cells in wrapped.items() if len(cells) != 1]
    if missing:
        raise RuntimeError(
            f"Keras must have {', '.join(missing)}, on which the modes are built (checked with "
            f"Keras {CHECKED_WITH}). Received: Keras {keras.__version__}"
        )


def find_attached(tensor: Any):
    """Returns what layers have hung on a tensor for losses and metrics, `None` for what is not."""
    return [getattr(tensor, name, None) for name in ATTACHED]


def group_attached(flat: list):
    """Returns the lists of `find_attached`, for some tensors, that were put into one."""
    return [flat[place : place + len(ATTACHED)] for place in range(0, len(flat), len(ATTACHED))]


def attach(tensor: Any, attached: list) -> None:
    """Hangs on a tensor what `find_attached` has returned for another."""
    for name, value in zip(ATTACHED, attached, strict=True):
        if value is not None:
            setattr(tensor, name, value)


def find_refusing_layers(model: keras.Model) -> list[str]:
    """Returns the names of the layers that XLA cannot compile."""
    return [layer.name for layer in model._flatten_layers() if not layer.supports_jit]


def refuses_xla(model: keras.Model) -> bool:
    """Returns whether Keras would run a model without XLA, and only warn of it.

    For its layers, in a program of deterministic operations, or on the GPU of a Mac.
    """
    return not model_supports_jit(model)


def find_layers(model: keras.Model) -> list:
    """Returns the model with all layers in it, at any depth."""
    return list(model._flatten_layers())


def is_plain_dense(layer: keras.layers.Layer) -> bool:
    """Returns whether a dense layer is a product, a bias and an activation, nothing else."""
    is_plain = layer.built and not layer.lora_enabled and layer.quantization_mode is None
    return is_plain and layer.compute_dtype == layer.variable_dtype


def is_built(model: keras.Model) -> bool:
    """Returns whether layers, losses, metrics and optimizer all have their variables."""
    parts = (model._compile_loss, model._compile_metrics, model.optimizer)
    return has_all_weights(model) and all(part is None or part.built for part in parts)


def find_compiled_loss(model: keras.Model):
    """Returns the one loss that `compile` makes of what it was given, or `None`."""
    return model._compile_loss


def set_compiled_loss(model: keras.Model, loss: Any):
    """Puts another loss in the place of the one that `compile` has made."""
    model._compile_loss = loss


def reduce_losses_by(reduce: Callable):
    """Makes every `keras.losses.Loss` of the program reduce its values by a function.

    Args:
        reduce: Function of Keras's own and its arguments. Where it is not to change anything, it
            calls Keras's own with them.
    """
    _replace(loss_module, "reduce_weighted_values", reduce)


def is_traced_for_xla() -> bool:
    """Returns whether a graph is being traced that XLA will compile."""
    if tf.executing_eagerly():
        return False
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def find_functions(operation: tf.Operation, attribute: str) -> list[tf.Graph]:
    """Returns the graphs of the functions that an operation calls.

    Left out are functions as those of TensorFlow 1, which keep no graph: its own CTC loss has some.

    Args:
        operation: An operation of a graph.
        attribute: Its attribute that names the function, or several.
    """
    named = operation.get_attr(attribute)
    named = named if isinstance(named, list) else [named]
    found = [_find_function(operation.graph, one.name) for one in named]
    return [one.graph for one in found if hasattr(one, "graph")]


def _find_function(graph, name):
    """Returns a function of a graph, or of one around it."""
    return graph._get_function(name) or _find_function(graph.outer_graph, name)


def replace_random_functions(functions: dict[str, Callable]) -> None:
    """Puts others in the place of functions of `keras.random`, in the whole program.

    Args:
        functions: By name, functions of Keras's own and its arguments. Where they are not to change
            anything, they call Keras's own with them.
    """
    for name, function in functions.items():
        _replace(random_module, name, function)


def replace_operations(functions: dict[str, Callable]) -> None:
    """Puts others in the place of functions that make TensorFlow's operations, in all the program.

    Args:
        functions: By name, functions of TensorFlow's own and its arguments. Where they are not to
            change anything, they call TensorFlow's own with them.
    """
    for name, function in functions.items():
        modules = (gen_array_ops, gen_math_ops, gen_nn_ops)
        _replace(next(one for one in modules if name in HOOKS[one].split()), name, function)


def _replace(module, name, function):
    """Puts a function in the place of a module's own, which it is given first; once."""
    own = getattr(module, name)
    if not isinstance(own, functools.partial):
        setattr(module, name, functools.partial(function, own))


def is_replaced(name: str, method: Callable) -> bool:
    """Returns whether a `fit`, `evaluate` or `predict` is another than Keras's own."""
    return getattr(method, "__func__", method) is not OWN_METHODS[name]


def replace_method(name: str, function: Callable) -> None:
    """Lets Keras's own method run a function, in the whole program, for whoever holds the method.

    Args:
        name: `"fit"`, `"evaluate"` or `"predict"`.
        function: Function of what the method runs otherwise, the model and the arguments.
    """
    (cell,) = OWN_METHODS[name].__closure__  # Of `filter_traceback`, which calls what is in it.
    if not isinstance(cell.cell_contents, functools.partial):
        cell.cell_contents = functools.partial(function, cell.cell_contents)


def is_replaced_draw(frame: Any) -> bool:
    """Returns whether a frame of Python's is a function of `keras.random` that was replaced."""
    code = frame.f_code
    if code.co_filename != random_module.__file__:
        return False
    return isinstance(getattr(random_module, code.co_name, None), functools.partial)


def draw_seed(seed: Any):
    """Returns the next seed of a generator, or that of a number, as TensorFlow's draws take it."""
    return random_module._cast_seed(seed_generator.draw_seed(seed))


def find_noise_shape(inputs: Any, noise_shape: Any):
    """Returns the shape of the mask that dropout draws."""
    return random_module._get_concrete_noise_shape(inputs, noise_shape)


def encode_categories_for_xla() -> None:
    """Lets Keras encode categories in a way that XLA can compile, where XLA will.

    Its fast way calls `tf.math.bincount`, whose size XLA takes for one that follows from the data:
    a loop does not compile, a single step does so for every batch. Where the fast way raises a
    `ValueError`, Keras takes its general one, which has the same numbers.
    """
    _replace(tf_utils, "tf_encode_categorical_inputs", _encode_unless_for_xla)


def _encode_unless_for_xla(encode, *args, **kwargs):
    if is_traced_for_xla():
        raise ValueError("XLA must know the size of what `tf.math.bincount` returns.")
    return encode(*args, **kwargs)


def count_rounds_for_xla() -> None:
    """Lets `keras.ops.fori_loop` tell how many rounds it has: XLA needs that for its gradient."""
    _replace(core_module, "fori_loop", _count_rounds_if_for_xla)


def _count_rounds_if_for_xla(loop, lower, upper, body_fun, init_val):
    if not is_traced_for_xla():
        return loop(lower, upper, body_fun, init_val)
    return tf.while_loop(
        lambda i, _: i < upper,
        lambda i, value: (i + 1, body_fun(i, value)),
        (lower, init_val),
        maximum_iterations=upper - lower,
    )[1]


def sum_weights(sample_weight: Any, mask: Any, dtype: Any):
    """Returns the sum of the sample weights, 0 where a mask is."""
    return tf.reduce_sum(loss_module.apply_mask(sample_weight, mask, dtype=dtype, reduction="sum"))


def find_loss_trackers(model: keras.Model) -> list:
    """Returns the metrics in which a compiled model keeps its losses, first that of their sum."""
    compiled_loss = model._compile_loss
    return [model._loss_tracker, *(compiled_loss.metrics if compiled_loss is not None else [])]


def find_consumers(model: keras.Model, tensor: Any) -> list:
    """Returns the layers and operations of a functional model that take one of its inputs."""
    nodes = {id(node) for some in model._nodes_by_depth.values() for node in some}
    users = tensor._keras_history.operation._outbound_nodes
    return [node.operation for node in users if id(node) in nodes]


def find_all_metrics(model: keras.Model) -> list:
    """Returns all metrics that Keras finds in a model, also those that `metrics` leaves out."""
    found = [*model.metrics, *keras.Model.metrics.fget(model)]
    return list({id(metric): metric for metric in found}.values())


def find_given_metrics(model: keras.Model) -> list:
    """Returns the metrics of a model, and those that `compile` was given, some by name."""
    compiled = model._compile_metrics
    given = [] if compiled is None else [compiled._user_metrics, compiled._user_weighted_metrics]
    return [*find_all_metrics(model), *keras.tree.flatten(given)]


def split_metric(metric: keras.metrics.Metric) -> list:
    """Returns the metrics that `compile` was given, if this is what it made of them; or itself."""
    return metric.metrics if isinstance(metric, CompileMetrics) else [metric]


def find_direction(metric: keras.metrics.Metric) -> str | None:
    """Returns `"min"` or `"max"`, whichever of a metric is better; `None` where none is said."""
    return {"up": "max", "down": "min"}.get(getattr(metric, "_direction", None))


def has_built_metrics(model: keras.Model) -> bool:
    """Returns whether the metrics that `compile` was given are known by now, or there are none."""
    return model._compile_metrics is None or model._compile_metrics.built


def find_added_losses(layer: keras.layers.Layer):
    """Returns the list in which a layer keeps what `add_loss` was given."""
    return layer._losses


def set_added_losses(layer: keras.layers.Layer, losses: Any):
    """Puts another list in its place, past Keras's tracking of attributes."""
    object.__setattr__(layer, "_losses", losses)


def divides_activity_penalties() -> bool:
    """Returns whether Keras divides activity regularizers by the batch's size: from 3.14 on."""
    return _is_from(3, 14)


def keeps_results() -> bool:
    """Returns whether `get_metrics_result` returns metrics' results as they are: from 3.14 on.

    Keras 3.13 makes floats of them in an eager step: of what they were made is lost.
    """
    return _is_from(3, 14)


def _is_from(*version):
    return tuple(map(int, keras.__version__.split(".")[:2])) >= version


def find_result_names(metric: keras.metrics.Metric):
    """Returns the names of a metric's results in the logs."""
    results = metric.result()
    return list(results) if isinstance(results, dict) else [metric.name]


def has_callbacks_of_several_optimizers() -> bool:
    """Returns whether Keras's callbacks know models with several optimizers: from 3.15 on."""
    return hasattr(keras.callbacks.ReduceLROnPlateau, "_reduce_optimizer_lr")


def find_learning_rate(optimizer: Any):
    """Returns the learning rate, a variable, schedule or function, of an optimizer."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return [getattr(inner, "_learning_rate", None)]


def find_variables(optimizer: Any):
    """Returns the variables that a built optimizer updates."""
    return optimizer._trainable_variables


def can_shuffle(x: Any, y: Any, sample_weight: Any) -> bool:
    """Returns whether Keras can shuffle such data: arrays, and a `PyDataset` that has an end."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is not None
    return can_convert_arrays((x, y, sample_weight))


def find_compile_arguments(model: keras.Model):
    """Returns what a model without modes was compiled with, by name, or `None`."""
    config = getattr(model, "_compile_config", None)
    return dict(config.config) if model.compiled and config is not None else None


def has_all_weights(model: keras.Model) -> bool:
    """Returns whether the model and all layers in it have their weights.

    A model whose step calls its parts is never called itself, so Keras never says that it is built,
    and neither does `build_from_config`. Without a `build` of its own, the layers in it tell.
    """
    parts = model._flatten_layers(include_self=False)
    is_told_by_parts = bool(parts) and type(model).build is keras.layers.Layer.build
    return (model.built or is_told_by_parts) and all(part.built for part in parts)


def find_arrays(adapter: Any):
    """Returns nested tensors of what an adapter holds, or `None` if it holds no dense arrays."""
    if not isinstance(adapter, ArrayDataAdapter):
        return None
    if any(map(_is_ragged_or_sparse, keras.tree.flatten(adapter._inputs))):
        return None
    arrays = convert_to_sliceable(adapter._inputs, target_backend="tensorflow")
    return tf.nest.map_structure(
        lambda array: None if array is None else tf.convert_to_tensor(array),
        keras.tree.lists_to_tuples(arrays),
    )


def _is_ragged_or_sparse(array):
    """Returns whether an adapter's array is ragged or sparse, a matrix of SciPy's included."""
    return isinstance(array, (tf.RaggedTensor, tf.SparseTensor)) or hasattr(array, "tocoo")


def read_first_batch(adapter: Any):
    """Returns the first batch of a `PyDataset`, from its adapter, as a step takes it."""
    return standardize_batch(adapter, adapter.py_dataset[0])


def standardize_batch(adapter: Any, batch: Any):
    """Returns a batch of a `PyDataset` as its adapter hands it out: a tuple, with class weights."""
    return adapter._standardize_batch(batch)


def find_shuffle(adapter: Any):
    """Returns the argument `shuffle` that arrays, or a `PyDataset`, were given with."""
    return adapter._shuffle if isinstance(adapter, ArrayDataAdapter) else adapter.shuffle


def find_own_strategy(model: keras.Model):
    """Returns the strategy in whose scope a model was made, or `None`."""
    return model._distribute_strategy


def find_given_losses(compiled_loss: Any):
    """Returns the losses that `compile` was given, and their weights."""
    return compiled_loss._user_loss, compiled_loss._user_loss_weights


def replace_loss(entry: Any, loss: Any):
    """Returns an entry of a compiled loss's list with another loss."""
    return entry._replace(loss=loss)


def read_first_replica(variable: Any):
    """Lets a distributed variable read the first replica's value, not the sum over all of them."""
    variable.value._aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA


def find_wrapped_function(wrapper: Any):
    """Returns the function that a loss or metric wraps, or `None`, and its arguments by name."""
    function = getattr(wrapper, "fn", None) or getattr(wrapper, "_fn", None)
    return function, getattr(wrapper, "_fn_kwargs", {})


def make_class_functional(cls, model_class: type, functional_class: type):
    """Puts a functional class in the place of a plain one among the bases of a user's class.

    Keras does this to a class whose constructor calls `super().__init__(inputs, outputs)`.
    Keras's own function would change `model_class` itself, hence every class there is.

    Args:
        cls: Class of the model that is being made.
        model_class: `kerasmodes.Model`.
        functional_class: What takes its place.
    """
    if issubclass(cls, model_class) and not issubclass(cls, functional_class):
        bases = [functional_class if base is model_class else base for base in cls.__bases__]
        for base in bases:
            make_class_functional(base, model_class, functional_class)
        cls.__bases__ = tuple(bases)


def set_clipping(optimizer: Any, clip_gradients: Callable):
    """Replaces how an optimizer clips gradients, by a function of it and a list of gradients."""
    optimizer._clip_gradients = types.MethodType(clip_gradients, optimizer)


def clip(optimizer: Any, gradients: list):
    """Returns gradients as the optimizer's class clips them."""
    return type(optimizer)._clip_gradients(optimizer, gradients)


def set_sum_of_gradients(optimizer: Any, sum_gradients: Callable):
    """Replaces how an optimizer adds up gradients over the replicas.

    Args:
        optimizer: A Keras optimizer.
        sum_gradients: Function of it and a list of pairs of gradient and variable.
    """
    optimizer._all_reduce_sum_gradients = types.MethodType(sum_gradients, optimizer)


def sum_over_replicas(optimizer: Any, pairs: list):
    """Returns pairs of gradient and variable, added up over the replicas as its class does."""
    return type(optimizer)._all_reduce_sum_gradients(optimizer, pairs)


def build_from_specs(model: keras.Model, structure: Any):
    """Builds a model, its losses and metrics, and `model.optimizer`, from nested specs of a batch.

    Raises what the model's `call` does, a `RuntimeError` if that is no `ValueError`.
    """
    model._symbolic_build(data_batch=make_symbolic_batch(structure))


def find_global_seeds():
    """Returns the generator of the draws that are given no seed, or `None` before the first one."""
    return global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)


def set_global_seeds(generator: Any):
    """Sets what `find_global_seeds` returns."""
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)


def is_stateless() -> bool:
    """Returns whether this thread computes with other values than those of the variables."""
    return global_state.get_global_attribute("stateless_scope") is not None


def find_counts(callback: keras.callbacks.Callback) -> list[str]:
    """Returns the names of the attributes in which a callback of Keras's counts."""
    kinds = (names for kind, names in CALLBACK_COUNTS.items() if isinstance(callback, kind))
    return next(kinds, "").split()


def flush_writers(board: keras.callbacks.TensorBoard) -> None:
    """Lets the writers of a TensorBoard callback write what they hold back."""
    for writer in board._writers.values():
        writer.flush()


@contextlib.contextmanager
def reopen_writers(board: keras.callbacks.TensorBoard):
    """Closes the writers of a TensorBoard callback, in a fit; after the block it opens others."""
    board._pop_writer()
    board._close_writers()
    board._writers.clear()
    yield
    board._push_writer(board._train_writer, board._global_train_batch)


def read_global_seed():
    """Returns the state from which Keras draws where no seed is given; `None` if it never has."""
    generator = find_global_seeds()
    return None if generator is None else generator.state.numpy()


def set_global_seed(state: Any) -> None:
    """Lets Keras draw, where no seed is given, as from that state on."""
    if state is not None:
        global_seed_generator().state.assign(state)


def find_restored_epoch(model: keras.Model):
    """Returns the epoch that a callback has set the fit back to, 0 if none has."""
    return model._initial_epoch or 0


def make_symbolic_batch(structure: Any):
    """Returns what Keras builds a model from, from nested specs of a batch."""
    kinds = (tf.TensorSpec, tf.RaggedTensorSpec, tf.SparseTensorSpec)
    return tf.nest.map_structure(lambda s: s if isinstance(s, kinds) else None, structure)


def concatenate_tensors(parts: list):
    """Returns the outputs of some batches as nested tensors, ragged where shapes differ."""
    return tf.nest.map_structure(lambda *one: potentially_ragged_concat(one), *parts)


def concatenate_arrays(parts: list):
    """Returns the outputs of all batches as nested arrays, ragged where shapes differ."""
    return keras.tree.map_structure(
        lambda *one: convert_to_np_if_not_ragged(potentially_ragged_concat(one)), *parts
    )


def find_differentiated(frame: Any):
    """Returns the operation whose gradient runs in a frame of Python's: its name and its tensors.

    Returns:
        `None` if the frame belongs to anything else; otherwise its name, inputs and outputs, of
        which those that the gradient does not need may be missing.
    """
    if frame.f_code.co_name != "_gradient_function":
        return None
    found = frame.f_locals
    if not {"op_name", "inputs", "outputs"} <= set(found):
        return None
    return found["op_name"], list(found["inputs"] or ()), list(found["outputs"] or ())
