"""A step as TensorFlow's graph of one batch, and what that graph says about how to run it."""

import contextlib
import functools

import tensorflow as tf

from kerasmodes.engine import keras_private
from kerasmodes.engine.executors import unknown_sizes

CONTROL_FLOW = {"While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase"}
COUNTS = {"DenseBincount"}  # See `keras_private.encode_categories_for_xla`.
DRAWS = {"StatelessRandomNormalV2", "StatelessRandomUniformV2"}  # See `keras_random.py`.
KERNELS = {"SeluGrad", "Ndtri"}  # See `kernel_numbers.py`.
PADDED_KERNELS = {"MaxPoolGrad", "MaxPool3DGrad"}
CONVOLUTIONS = ("Conv", "DepthwiseConv")


class TracedStep:
    """A step traced for batches of given specs; tracing builds what was not built.

    Args:
        step: Function of one batch (nested tensors) that returns nested tensors.
        run: Function that calls its argument on one batch in replica context.
        specs: Nested `tf.TensorSpec` of a batch, with `None` for missing parts.

    Attributes:
        plain: The step as a concrete function of one batch.
        specs: The specs.
        operations: The names of TensorFlow's operations in it.
    """

    def __init__(self, step, run, specs):
        self.specs = specs
        self._step, self._run = step, run
        self.plain = self._trace(contextlib.nullcontext)
        nodes = _list_nodes(self.plain.graph.as_graph_def())
        self.operations = {node.op for node in nodes}
        self._pads = any(map(_pads_same, nodes))

    @functools.cached_property
    def for_xla(self):
        """The step as a concrete function that XLA can compile within a loop of its own."""
        return self._trace(open_xla_context) if self._is_other_for_xla() else self.plain

    def _is_other_for_xla(self):
        if self.operations & (CONTROL_FLOW | COUNTS | DRAWS | KERNELS):
            return True
        graph = self.plain.graph
        return self._pads or unknown_sizes.find_wrong(graph, graph.outputs)

    @property
    def outputs(self):
        """The nested specs of what the step returns."""
        return self.plain.structured_outputs

    def _trace(self, context, has_variables=False):
        made = []

        def one_step(batch):
            scope = contextlib.nullcontext() if has_variables else _make_variables_eagerly(made)
            with scope, context():
                return tf.nest.map_structure(_convert_output, self._run(self._step, args=(batch,)))

        step = tf.function(one_step, autograph=False).get_concrete_function(self.specs)
        # What was built while it was traced may do something else once it is built: a loss scale is
        # a constant before.
        return self._trace(context, has_variables=True) if made else step


@contextlib.contextmanager
def _make_variables_eagerly(made):
    """While open, variables that a step makes while it is traced are made outside its graph.

    `tf.function` would keep them empty until it has traced the step once more, and each graph in
    which a variable was made in memory for good.

    Args:
        made: List to which these variables are added.
    """

    def make(next_creator, **arguments):
        if any(map(tf.is_symbolic_tensor, tf.nest.flatten(arguments.get("initial_value")))):
            return next_creator(**arguments)
        with tf.init_scope():
            made.append(keras_private.ResourceVariable(**arguments))
        return made[-1]

    if tf.distribute.has_strategy():
        yield
        return
    with tf.variable_creator_scope(make):
        yield


def convolves_on_a_cpu(operations: set[str]) -> bool:
    """Returns whether there are convolutions among the names of operations, and no GPU for them."""
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return not has_gpu and any(name.startswith(CONVOLUTIONS) for name in operations)


@contextlib.contextmanager
def open_xla_context():
    """While open, TensorFlow builds loops and branches as XLA needs them, Keras counts and draws.

    Otherwise the gradient of a loop takes the length of a list, a constant, from a stack that the
    loop has filled: no constant any more, which XLA refuses where the loop is inside another.
    """
    context = keras_private.XLAControlFlowContext()
    # Otherwise a `tf.function` that the step calls would be the graph that was made outside of XLA.
    context.RequiresUniqueFunctionRetracing = lambda: True
    context.Enter()
    try:
        yield
    finally:
        context.Exit()


def _list_nodes(graph):
    return [*graph.node, *(node for one in graph.library.function for node in one.node_def)]


def _pads_same(node):
    return node.op in PADDED_KERNELS and node.attr["padding"].s == b"SAME"


def _convert_output(output):
    is_composite = isinstance(output, tf.__internal__.CompositeTensor)
    return output if is_composite else tf.convert_to_tensor(output)
