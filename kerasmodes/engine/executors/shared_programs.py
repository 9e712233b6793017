"""Compiled programs that models of the same shape share.

XLA compiles a graph for seconds and keeps the program for as long as the process lives. A search, a
cross-validation or a series of short fits traces the same graph again and again, each time for
other variables: all but the first take the program that is there, and call it with their own.
"""

import collections
import copy
import hashlib
import threading
from typing import Any

# What is kept: programs with the variables of the models that they were compiled for. The least
# recently used are dropped first.
MOST_PROGRAMS = 64
MOST_BYTES = 2**27

# Attributes of nodes that tell how a graph was made, not what it does.
UNRELATED = (
    "_gradient_op_type",
    "backward_function_name",
    "forward_function_name",
    "_forward_func_name",
    "_class",  # What is placed beside what, by name: a program has one device.
)

_programs = collections.OrderedDict()  # Of `_Program`s, by hash.
_LOCK = threading.Lock()


class _Program:
    """A program with its variables, which TensorFlow wants to be there as long as it is called."""

    def __init__(self, function):
        self.function, self.variables = function, function.graph.variables
        # A size that is left open counts as nothing.
        self.num_bytes = sum((v.shape.num_elements() or 0) * v.dtype.size for v in self.variables)


def share_program(function: Any, mode: str) -> Any:
    """Returns a program that does the same with the same variables, compiled already if possible.

    Args:
        function: A concrete function that was not called yet.
        mode: The mode in which it is to be compiled.
    """
    key = f"{mode} {_hash_program(function)}"
    with _LOCK:
        if key not in _programs:
            _programs[key] = _Program(function)
            _drop_programs()
            return function
        _programs.move_to_end(key)
        program = _programs[key]
    shared = copy.copy(program.function)
    shared.set_external_captures(function.captured_inputs)
    shared.shared_program = program  # With its variables, also when it is dropped from the list.
    return shared


def _drop_programs():
    num_bytes = sum(program.num_bytes for program in _programs.values())
    while _programs and (len(_programs) > MOST_PROGRAMS or num_bytes > MOST_BYTES):
        _, dropped = _programs.popitem(last=False)
        num_bytes -= dropped.num_bytes


def _hash_program(program):
    """Returns a hash of what a concrete function does, of the kinds of its inputs included."""
    graph = program.graph
    definition = graph.as_graph_def()
    functions = {function.signature.name: function for function in definition.library.function}
    numbers = {}  # Of functions, in the order in which they are met.
    digest = hashlib.sha256()
    called_with = program.structured_input_signature
    digest.update(repr((called_with, program.structured_outputs)).encode())
    variables = {id(v.handle): (v.dtype, v.shape, v.trainable) for v in graph.variables}
    for tensor in program.captured_inputs:
        digest.update(repr((tensor.dtype, tensor.shape, variables.get(id(tensor)))).encode())
    names = [tensor.name for tensor in (*graph.inputs, *graph.outputs)]
    _add_nodes(digest, definition.node, names, numbers)
    left = list(numbers)
    while left:
        function = functions[left.pop(0)]
        before = len(numbers)
        signature = function.signature
        digest.update(repr([arg.type for arg in signature.input_arg]).encode())
        arguments = [arg.name for arg in signature.input_arg]
        results = [function.ret[arg.name] for arg in signature.output_arg]
        _add_nodes(digest, function.node_def, results, numbers, arguments)
        left += list(numbers)[before:]
    return digest.hexdigest()


def _add_nodes(digest, nodes, outputs, numbers, arguments=()):
    """Adds nodes to a hash, by the order in which they stand and not by their names."""
    places = {name: place for place, name in enumerate((*arguments, *(n.name for n in nodes)))}

    def locate(reference):
        is_control = reference.startswith("^")
        name, colon, port = reference.removeprefix("^").partition(":")
        return f"{'^' if is_control else ''}{places[name]}{colon}{port}"

    for node in nodes:
        # What a node only waits for has no order: it comes last, from a set.
        count = sum(not name.startswith("^") for name in node.input)
        inputs = [*map(locate, node.input[:count]), *sorted(map(locate, node.input[count:]))]
        digest.update(f"{node.op} {node.device} {inputs}".encode())
        for name in sorted(node.attr):
            if name not in UNRELATED:
                digest.update(name.encode())
                digest.update(_describe_attribute(node.attr[name], numbers))
    digest.update(repr([*map(locate, outputs)]).encode())


def _describe_attribute(value, numbers):
    kind = value.WhichOneof("value")
    if kind == "func":
        return _number_function(value.func, numbers)
    if kind == "list" and value.list.func:
        return b" ".join(_number_function(one, numbers) for one in value.list.func)
    return value.SerializeToString(deterministic=True)


def _number_function(function, numbers):
    number = numbers.setdefault(function.name, len(numbers))
    attributes = {name: function.attr[name].SerializeToString() for name in sorted(function.attr)}
    return f"function {number} {attributes}".encode()
