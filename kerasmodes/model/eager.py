"""Eager steps at a usable speed: the user's code line by line, what is not the user's compiled.

The other modes are not here: see `functions.py` and `fusing`.
"""

import contextlib

import keras
import tensorflow as tf

from kerasmodes import fusing
from kerasmodes.model import compiling, keras_private, single_steps

ACTIVATIONS = {keras.activations.relu: tf.nn.relu, keras.activations.linear: None}


def make_step_function(step, model, run=None):
    """Returns the function of pieces, or of an iterator, that runs steps in Python.

    While a step runs, each optimizer's `apply`, each metric's `update_state` and the loss given to
    `compile` are `tf.function`s if they are Keras's own; a class or function of the user's runs
    line by line.

    Args:
        step: Function of one batch.
        model: The model whose step it is.
        run: Function that calls its argument on each replica's part of a batch, if there are
            several; nothing is a `tf.function` then.
    """
    graphs = []

    def one_step(batch):
        batch = single_steps.in_tensors(fusing.without_optionals(batch))
        if run:
            return run(step, (batch,))
        if not graphs and _is_ready(model):
            graphs.extend(_graphs(model))
        with _patched(graphs):
            return tf.nest.map_structure(tf.convert_to_tensor, step(batch))

    def function(data):
        iterator = fusing.batches_of(data) if isinstance(data, list) else data
        outputs = None
        for _ in range(model.steps_per_execution):
            try:
                outputs = one_step(next(iterator))
            except StopIteration:
                if outputs is None:
                    raise
        return outputs

    return function


@contextlib.contextmanager
def _patched(graphs):
    """While open, methods are replaced by their graphs."""
    for owner, name, graph in graphs:
        object.__setattr__(owner, name, graph)
    try:
        yield
    finally:
        for owner, name, _ in graphs:
            object.__delattr__(owner, name)


def _is_ready(model):
    """Returns whether optimizers, metrics and losses are built: before that a step runs as is."""
    parts = [*compiling.optimizers(model).values(), *model.metrics]
    parts.append(keras_private.compiled_loss(model))
    return all(getattr(part, "built", True) for part in parts)


def _graphs(model):
    """Returns (owner, name of the method, graph) for what a step need not run in Python."""
    optimizers = {id(one): one for one in compiling.optimizers(model).values()}
    applying = [
        (optimizer, "apply", _apply_graph(optimizer.apply))
        for optimizer in optimizers.values()
        if all(map(_is_keras, (optimizer, getattr(optimizer, "inner_optimizer", optimizer))))
    ]
    updating = [
        (metric, "update_state", _call_graph(metric.update_state))
        for metric in model.metrics
        if all(map(_is_keras, keras_private.functions_of_metric(metric)))
    ]
    loss = keras_private.compiled_loss(model)
    losing = []
    if loss is not None and all(map(_is_keras, keras_private.functions_of_losses(loss))):
        losing = [(loss, "call", _call_graph(loss.call))]
    denses = [
        (layer, "call", _dense_call(layer))
        for layer in keras_private.layers_of(model)
        if type(layer) is keras.layers.Dense and keras_private.is_plain_dense(layer)
    ]
    return applying + updating + losing + denses


def _is_keras(part):
    module = (
        part.__module__ if callable(part) and hasattr(part, "__name__") else type(part).__module__
    )
    return module.partition(".")[0] == "keras"


def _apply_graph(apply):
    graphs = {}

    def graph(grads, trainable_variables=None):
        variables = trainable_variables and list(trainable_variables)
        # A gradient has its variable's shape, but for slices of it.
        key = (*map(type, grads), *map(id, variables or ()))
        if key not in graphs:
            graphs[key] = _traced(lambda grads: apply(grads, variables))
        graphs[key](list(grads))

    return graph


def _call_graph(method):
    traced = _traced(lambda args, kwargs: method(*args, **kwargs))

    def graph(*args, **kwargs):
        return traced(args, kwargs)

    return graph


def _dense_call(layer):
    """Returns a `call` of a dense layer by TensorFlow's own operations.

    Keras's choose among kinds of tensors each time: with their gradients, twice the cost.
    """
    call = layer.call
    activation = ACTIVATIONS.get(layer.activation, layer.activation)

    def plain_call(inputs, training=None):
        if inputs.shape.rank != 2 or inputs.dtype != layer.variable_dtype:
            return call(inputs, training=training)
        outputs = tf.matmul(inputs, layer.kernel.value)
        outputs = tf.nn.bias_add(outputs, layer.bias.value) if layer.use_bias else outputs
        return activation(outputs) if activation else outputs

    return plain_call


def _traced(function):
    """Returns the function as graphs, one for each structure of tensors that it is called with.

    A Python number is made a tensor: it would be traced as a constant.
    """
    graphs = {}

    def call(*args):
        flat = [_tensor(part) for part in tf.nest.flatten(args)]
        key = tuple(map(_kind, flat))
        if key not in graphs:
            structure = tf.nest.map_structure(lambda _: 0, args)
            present = [part is not None for part in flat]

            def on_tensors(tensors):
                parts = iter(tensors)
                leaves = [next(parts) if there else None for there in present]
                return function(*tf.nest.pack_sequence_as(structure, leaves))

            traced = tf.function(on_tensors, autograph=False)
            graphs[key] = traced.get_concrete_function([p for p in flat if p is not None])
        return graphs[key]([part for part in flat if part is not None])

    return call


def _tensor(part):
    if part is None or isinstance(part, (tf.Tensor, tf.__internal__.CompositeTensor)):
        return part
    return tf.convert_to_tensor(part)


def _kind(tensor):
    """Returns what a graph depends on; a type spec says more, and costs ten times as much."""
    if isinstance(tensor, tf.Tensor):
        return tensor.dtype, tensor.shape
    return tensor if tensor is None else tf.type_spec_from_value(tensor)
