"""Mode "fused": all steps of an execution in one XLA program; on a CPU, convolutions in a graph."""

from typing import Any

from kerasmodes.engine.executors import graph, traced_steps


class FusedExecutor(graph.GraphExecutor):
    """Runs the steps of an execution in one program; a single one, too."""

    def find_loop_mode(self, traced: traced_steps.TracedStep) -> str:
        """Returns the mode whose loop runs a step: `"graph"` for convolutions on a CPU.

        XLA has fast kernels for a convolution's gradients on a CPU only once one of its passes has
        rewritten them, which looks at a program's outermost computation, not into a loop: seven
        small networks took 1.2 to 22 times as long there. In TensorFlow's own loop, steps that XLA
        compiled took 0.8 to 1.5 times as long as those of a graph (16 networks of two layers), 5
        times at the most. Timing both in a fit would let its numbers, to the last bit, depend on
        the machine's other work. Who wants XLA's may have them, in mode `"xla"`.

        Args:
            traced: The step, traced for batches of one shape.
        """
        return "graph" if traced_steps.convolves_on_a_cpu(traced.operations) else "fused"

    def _run_next(self, iterator: Any) -> Any:
        return self._run_as_range(next(iterator))

    def _find_loops(self, batch_range: Any) -> Any:
        return self._find_joined_loops()
