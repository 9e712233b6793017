"""Where numbers that are not finite come from: each operation of an eager step is looked at.

A number may be infinite on purpose (a mask) or without harm (the branch that `tf.where` does not
take). So what counts is not the first such number of a step: it is the first one from which the
number comes that did harm. Which step is run, and when, is in `replay.py`.
"""

import contextlib
import dataclasses
import threading
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import code_places, finite_data, keras_private, optimizers

LAYER, LOSS, METRIC, OPTIMIZER = "layer", "loss", "metric", "optimizer"


@dataclasses.dataclass(eq=False)
class Scope:
    """A part of the model at work: a layer, the loss, a metric or an optimizer.

    Args:
        kind: `LAYER`, `LOSS`, `METRIC` or `OPTIMIZER`.
        name: Its name.
        inputs: Nested tensors that it was called with.
    """

    kind: str
    name: str
    inputs: Any = None


@dataclasses.dataclass(eq=False)
class Operation:
    """One operation that has run, or what stands for a value that no operation has made.

    Args:
        order: Its place in the step; -1 if the value was there before.
        name: TensorFlow's name of its kind, such as `"Log"`.
        scopes: The parts of the model that it ran in, the innermost last.
        place: A `code_places.CodePlace`.
        gradient_of: The operation whose gradient it is a part of, or `None`.
        is_backward: Whether it is part of a gradient.
        inputs: Its inputs, kept only if it may be an origin.
        parents: The operations of which it got numbers that are not finite.
        is_given: Whether it only hands on what was there before: an infinity that someone has put
            there, or a number whose origin was not seen.
        data_path: Path of the part of the batch that it stands for, or `None`.
        variable: Name of the variable that it stands for, or that it changes, or `None`.
        broken_at: Place of the first number in its result that is not finite, kept as the inputs
            are; or `None`.
    """

    order: int
    name: str
    scopes: tuple = ()
    place: Any = None
    gradient_of: Any = None
    is_backward: bool = False
    inputs: tuple = ()
    parents: tuple = ()
    is_given: bool = False
    data_path: tuple | None = None
    variable: str | None = None
    broken_at: tuple | None = None

    def find_scope(self, kind: str) -> Scope | None:
        """Returns the innermost part of a kind that it ran in, or `None`."""
        return next((scope for scope in reversed(self.scopes) if scope.kind == kind), None)


class ValueOrigins:
    """Looks at each operation that a step runs eagerly, while it is open as a context.

    Args:
        model: The model whose step runs.
        state: Its `model_state.ModelState`.

    Attributes:
        broken_gradients: Triples of an optimizer's name, a variable's and the gradient's values,
            for each gradient that was not finite when it was applied.

    Example:

    ```python
    with ValueOrigins(model, state) as origins:
        logs = origins.watch(model.train_step)(batch)
    origin = origins.find([logs["loss"]], broken_variables=[])
    ```
    """

    def __init__(self, model, state):
        self.broken_gradients = []
        self._model = model
        self._outputs = []  # Tensors that the model has returned.
        self._threads = threading.local()  # A replica runs in a thread of its own.
        self._applying = ()  # In which the replicas' threads wait for updates in this one.
        self._order = 0
        self._made = {}  # By the identity of a tensor: a reference to it, and its operation.
        self._used = {}  # By the identity of a tensor and the name of the operation that takes it.
        self._numbers = []  # That a part of the model has returned, and that are no tensors.
        self._parts = {id(p.handle): (v.name, p) for v in state.variables for p in v.parts}
        self._broken_parts = {}
        self._exit = contextlib.ExitStack()

    def __enter__(self):
        self._note_broken_variables()
        for owner, method, kind, name in _list_methods(self._model):
            self._exit.enter_context(_replace(owner, method, self._wrap(kind, name)))
        keras_private.add_op_callback(self._look)
        self._exit.callback(keras_private.remove_op_callback, self._look)
        return self

    def __exit__(self, *exception):
        self._exit.close()

    def watch(self, step: Callable) -> Callable:
        """Returns a step that is looked at in whichever thread it runs."""
        owner = threading.get_ident()

        def run_watched_step(batch):
            if threading.get_ident() != owner:  # Of a replica; it ends with the step.
                keras_private.add_op_callback(self._look)
            for path, part in keras.tree.flatten_with_path(batch):
                for tensor in tf.nest.flatten(part, expand_composites=True):
                    if tf.is_tensor(tensor) and not _is_finite(tensor):
                        self._note(tensor, Operation(-1, "data", data_path=path))
            return step(batch)

        return run_watched_step

    def find(self, tensors: list, broken_variables: list[str]) -> Operation | None:
        """Returns where the first number came from that made these not finite.

        Args:
            tensors: Tensors that are not finite.
            broken_variables: Names of variables that are not finite.

        Returns:
            The operation that made it of finite numbers; one that stands for the data or a variable
            in which it was before; or `None` if it was not seen.
        """
        found = [self._find_maker(tensor) for tensor in tensors]
        for handle, operation in self._broken_parts.items():
            if self._parts[handle][0] in broken_variables:
                found.append(operation)
        if self._model.distribute_strategy.num_replicas_in_sync > 1:
            # Sums over replicas are made in threads of TensorFlow's, which nobody sees. What each
            # replica has written, and its gradients, are known.
            found += self._broken_parts.values()
            found += [self._find_maker(values) for *_, values in self.broken_gradients]
        roots, given = _find_roots(found)
        if not roots:  # A sum of what the replicas' outputs are, too.
            roots, _ = _find_roots([self._find_maker(one) for one in self._list_broken_outputs()])
        return min(roots or given or self._numbers, key=lambda one: one.order, default=None)

    def _list_broken_outputs(self):
        is_alone = self._model.distribute_strategy.num_replicas_in_sync == 1
        return [] if is_alone else [one for one in self._outputs if not _is_finite(one)]

    def _note_broken_variables(self):
        for handle, (name, part) in self._parts.items():
            if not _is_finite(part):
                operation = Operation(-1, "variable", variable=name, is_given=True)
                self._broken_parts[handle] = operation

    def _look(self, op_type, inputs, attrs, outputs, op_name=None, graph=None):
        """Called after each operation; `graph` is that which is being made, if one is."""
        if graph is not None or getattr(self._threads, "is_looking", False):
            return
        self._threads.is_looking = True
        try:
            name = op_type.decode() if isinstance(op_type, bytes) else op_type
            self._note_operation(name, inputs, outputs)
        finally:
            self._threads.is_looking = False

    def _note_operation(self, name, inputs, outputs):
        self._order += 1
        scopes = tuple(getattr(self._threads, "scopes", ())) or self._applying
        place, differentiated = code_places.find_place()
        operation = Operation(self._order, name, scopes, place)
        if differentiated:
            operation.is_backward = True
            operation.gradient_of = self._find_forward(*differentiated)
        for tensor in inputs:
            if tensor.dtype.is_floating:
                self._used[id(tensor), name] = weakref.ref(tensor), operation
        broken = [tensor for tensor in outputs if not _is_finite(tensor)]
        written = self._find_written(inputs, outputs)
        if broken or written:
            self._trace_back(operation, inputs, broken or [part for _, part in written])
        for handle, _ in written:
            operation.variable = self._parts[handle][0]
            self._broken_parts[handle] = operation
        for tensor in outputs:
            self._note(tensor, operation)

    def _trace_back(self, operation, inputs, results):
        """Notes of which operations one has numbers that are not finite, if not of itself."""
        bad = [tensor for tensor in inputs if not _is_finite(tensor)]
        makers = [self._find_maker(tensor) for tensor in bad]
        parts = [self._broken_parts[id(one)] for one in inputs if id(one) in self._broken_parts]
        parents = [parent for parent in makers + parts if parent is not None]
        if not all(parent.is_given for parent in parents):
            operation.parents = tuple(one for one in parents if not one.is_given)
            return
        operation.inputs = tuple(inputs)
        operation.broken_at = finite_data.find_first(_read(results[0]))
        has_nan_before = bool(parts) or any(map(_has_nan, bad))
        if has_nan_before or (bad and not any(map(_has_nan, results))):
            operation.is_given, operation.parents = True, tuple(parents)

    def _find_written(self, inputs, outputs):
        """Returns the variables that an operation has changed to what is not finite."""
        if outputs:  # It reads.
            return []
        handles = [id(tensor) for tensor in inputs if tensor.dtype == tf.resource]
        found = [(handle, self._parts[handle][1]) for handle in handles if handle in self._parts]
        return [(handle, part) for handle, part in found if not _is_finite(part)]

    def _note(self, tensor, operation):
        self._made[id(tensor)] = weakref.ref(tensor), operation

    def _find_maker(self, tensor):
        reference, operation = self._made.get(id(tensor), (None, None))
        return operation if reference is not None and reference() is tensor else None

    def _find_forward(self, name, inputs, outputs):
        """Returns the operation of that name which took these inputs, and gave these outputs."""
        for tensor in outputs:
            if tensor is not None and self._find_maker(tensor) is not None:
                return self._find_maker(tensor)
        for tensor in inputs:
            reference, operation = self._used.get((id(tensor), name), (None, None))
            if reference is not None and reference() is tensor:
                return operation
        return Operation(-1, name)

    def _wrap(self, kind, name):
        """Returns what makes of a method one that notes what runs within it."""

        def wrap(method):
            def call(*args, **kwargs):
                scopes = self._threads.__dict__.setdefault("scopes", [])
                scopes.append(Scope(kind, name, (args, kwargs)))
                before = self._applying
                if kind == OPTIMIZER:
                    self._applying = tuple(scopes)
                    self._note_gradients(method.__self__, name, *args, **kwargs)
                try:
                    returned = method(*args, **kwargs)
                    self._note_constants(returned, tuple(scopes))
                    if getattr(method, "__self__", None) is self._model:
                        self._outputs += filter(tf.is_tensor, tf.nest.flatten(returned))
                    return returned
                finally:
                    scopes.pop()
                    self._applying = before

            return call

        return wrap

    def _note_constants(self, returned, scopes):
        """Notes what a part of the model returns that is not finite and no operation has made."""
        for one in tf.nest.flatten(returned, expand_composites=True):
            if tf.is_tensor(one):
                is_new = self._find_maker(one) is None and not _is_finite(one)
            else:
                is_new = isinstance(one, (float, np.ndarray)) and not np.isfinite(one).all()
            if not is_new:
                continue
            self._order += 1
            operation = Operation(self._order, "Const", scopes)
            if tf.is_tensor(one):
                self._note(one, operation)
            else:
                self._numbers.append(operation)

    def _note_gradients(self, optimizer, name, grads, trainable_variables=None):
        variables = trainable_variables or keras_private.find_variables(optimizer)
        for gradient, variable in zip(grads, variables, strict=False):
            values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
            if values is not None and not _is_finite(values):
                self.broken_gradients.append((name, variable.path, values))


def _find_roots(operations):
    """Returns the operations from which others have what is not finite: origins, and given ones."""
    left, seen = [one for one in operations if one is not None], set()
    roots, given = [], []
    while left:
        operation = left.pop()
        if operation in seen:
            continue
        seen.add(operation)
        left.extend(operation.parents)
        if not operation.parents:
            (given if operation.is_given else roots).append(operation)
    return roots, given


def _list_methods(model):
    """Returns objects and the names of their methods that are noted, with a kind and a name."""
    layers = keras_private.find_layers(model)
    found = [(layer, "call", LAYER, _name_layer(layer, model)) for layer in layers]
    loss = keras_private.find_compiled_loss(model)
    found += [] if loss is None else [(loss, "call", LOSS, "the loss")]
    for metric in _list_metrics(model):
        found += [(metric, one, METRIC, metric.name) for one in ("update_state", "result")]
    by_name = optimizers.find_optimizers(model)
    found += [(one, "apply", OPTIMIZER, name) for name, one in by_name.items()]
    return found


def _list_metrics(model):
    """Returns the metrics, those among them that `compile` was given one by one."""
    found = keras_private.find_all_metrics(model)
    found += [one for metric in found for one in keras_private.split_metric(metric)]
    return list({id(metric): metric for metric in found}.values())


def _name_layer(layer, model):
    return layer.name if layer is model else getattr(layer, "path", None) or layer.name


@contextlib.contextmanager
def _replace(owner, name, wrap):
    """While open, an object has another method."""
    attributes = vars(owner)
    before = attributes.get(name)
    attributes[name] = wrap(getattr(owner, name))
    try:
        yield
    finally:
        if before is None:
            del attributes[name]
        else:
            attributes[name] = before


def _is_finite(tensor):
    return finite_data.is_finite(_read(tensor))


def _has_nan(tensor):
    return finite_data.has_nan(_read(tensor))


def _read(tensor):
    return tensor.read_value() if isinstance(tensor, tf.Variable) else tensor
