"""The modes as plain data: what each one asks of Keras, and where it can run.

No TensorFlow here, and no code that runs a step: that is `engine`.
"""

import dataclasses
import math

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
        fused: Whether many steps run in one XLA program.
        several_replicas: Whether it runs under a strategy with more than one replica.
        purpose: What it is for, in a few words.
    """

    name: str
    run_eagerly: bool
    jit_compile: bool
    fused: bool
    several_replicas: bool
    purpose: str


MODES = {
    mode.name: mode
    for mode in (
        Mode("eager", True, False, False, True, "debugging: breakpoints anywhere"),
        Mode("graph", False, False, False, True, "the default, and convolutions on a CPU"),
        Mode("xla", False, True, False, False, "accelerators"),
        Mode("fused", False, True, True, False, "small models, many steps"),
    )
}


# The arguments of `compile` that belong together: each is decided by the first, if it is given.
SETTINGS = ("mode", "run_eagerly", "jit_compile", "steps_per_execution")

# Not a mode of its own: one of them is chosen while the model trains.
AUTO = "auto"


def name_of(run_eagerly, jit_compile, fused):
    """Returns the name of the mode that these settings run in (eager wins over the others)."""
    if run_eagerly:
        return "eager"
    if fused:
        return "fused"
    return "xla" if jit_compile else "graph"


def resolve(mode, run_eagerly=None, jit_compile="auto", steps_per_execution=None):
    """Returns the Keras `compile` arguments that a mode stands for.

    Args:
        mode: One of `MODES`, `"auto"` (which begins as `"graph"`), or `None` for Keras's own rules.
        run_eagerly: Bool, or `None` when the user did not say.
        jit_compile: Bool, or `"auto"` when the user did not say.
        steps_per_execution: Positive int, or `None` when the user did not say.

    Returns:
        A dictionary with `run_eagerly`, `jit_compile` and `steps_per_execution`, which is 1 where
        the user did not say (when fused, `fit` then chooses it).

    Raises:
        ValueError: If the mode is unknown, or an argument contradicts it.
    """
    if mode is not None and (not isinstance(mode, str) or mode not in (*MODES, AUTO)):
        names = ", ".join(repr(name) for name in (*MODES, AUTO))
        raise ValueError(f"`mode` must be one of {names}, or None. Received: mode={mode!r}")
    if steps_per_execution is not None:
        arguments.check_positive_integers(steps_per_execution=steps_per_execution)
        steps_per_execution = int(steps_per_execution)
    if mode is None:
        return {
            "run_eagerly": bool(run_eagerly),
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution or 1,
        }
    wanted = MODES["graph" if mode == AUTO else mode]
    if run_eagerly is not None and bool(run_eagerly) != wanted.run_eagerly:
        _contradiction("run_eagerly", run_eagerly, mode)
    if jit_compile not in ("auto", None) and bool(jit_compile) != wanted.jit_compile:
        _contradiction("jit_compile", jit_compile, mode)
    return {
        "run_eagerly": wanted.run_eagerly,
        "jit_compile": wanted.jit_compile,
        "steps_per_execution": steps_per_execution or 1,
    }


def batches_in_memory(num_batches, batch_bytes):
    """Returns how many batches of arrays a super-batch holds: about equal shares of an epoch.

    Args:
        num_batches: Batches of an epoch.
        batch_bytes: Bytes of a batch.
    """
    most = max(1, min(MOST_BATCHES, SUPER_BATCH_BYTES // max(1, batch_bytes)))
    return math.ceil(num_batches / math.ceil(num_batches / most))


def batches_of_stream(num_batches, batch_bytes):
    """Returns how many batches of a data set a super-batch holds.

    Args:
        num_batches: Batches of an epoch, or `None` if it is unknown.
        batch_bytes: Bytes of a batch.
    """
    most = min(num_batches, MOST_STREAMED_BATCHES) if num_batches else MOST_BATCHES_OF_UNKNOWN_DATA
    return max(1, min(most, SUPER_BATCH_BYTES // max(1, batch_bytes)))


def steps_of_execution(num_weights, batch_size):
    """Returns how many steps make up an execution at the most, so that it ends within a second.

    A step takes about 6 operations a weight and example: 2 forward, 4 backward (Kaplan et al. 2020,
    "Scaling laws for neural language models", section 2.1).

    Args:
        num_weights: Weights of the model.
        batch_size: Examples in a batch.
    """
    return max(1, int(EXECUTION_OPERATIONS / (6 * max(1, num_weights) * batch_size)))


def check_replicas(mode, num_replicas):
    """Raises when a mode cannot run on several replicas.

    Args:
        mode: The name of a mode.
        num_replicas: Number of replicas of the strategy.

    Raises:
        ValueError: If it cannot; the message names the mode to use.
    """
    if num_replicas == 1:
        return
    mode = "graph" if mode == AUTO else mode
    if not MODES[mode].several_replicas:
        usable = " or ".join(repr(m.name) for m in MODES.values() if m.several_replicas)
        raise ValueError(
            f"`mode` must be {usable} under a strategy with {num_replicas} replicas. "
            f"Received: mode={mode!r}"
        )


def _contradiction(name, value, mode):
    raise ValueError(
        f"`{name}` must agree with mode={mode!r}, which decides it. "
        f"Received: {name}={value!r}. Leave `{name}` out."
    )
