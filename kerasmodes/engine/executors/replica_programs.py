"""A step on several replicas, compiled by XLA: programs of what each replica computes in between.

A program of XLA's cannot wait for a message, that is a sum over the replicas, and it begins once
all that it needs is there. So the graph of a step is cut at its messages. They stay with
TensorFlow, and what a replica computes between them becomes programs.

Each operation has a level: the rounds of messages that come before it. All programs of a level can
run before its messages, on every replica, and all messages of a level before the next programs. So
none waits for another that waits for it, as programs might that TensorFlow forms by itself
(`tf.xla.experimental.jit_scope`), of each replica in another way.
"""

import collections
import graphlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasmodes.engine.executors import traced_steps, xla_errors

# A program takes as long to start as some operations: what is smaller stays with TensorFlow.
SMALLEST_PROGRAM = 5


def compile_parts(function: Any) -> Callable:
    """Returns a function that does what a traced step does, in programs of XLA's.

    Args:
        function: The step on all replicas of this process, a concrete function.

    Raises:
        ValueError: If what a loop keeps for its gradient is needed in another program.
    """
    graph = function.graph
    parts = _list_parts(graph)
    _check_lists(parts)

    def run(*args):
        given = [arg for arg in tf.nest.flatten(args, expand_composites=True) if arg is not None]
        copy = _Copy(graph.inputs, [*given, *function.captured_inputs], is_outside=True)
        for part in parts:
            copy.add_part(part)
        outputs = [copy.find(tensor, tensor.device) for tensor in graph.outputs]
        return tf.nest.pack_sequence_as(
            function.structured_outputs, outputs, expand_composites=True
        )

    return tf.function(run, autograph=False)


class _Part:
    """Operations of one level: a program of one replica, or what TensorFlow runs after programs.

    Args:
        operations: They, in an order in which they may run.
        device: The program's device; `None` if they are no program.
    """

    def __init__(self, operations, device):
        self.operations, self.device = operations, device
        made = {id(tensor) for one in operations for tensor in one.outputs}
        used = {id(tensor): tensor for one in operations for tensor in one.inputs}
        self.inputs = [tensor for key, tensor in used.items() if key not in made]
        self.outputs = []  # The tensors that others need.


def _list_parts(graph):
    """Returns the parts of a step, in the order in which they are to run."""
    operations = _list_used(graph)
    messages = _list_messages(operations, graph)
    left = {*messages, *_list_cuts(operations, graph)}
    left |= {one for one in operations if not _find_device(one)}
    levels = _find_levels(operations, messages, left)
    found = collections.defaultdict(list)
    for one in levels:
        found[levels[one], one in left, "" if one in left else _find_device(one)].append(one)
    parts = []
    for (_, is_left, device), members in sorted(found.items(), key=lambda item: item[0]):
        is_program = not is_left and len(members) >= SMALLEST_PROGRAM
        parts.append(_Part(members, device if is_program else None))
    needed = {id(tensor) for part in parts for tensor in part.inputs} | set(map(id, graph.outputs))
    for part in parts:
        made = [tensor for one in part.operations for tensor in one.outputs]
        part.outputs = [tensor for tensor in made if id(tensor) in needed]
    return parts


def _check_lists(parts):
    """Raises if a list of tensors goes from one program to another: XLA cannot hand it out."""
    found = [tensor.op for part in parts for tensor in part.outputs if tensor.dtype == tf.variant]
    if found:
        # What a loop keeps is made empty, then filled by the loop.
        loop = next((one for one in found if one.type.endswith("While")), found[0])
        place = xla_errors.find_place(loop.traceback)
        received = f"{loop.type} whose values are needed after a message{place}"
        raise xla_errors.make_error("xla", received)


def _list_used(graph):
    """Returns the operations on which outputs or effects depend, each after what it depends on."""
    sources, left = {}, [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    while left:
        one = left.pop()
        if one not in sources:
            sources[one] = _find_sources(one)
            left += sources[one]
    inputs = {tensor.op for tensor in graph.inputs}
    # In the order of the graph where that leaves a choice: the same in each process.
    ordered = {one: sources[one] for one in graph.get_operations() if one in sources}
    return [one for one in graphlib.TopologicalSorter(ordered).static_order() if one not in inputs]


def _find_sources(operation):
    return [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]


def _list_messages(operations, graph):
    """Returns the operations that wait for other replicas, calls of functions that do included."""
    library = graph.as_graph_def().library.function
    nodes = {function.signature.name: function.node_def for function in library}
    sending, more = set(), True
    while more:
        more = {
            name
            for name in nodes.keys() - sending
            if any(_sends(node, sending) for node in nodes[name])
        }
        sending |= more
    return [one for one in operations if _sends(one.node_def, sending)]


def _sends(node, sending):
    """Returns whether a node is a message, or calls one of the functions that send any."""
    attributes = node.attr.values()
    called = {f.name for one in attributes for f in (one.func, *one.list.func)}
    return node.op.startswith("Collective") or not sending.isdisjoint(called)


def _list_cuts(operations, graph):
    """Returns the operations that cut a replica's shard of the batch on another one's device.

    In a program of that device, the replica would wait for it.
    """
    users = collections.defaultdict(set)
    for one in operations:
        for source in _find_sources(one):
            users[source].add(_find_device(one))
    given = {tensor.op for tensor in graph.inputs if tensor.dtype != tf.resource}
    cuts = []
    for one in operations:
        data = [tensor.op for tensor in one.inputs if not _is_constant(tensor.op)]
        if data and given.issuperset(data) and users[one] - {_find_device(one)}:
            cuts.append(one)
    return cuts


def _find_device(operation):
    """Returns the device of an operation, of the reading of a variable that of the variable."""
    reads = operation.type == "ReadVariableOp" and not operation.device
    return operation.inputs[0].op.device if reads else operation.device


def _is_constant(operation):
    """Returns whether an operation is copied to where it is needed: XLA must know sizes."""
    return operation.type == "Const" and not operation.control_inputs


def _find_levels(operations, messages, left):
    """Returns the level of each operation but the constants.

    The same message has the same level on each replica: the highest, if they differ.
    """
    same = _list_same(messages)
    lowest, before = {}, None
    while lowest != before:
        levels, before = {}, dict(lowest)
        for one in operations:
            if not _is_constant(one):
                levels[one] = _find_level(one, levels, left, lowest)
        for ones in same:
            lowest |= dict.fromkeys(ones, max(levels[one] for one in ones))
    return levels


def _list_same(messages):
    """Returns tuples of the messages of all replicas that wait for each other.

    A branch on no device, such as that of a scaled loss, holds the messages of all replicas.
    """
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for one in messages:
        found[one.type][one.device].append(one)
    return [same for by_device in found.values() for same in zip(*by_device.values(), strict=False)]


def _find_level(operation, levels, left, lowest):
    level = lowest.get(operation, -1 if operation in left else 0)
    for source in filter(levels.__contains__, _find_sources(operation)):
        is_after = operation not in left and (
            source in left or _find_device(source) != _find_device(operation)
        )
        level = max(level, levels[source] + is_after)
    return level


class _Copy:
    """The operations of a step, copied one by one into the graph that is being traced.

    Args:
        inputs: Tensors of the step's graph.
        given: What takes their places.
        is_outside: Whether TensorFlow runs the copies, not a program.
    """

    def __init__(self, inputs, given, is_outside):
        self._is_outside = is_outside
        self._tensors = {id(one): other for one, other in zip(inputs, given, strict=True)}
        self._copies = {}

    def find(self, tensor: tf.Tensor, device: str | None) -> tf.Tensor:
        """Returns the copy of a tensor."""
        if id(tensor) not in self._tensors:  # A constant.
            self._add(tensor.op, device)
        return self._tensors[id(tensor)]

    def add_part(self, part: _Part) -> None:
        """Copies a part: operation by operation, or as a call of its program."""
        if part.device is None:
            for one in part.operations:
                self._add(one, _find_device(one))
            return
        given = [one for one in part.inputs if not _is_constant(one.op)]

        def run():
            found = [self._tensors[id(one)] for one in given]
            copy = _Copy(given, found, is_outside=False)
            for one in part.operations:
                copy._add(one, None)
            return [copy.find(one, None) for one in part.outputs]

        before = {c for one in part.operations for c in self._find_controls(one)}
        with tf.device(part.device), tf.control_dependencies(list(before)):
            outputs = tf.function(run, autograph=False, jit_compile=True)() or []
        made = reversed(tf.compat.v1.get_default_graph().get_operations())
        call = next(one for one in made if one.type.endswith("PartitionedCall"))
        self._copies |= dict.fromkeys(part.operations, call)
        self._tensors |= {id(one): copy for one, copy in zip(part.outputs, outputs, strict=True)}

    def _add(self, operation, device):
        inputs = [self.find(tensor, device) for tensor in operation.inputs]
        attributes = {k: v for k, v in operation.node_def.attr.items() if k != "_class"}
        if operation.type in traced_steps.CONTROL_FLOW and self._is_outside:
            # As outside of XLA: a branch may hold operations of several devices.
            attributes["_lower_using_switch_merge"] = tf.compat.v1.AttrValue(b=True)
        controls = self._find_controls(operation)
        with tf.control_dependencies(None), tf.device(device), tf.control_dependencies(controls):
            copy = tf.compat.v1.get_default_graph().create_op(
                operation.type,
                inputs,
                [tensor.dtype for tensor in operation.outputs],
                name=operation.name,
                attrs=attributes,
                op_def=operation.op_def,
            )
        self._copies[operation] = copy
        self._tensors |= {
            id(one): other for one, other in zip(operation.outputs, copy.outputs, strict=True)
        }

    def _find_controls(self, operation):
        return [self._copies[one] for one in operation.control_inputs if one in self._copies]
