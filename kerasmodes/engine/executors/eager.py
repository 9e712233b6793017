"""Eager steps at a usable speed: the user's code line by line, what is not the user's compiled.

What executors have in common is in `executor.py`.
"""

import contextlib
import functools
import threading
import types
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import keras_private, optimizers
from kerasmodes.engine.executors import executor

# Whatever else is called may be the user's.
OWN_MODULES = ("keras.", "tensorflow.", "kerasmodes.engine.")
ACTIVATIONS = {keras.activations.relu: tf.nn.relu, keras.activations.linear: None}

_LOCK = threading.Lock()  # Held while methods are replaced, not while a step runs.


class EagerExecutor(executor.Executor):
    """Runs steps in Python.

    While a step runs, each optimizer's `apply`, each metric's `update_state` and the loss given to
    `compile` are `tf.function`s if all they call is Keras's; what calls a class or function of the
    user's, be it a schedule or a constraint, runs line by line. On several replicas, and where the
    model predicts, nothing is a `tf.function`.
    """

    def __init__(self, model: keras.Model, kind: str, mode: str) -> None:
        super().__init__(model, kind, mode)
        self._replacements = None

    def run_step(self, batch: Any) -> Any:
        """Returns the outputs of the step on one batch."""
        if not self.runner.is_alone:
            return super().run_step(batch)
        if self.kind == "predict":
            return self.step(batch)
        if self._replacements is None and _is_built(self.model):
            self._replacements = _find_replacements(self.model)
        with _replace_methods(self._replacements or ()):
            logs = tf.nest.map_structure(tf.convert_to_tensor, self.step(batch))
        if self._replacements is None:  # A step, as it is, has made what was missing.
            self._replacements = _find_replacements(self.model)
        return logs


class _Replacement:
    """What takes the place of an object's method, for as long as any step needs it.

    Steps may run at once, in threads or one within another, and have parts in common: the first
    one puts the replacement there, the last one takes it away. One of the same method that another
    step's model has put there is as good, and one that the user has put there stays.
    """

    def __init__(self, owner, name, make_call):
        self._owner, self._name = owner, name
        self._method = types.MethodType(getattr(type(owner), name), owner)
        self._call = make_call(self._method)
        self.num_steps = 0

    def __call__(self, *args, **kwargs):
        # A graph would keep the values that take the place of variables, and new ones in it.
        call = self._method if keras_private.is_stateless() else self._call
        return call(*args, **kwargs)

    def begin_step(self):
        """Returns the replacement that serves the step: this one, or that which is there."""
        with _LOCK:
            found = vars(self._owner).setdefault(self._name, self)
            serving = found if isinstance(found, _Replacement) else self
            serving.num_steps += 1
            return serving

    def end_step(self):
        with _LOCK:
            self.num_steps -= 1
            if self.num_steps == 0 and vars(self._owner).get(self._name) is self:
                del vars(self._owner)[self._name]


@contextlib.contextmanager
def _replace_methods(replacements):
    """While open, a step has its methods replaced."""
    serving = []
    try:
        serving.extend(replacement.begin_step() for replacement in replacements)
        yield
    finally:
        for replacement in serving:
            replacement.end_step()


def _is_built(model):
    """Returns whether there is nothing that only a step would make, as far as one can tell.

    Then the first step is like all others, also the first one of a fit that is resumed.
    """
    return keras_private.is_built(model) and not optimizers.list_unbuilt(model)


def _find_replacements(model):
    """Returns the replacements of what a step need not run in Python."""
    loss = keras_private.find_compiled_loss(model)
    found = [
        *((one, "apply", _apply_graph) for one in optimizers.find_optimizers(model).values()),
        *((metric, "update_state", _call_graph) for metric in model.metrics),
        *([(loss, "call", _call_graph)] if loss is not None else ()),
    ]
    found = [(owner, *how) for owner, *how in found if _calls_only_keras(owner)]
    layers = [one for one in keras_private.find_layers(model) if type(one) is keras.layers.Dense]
    denses = [(layer, "call", _dense_call) for layer in layers if "call" not in vars(layer)]
    return [_Replacement(*one) for one in found + denses]


def _calls_only_keras(part):
    """Returns whether an object, and each function and object that it keeps to call, is Keras's."""
    left, seen = [part], set()
    while left:
        part = left.pop()
        if isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, (list, tuple)):
            left.extend(part)
        elif isinstance(part, _Replacement) or id(part) in seen:
            continue
        elif callable(part) or isinstance(part, keras.optimizers.Optimizer):
            module = getattr(part, "__module__", None) or ""
            if not module.startswith(OWN_MODULES):
                return False
            seen.add(id(part))
            left.extend(_values_of(part))
    return True


def _values_of(part):
    if isinstance(part, type):
        return []
    # What TensorFlow notes for its checkpoints is the same objects once more.
    values = getattr(part, "__dict__", {}).items()
    return [value for name, value in values if not name.startswith("_self_")]


def _apply_graph(apply):
    graphs = {}
    optimizer = apply.__self__

    def graph(grads, trainable_variables=None):
        if not optimizer.built:
            return apply(grads, trainable_variables)
        variables = trainable_variables and list(trainable_variables)
        rates = keras_private.find_learning_rate(optimizer)
        # A gradient has its variable's shape, but for slices of it.
        key = (*map(type, grads), *map(id, variables or ()), *map(id, rates))
        if key not in graphs:
            updated = variables or keras_private.find_variables(optimizer)
            constraints = [getattr(variable, "constraint", None) for variable in updated]
            is_traced = _calls_only_keras([*constraints, *rates])
            on_gradients = functools.partial(_apply_to, apply, variables)
            # The rates are kept: another object must not get the number of one that is gone.
            graphs[key] = _trace_by_kind(on_gradients) if is_traced else on_gradients, rates
        return graphs[key][0](list(grads))

    return graph


def _apply_to(apply, variables, gradients):
    return apply(gradients, variables)


def _call_graph(method):
    traced = {}

    def graph(*args, **kwargs):
        if not getattr(method.__self__, "built", True):
            return method(*args, **kwargs)
        names = len(args), *kwargs
        if names not in traced:
            traced[names] = _trace_by_kind(lambda args, kwargs: method(*args, **kwargs))
        return traced[names](args, kwargs)

    return graph


def _dense_call(call):
    """Returns the `call` of a dense layer by TensorFlow's own operations.

    Keras's choose among kinds of tensors each time: with their gradients, twice the cost.
    """
    layer = call.__self__
    activation = ACTIVATIONS.get(layer.activation, layer.activation)

    def plain_call(inputs, training=None):
        is_matrix = isinstance(inputs, tf.Tensor) and inputs.shape.rank == 2
        is_plain = is_matrix and inputs.dtype == layer.variable_dtype
        if not (is_plain and keras_private.is_plain_dense(layer)):
            return call(inputs, training=training)
        outputs = tf.matmul(inputs, layer.kernel.value)
        outputs = tf.nn.bias_add(outputs, layer.bias.value) if layer.use_bias else outputs
        return activation(outputs) if activation else outputs

    return plain_call


def _trace_by_kind(function):
    """Returns the function as graphs, one for each structure of tensors that it is called with.

    A Python number is made a tensor: it would be traced as a constant. What Keras has hung on a
    tensor, its mask say, is an input of the graph too.
    """
    graphs = {}

    def call(*args):
        tensors = [_tensor(part) for part in tf.nest.flatten(args)]
        attached = [keras_private.find_attached(tensor) for tensor in tensors]
        inputs = [*tensors, *(one for some in attached for one in some)]
        key = tuple(map(_kind, inputs))
        if key not in graphs:
            graphs[key] = _trace(function, args, inputs)
        return graphs[key]([part for part in inputs if part is not None])

    return call


def _trace(function, args, inputs):
    """Returns the graph of a function of tensors, for each of the inputs that is there.

    Args:
        function: What is traced.
        args: Arguments to call it with, any structure of leaves.
        inputs: The leaves, and behind them what is attached to each; `None` for what is not there.
    """
    structure = tf.nest.map_structure(lambda _: 0, args)
    num_leaves = len(tf.nest.flatten(args))
    present = [part is not None for part in inputs]

    def on_tensors(tensors):
        parts = iter(tensors)
        parts = [next(parts) if there else None for there in present]
        leaves = parts[:num_leaves]
        attached = keras_private.group_attached(parts[num_leaves:])
        for leaf, some in zip(leaves, attached, strict=True):
            keras_private.attach(leaf, some)
        return function(*tf.nest.pack_sequence_as(structure, leaves))

    traced = tf.function(on_tensors, autograph=False)
    return traced.get_concrete_function([part for part in inputs if part is not None])


def _tensor(part):
    if part is None or isinstance(part, (tf.Tensor, tf.__internal__.CompositeTensor)):
        return part
    return tf.convert_to_tensor(part)


def _kind(tensor):
    """Returns what a graph depends on; a type spec says more, and costs ten times as much."""
    if isinstance(tensor, tf.Tensor):
        return tensor.dtype, tensor.shape
    return tensor if tensor is None else tf.type_spec_from_value(tensor)
