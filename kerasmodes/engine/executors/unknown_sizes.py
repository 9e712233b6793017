"""Sizes that follow from the data: what XLA would compute with their upper bound instead.

XLA gives such a tensor the most elements that it can have and notes the size beside it. Most
operations heed that note. Some do not, and their results are wrong without a word: a step with one
of these is refused before it is compiled.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from kerasmodes.engine import keras_private
from kerasmodes.engine.executors import bounded_operations, xla_errors

# Operations whose results may have a size that follows from the data: by values that they are
# given, in these inputs, or by what they find.
SLICES = {"StridedSlice": (1, 2, 3), "Slice": (1, 2)}
FINDERS = {"Where", "Unique", "UniqueV2"}
SIZES = {"Shape", "ShapeN", "Size"}
# XLA fills the bound with these. Where nothing of the true size is added, reductions are wrong.
FILLED = {"OnesLike", "ZerosLike"}
REDUCTIONS = {"Sum", "Mean", "Max", "Min", "Prod", "All", "Any", "ArgMax", "ArgMin", "L2Loss"}
REDUCTIONS |= {"MatMul", "BatchMatMulV2", "Einsum", "BiasAddGrad", "UnsortedSegmentSum"}

# Operations that call functions: the first input that is an argument, and what names a function.
CALLS = {
    "PartitionedCall": (0, "f"),
    "StatefulPartitionedCall": (0, "f"),
    "While": (0, "body"),
    "StatelessWhile": (0, "body"),
    "If": (1, "then_branch", "else_branch"),
    "StatelessIf": (1, "then_branch", "else_branch"),
    "Case": (1, "branches"),
    "StatelessCase": (1, "branches"),
}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is known of a tensor.

    Args:
        name: `"noted"` (its size follows from the data), `"filled"` (so, but XLA has lost it),
            `"size"` (its value is such a size), `"other"`, or `"known"` (its value is a constant).
        source: The operation from which the size comes.
    """

    name: str
    source: tf.Operation | None = None


KNOWN, OTHER = Kind("known"), Kind("other")
ORDER = ("noted", "filled", "size", "other", "known")


def check_sizes(mode: str, graph: tf.Graph, outputs: Any) -> None:
    """Raises if XLA would compute something in a step with the bound of a size, not the size.

    Args:
        mode: The mode of the step, `"xla"` or `"fused"`.
        graph: The step's graph.
        outputs: Nested tensors of it, what the step returns.

    Raises:
        ValueError: If a tensor whose size follows from the data is used so.
    """
    wrong = find_wrong(graph, outputs)
    if wrong:
        raise xla_errors.make_error(mode, _describe(*wrong[0]))


def find_wrong(graph: tf.Graph, outputs: Any) -> list:
    """Returns the operations that XLA would compute with a bound, each with the size's source.

    Among them are loops for whose gradients XLA would need a bound and has none: with `None`.

    Args:
        graph: A step's graph.
        outputs: Nested tensors of it, what the step returns.
    """
    wrong = []
    outputs = tf.nest.flatten(outputs, expand_composites=True)
    _follow(graph, [OTHER] * len(graph.inputs), outputs, wrong)
    return wrong


def _describe(operation, source):
    hint = ""
    if source is None:
        return (
            f"{operation.type} that has a gradient and no greatest number of rounds"
            f"{xla_errors.find_place(operation.traceback)} (tf.while_loop and "
            "keras.ops.while_loop take maximum_iterations; tf.scan has it, keras.ops.scan has not)"
        )
    if source.type in SLICES:
        hint = " (keras.ops.slice takes parts of a constant size from anywhere)"
    words = f"{xla_errors.find_place(source.traceback)}{hint}"
    if operation is source:
        return f"{source.type} of a size that follows from the data{words}"
    return (
        f"{operation.type} of a tensor whose size follows from the data"
        f"{xla_errors.find_place(operation.traceback)}; the size is that of {source.type}{words}"
    )


def _follow(graph, arguments, outputs, wrong):
    """Returns the kinds of outputs of a graph, by those of its inputs.

    Args:
        wrong: List to which the operations that would be wrong are added, each with the source, or
            with `None` for a loop of unknown length.
    """
    kinds = {id(tensor): kind for tensor, kind in zip(graph.inputs, arguments, strict=True)}
    for operation in _list_used(graph, outputs):
        inputs = [kinds.get(id(tensor), OTHER) for tensor in operation.inputs]
        source = _find_wrong_source(operation, inputs)
        if source is not None:
            wrong.append((operation, source))
        if _is_endless(operation):
            wrong.append((operation, None))
        if operation.type in CALLS:
            found = _call(operation, inputs, wrong)
        else:
            found = [_find_kind(operation, inputs, output) for output in operation.outputs]
        for tensor, kind in zip(operation.outputs, found, strict=True):
            kinds.setdefault(id(tensor), kind)
    return [kinds.get(id(tensor), OTHER) for tensor in outputs]


def _list_used(graph, outputs):
    """Returns the operations on which something depends: XLA leaves out all others."""
    needed, used = set(map(id, outputs)), []
    for operation in reversed(graph.get_operations()):
        if operation.op_def.is_stateful or not needed.isdisjoint(map(id, operation.outputs)):
            needed.update(map(id, operation.inputs))
            used.append(operation)
    return reversed(used)


def _is_endless(operation):
    """Returns whether a loop fills a list for its gradient, and nobody knows of what length."""
    lists = [tensor.op for tensor in operation.inputs if tensor.op.type == "EmptyTensorList"]
    lengths = [tf.get_static_value(one.inputs[1]) for one in lists]
    return operation.type.endswith("While") and any(n is not None and n < 0 for n in lengths)


def _call(operation, inputs, wrong):
    first, *names = CALLS[operation.type]
    graphs = [graph for name in names for graph in keras_private.find_functions(operation, name)]
    if not graphs:
        return [OTHER for _ in operation.outputs]
    arguments, results = inputs[first:], []
    if operation.type.endswith("While"):
        ends = zip(arguments, graphs[0].inputs, graphs[0].outputs, strict=True)
        arguments = [OTHER if k == KNOWN and end is not start else k for k, start, end in ends]
        results.append(arguments)
    num_outputs = len(operation.outputs)  # Behind them, its gradient adds others to a graph.
    results += [_follow(graph, arguments, graph.outputs[:num_outputs], wrong) for graph in graphs]
    return [
        min(some, key=lambda kind: ORDER.index(kind.name)) for some in zip(*results, strict=True)
    ]


def _find_kind(operation, inputs, output):
    if operation.type == "Const":
        return KNOWN
    least = min(inputs, key=lambda kind: ORDER.index(kind.name), default=OTHER)
    if operation.type in SIZES:
        return KNOWN if least.name in ("other", "known") else Kind("size", least.source)
    if operation.type == "ConcatOffset":
        return _find_kind_of_offset(operation, inputs, output.value_index)
    is_open = not output.shape.is_fully_defined() or output.dtype == tf.variant
    if is_open and least.name == "noted" and operation.type in FILLED:
        return Kind("filled", least.source)
    if is_open and least.name in ("noted", "filled"):
        return least
    if is_open and _is_source(operation, inputs, output):
        return Kind("noted", operation)
    if least.name == "size":
        return Kind("noted", least.source) if is_open else least
    return KNOWN if least == KNOWN and not operation.op_def.is_stateful else OTHER


def _find_kind_of_offset(operation, inputs, place):
    """Returns the kind of where one of concatenated tensors begins: by the sizes of those before.

    The gradient of `tf.concat` asks for it.
    """
    axis = operation.inputs[0]
    axis = axis.op.inputs[0] if axis.op.type == "FloorMod" else axis  # Of a negative one.
    axis = tf.get_static_value(axis)
    for kind, shape in list(zip(inputs, operation.inputs, strict=True))[1 : 1 + place]:
        is_of_tensor = shape.op.type in SIZES
        sizes = shape.op.inputs[shape.value_index].shape if is_of_tensor else None
        is_known = is_of_tensor and axis is not None and sizes.rank and sizes[int(axis)] is not None
        if kind.name == "size" and not is_known:
            return kind
    return KNOWN


def _is_source(operation, inputs, output):
    if operation.type in FINDERS:
        return True
    if all(inputs[place] == KNOWN for place in SLICES.get(operation.type, ())):
        return False
    return _count_open(output) > _count_open(operation.inputs[0])


def _count_open(tensor):
    rank = tensor.shape.rank
    return float("inf") if rank is None else tensor.shape.as_list().count(None)


def _find_wrong_source(operation, inputs):
    """Returns the source of the size with which an operation would be wrong, or `None`."""
    if operation.type == "Slice":
        return _find_source_of_slice(operation, inputs)
    first = inputs[0] if inputs else OTHER
    if operation.type in REDUCTIONS:
        least = min(inputs, key=lambda kind: ORDER.index(kind.name))
        is_less = _count_open(operation.outputs[0]) < max(map(_count_open, operation.inputs))
        return least.source if least.name == "filled" and is_less else None
    if first.name != "noted" or operation.type not in bounded_operations.WRONG:
        return None
    sizes = operation.inputs[0].shape
    axes = bounded_operations.WRONG[operation.type](operation)
    is_wrong = sizes.rank is None or any(sizes[axis] is None for axis in axes)
    return first.source if is_wrong else None


def _find_source_of_slice(operation, inputs):
    """Returns the source of the size with which a `Slice` would be wrong, or `None`.

    It is what `tf.slice` makes, and the gradients of `tf.pad` and `tf.concat`.
    """
    whole, begin, _ = inputs
    num_open = _count_open(operation.outputs[0])
    if whole.name == "noted":
        is_right = begin == KNOWN and num_open == _count_open(operation.inputs[0])
        return None if is_right else whole.source
    kind = _find_kind(operation, inputs, operation.outputs[0])
    return operation if kind.source is operation else None
