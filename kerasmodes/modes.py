"""The modes as plain data: what each one asks of Keras, and where it can run.

No TensorFlow here, and no code that runs a step: that is `engine`.
"""

import dataclasses
import math
from typing import Any

from kerasmodes import arguments

# A super-batch holds no more input than this, and no more batches than the next two say: of data in
# memory, so that an epoch's progress is seen, and of a stream, which has to be waited for.
SUPER_BATCH_BYTES = 64 * 2**20
MOST_BATCHES = 10_000
MOST_STREAMED_BATCHES = 1_000
MOST_BATCHES_OF_UNKNOWN_DATA = 100

# Work in one execution, in floating-point operations: about a second of one core at the most.
EXECUTION_OPERATIONS = 4e9


@dataclasses.dataclass(frozen=True)
class Mode:
    """How a step is executed.

    Args:
        name: What `compile(mode=...)` takes.
        run_eagerly: Keras's flag of the same name.
        jit_compile: Keras's flag of the same name.
        several_replicas: Whether it runs under a strategy with more than one replica.
        has_loop: Whether several steps of one execution run in one loop that the mode compiles, so
            that a stream of batches is stacked for them. (Arrays always are.)
        stacks_batches: Whether it is always given super-batches, for one step an execution too.
        fits_epochs: Whether executions end with the epoch, and `fit` finds their length where the
            user gave none. Otherwise they are counted as in Keras.
        joins_steps: Whether steps of arrays run several at a time where no callback asks for each;
            see `engine/execution_length.py`.
        is_chosen_by_time: Whether it stands for the fastest of other modes.
    """

    name: str
    run_eagerly: bool = False
    jit_compile: bool = False
    several_replicas: bool = False
    has_loop: bool = False
    stacks_batches: bool = False
    fits_epochs: bool = False
    joins_steps: bool = False
    is_chosen_by_time: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode("eager", run_eagerly=True, several_replicas=True),
        Mode(
            "graph",
            several_replicas=True,
            has_loop=True,
            joins_steps=True,
        ),
        Mode(
            "xla",
            jit_compile=True,
            several_replicas=True,
            has_loop=True,
            joins_steps=True,
        ),
        Mode(
            "fused",
            jit_compile=True,
            has_loop=True,
            stacks_batches=True,
            fits_epochs=True,
        ),
        Mode(
            "auto",
            several_replicas=True,
            has_loop=True,
            fits_epochs=True,
            is_chosen_by_time=True,
        ),
    )
}

# The arguments of `compile` that belong together: each is decided by the first, if it is given.
SETTINGS = ("mode", "run_eagerly", "jit_compile", "steps_per_execution")


def find_name(given: str | None, run_eagerly: bool | None, jit_compile: bool | str | None) -> str:
    """Returns the name of the mode that Keras's flags stand for.

    Args:
        given: The name that `compile` was given, or `None`. It holds as long as the flags are those
            of its row: a user may set them later.
        run_eagerly: Keras's flag of the same name; it overrides the other one.
        jit_compile: Keras's flag of the same name.
    """
    row = MODES.get(given)
    if row and (row.run_eagerly, row.jit_compile) == (bool(run_eagerly), bool(jit_compile)):
        return row.name
    if run_eagerly:
        return "eager"
    return "xla" if jit_compile else "graph"


def resolve(
    mode: str | None,
    run_eagerly: bool | None = None,
    jit_compile: bool | str | None = "auto",
    steps_per_execution: int | None = None,
) -> dict[str, Any]:
    """Returns the Keras `compile` arguments that a mode stands for.

    Args:
        mode: One of `MODES`, or `None` for Keras's own rules.
        run_eagerly: Bool, or `None` when the user did not say.
        jit_compile: Bool, or `"auto"` when the user did not say.
        steps_per_execution: Positive int, or `None` when the user did not say.

    Returns:
        A dictionary with `run_eagerly`, `jit_compile` and `steps_per_execution`, which is 1 where
        the user did not say.

    Raises:
        ValueError: If the mode is unknown, or an argument contradicts it.
    """
    if mode is not None:
        arguments.check_choice("mode", mode, MODES, ", or None")
    if steps_per_execution is not None:
        arguments.check_positive_integers(steps_per_execution=steps_per_execution)
        steps_per_execution = int(steps_per_execution)
    if mode is None:
        return {
            "run_eagerly": bool(run_eagerly),
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution or 1,
        }
    wanted = MODES[mode]
    if run_eagerly is not None and bool(run_eagerly) != wanted.run_eagerly:
        _raise_contradiction("run_eagerly", run_eagerly, mode)
    if jit_compile not in ("auto", None) and bool(jit_compile) != wanted.jit_compile:
        _raise_contradiction("jit_compile", jit_compile, mode)
    return {
        "run_eagerly": wanted.run_eagerly,
        "jit_compile": wanted.jit_compile,
        "steps_per_execution": steps_per_execution or 1,
    }


def count_batches_in_memory(num_batches: int | None, batch_bytes: int) -> int:
    """Returns how many batches of arrays a super-batch holds: about equal shares of an epoch.

    Args:
        num_batches: Batches of an epoch.
        batch_bytes: Bytes of a batch.
    """
    most = max(1, min(MOST_BATCHES, SUPER_BATCH_BYTES // max(1, batch_bytes)))
    return math.ceil(num_batches / math.ceil(num_batches / most))


def count_batches_of_stream(num_batches: int | None, batch_bytes: int) -> int:
    """Returns how many batches of a data set a super-batch holds.

    Args:
        num_batches: Batches of an epoch, or `None` if it is unknown.
        batch_bytes: Bytes of a batch.
    """
    most = min(num_batches, MOST_STREAMED_BATCHES) if num_batches else MOST_BATCHES_OF_UNKNOWN_DATA
    return max(1, min(most, SUPER_BATCH_BYTES // max(1, batch_bytes)))


def count_steps_of_execution(num_weights: int, batch_size: int | None) -> int:
    """Returns how many steps make up an execution at the most, so that it ends within a second.

    A step takes about 6 operations a weight and example: 2 forward, 4 backward (Kaplan et al. 2020,
    "Scaling laws for neural language models", section 2.1).

    Args:
        num_weights: Weights of the model.
        batch_size: Examples in a batch.
    """
    return max(1, int(EXECUTION_OPERATIONS / (6 * max(1, num_weights) * batch_size)))


def check_replicas(mode: str | None, num_replicas: int) -> None:
    """Raises when a mode cannot run on several replicas.

    Args:
        mode: The name of a mode.
        num_replicas: Number of replicas of the strategy.

    Raises:
        ValueError: If it cannot; the message names the mode to use.
    """
    if num_replicas == 1:
        return
    if not MODES[mode].several_replicas:
        rows = [row for row in MODES.values() if not row.is_chosen_by_time]
        usable = ", ".join(repr(row.name) for row in rows if row.several_replicas)
        raise ValueError(
            f"`mode` must be one of {usable} under a strategy with {num_replicas} replicas. "
            f"Received: mode={mode!r}"
        )


def _raise_contradiction(name, value, mode):
    raise ValueError(
        f"`{name}` must agree with mode={mode!r}, which decides it. "
        f"Received: {name}={value!r}. Leave `{name}` out."
    )
