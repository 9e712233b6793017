"""Many steps in one execution: data stacked to super-batches, and loops over them.

What is fused, and when, is not decided here: that is `model`.
"""

from kerasmodes.fusing import xla_flags
from kerasmodes.fusing.loops import make_predict_function, make_step_function
from kerasmodes.fusing.super_batches import (
    Piece,
    Pieces,
    batch_size_of,
    batches_of,
    bytes_of_a_batch,
    check_dense,
    is_dense,
    num_examples,
    of_arrays,
    of_batches,
    without_optionals,
)
from kerasmodes.fusing.traced_steps import convolves_on_a_cpu
from kerasmodes.fusing.xla_errors import explain_xla_error

__all__ = [
    "Piece",
    "Pieces",
    "batch_size_of",
    "batches_of",
    "bytes_of_a_batch",
    "check_dense",
    "convolves_on_a_cpu",
    "explain_xla_error",
    "is_dense",
    "make_predict_function",
    "make_step_function",
    "num_examples",
    "of_arrays",
    "of_batches",
    "without_optionals",
]

xla_flags.ask_for_whole_loops()
