"""Mode "fused": all steps of an execution in one XLA program, or in the loop that is faster."""

from typing import Any

from kerasmodes.engine.executors import graph, traced_steps


class FusedExecutor(graph.GraphExecutor):
    """Runs the steps of an execution in one program; a single one, too."""

    def find_loop_modes(self, operations: set[str]) -> tuple[str, ...]:
        """Returns the modes whose loops may run steps with these operations, the preferred first.

        XLA has fast kernels for a convolution's gradients on a CPU only once one of its passes has
        rewritten them, which looks at a program's outermost computation, not into a loop: seven
        small networks took 1.2 to 22 times as long there. In TensorFlow's own loop, steps that XLA
        compiled took 0.6 to 5 times as long as those of a graph: that has to be measured.

        Args:
            operations: Names of TensorFlow's operations.
        """
        if not traced_steps.convolves_on_a_cpu(operations):
            return ("fused",)
        if traced_steps.differentiates_convolutions(operations):
            return "xla", "graph"
        return "fused", "xla", "graph"

    def _run_next(self, iterator: Any) -> Any:
        return self._run_as_range(next(iterator))

    def _find_loops(self, batch_range: Any) -> Any:
        return self._loops
