"""Eager steps at a usable speed: the user's code line by line, what is not the user's compiled.

The other modes are not here: see `keras_hooks.py` and `fusing`.
"""

import contextlib

import tensorflow as tf

from kerasmodes import fusing
from kerasmodes.model import compiling, single_steps


def make_step_function(step, model):
    """Returns the function of pieces, or of an iterator, that runs steps in Python.

    While a step runs, each optimizer's `apply` and each metric's `update_state` that is Keras's own
    is a `tf.function`; a class or function of the user's runs line by line.
    """
    graphs = []

    def one_step(batch):
        batch = single_steps.in_tensors(fusing.without_optionals(batch))
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
    """Returns whether all optimizers and metrics are built: before that a step runs as it is."""
    parts = [*compiling.optimizers(model).values(), *model.metrics]
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
        (metric, "update_state", _update_graph(metric.update_state))
        for metric in model.metrics
        if all(map(_is_keras, _parts(metric)))
    ]
    return applying + updating


def _parts(metric):
    """Returns the metric with the metrics and the function in it, of which any may be a user's."""
    inner = getattr(metric, "metrics", [])  # `compile` holds its metrics in one.
    return [metric, *inner, *(m._fn for m in [metric, *inner] if hasattr(m, "_fn"))]


def _is_keras(part):
    module = (
        part.__module__ if callable(part) and hasattr(part, "__name__") else type(part).__module__
    )
    return module.partition(".")[0] == "keras"


def _apply_graph(apply):
    graphs = {}

    def graph(grads, trainable_variables=None):
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
        key = trainable_variables and tuple(map(id, trainable_variables))
        if key not in graphs:
            graphs[key] = _traced(lambda grads: apply(grads, trainable_variables))
        graphs[key](list(grads))

    return graph


def _update_graph(update_state):
    traced = _traced(lambda args, kwargs: update_state(*args, **kwargs))

    def graph(*args, **kwargs):
        return traced(args, kwargs)

    return graph


def _traced(function):
    """Returns the function as graphs, one for each structure of tensors that it is called with.

    A Python number is made a tensor: it would be traced as a constant.
    """
    graphs = {}

    def call(*args):
        flat = tf.nest.flatten(args)
        present = [part is not None for part in flat]
        tensors = [_tensor(part) for part in flat if part is not None]
        key = (*present, *(tf.type_spec_from_value(tensor) for tensor in tensors))
        if key not in graphs:
            structure = tf.nest.map_structure(lambda _: 0, args)

            def on_tensors(tensors):
                parts = iter(tensors)
                leaves = [next(parts) if there else None for there in present]
                return function(*tf.nest.pack_sequence_as(structure, leaves))

            traced = tf.function(on_tensors, autograph=False)
            graphs[key] = traced.get_concrete_function(tensors)
        return graphs[key](tensors)

    return call


def _tensor(part):
    is_tensor = isinstance(part, (tf.Tensor, tf.__internal__.CompositeTensor))
    return part if is_tensor else tf.convert_to_tensor(part)
