"""The modes as plain data: what each one asks of Keras, and where it can run.

No TensorFlow here, and no code that runs a step: that is `model.py` and `fusing.py`.
"""

import dataclasses

# Steps in one fused execution when `steps_per_execution` is not given: enough that the cost of
# entering XLA (about 1 ms) is 10 microseconds a step, few enough that 100 batches of 64 small
# images fit in 20 MB.
FUSED_STEPS_PER_EXECUTION = 100


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
        mode: One of `MODES`, or `None` for Keras's own rules.
        run_eagerly: Bool, or `None` when the user did not say.
        jit_compile: Bool, or `"auto"` when the user did not say.
        steps_per_execution: Positive int, or `None` when the user did not say.

    Returns:
        A dictionary with `run_eagerly`, `jit_compile` and `steps_per_execution`.

    Raises:
        ValueError: If the mode is unknown, or an argument contradicts it.
    """
    if mode is not None and (not isinstance(mode, str) or mode not in MODES):
        names = ", ".join(repr(name) for name in MODES)
        raise ValueError(f"`mode` must be one of {names}, or None. Received: mode={mode!r}")
    _check_steps_per_execution(steps_per_execution)
    if mode is None:
        return {
            "run_eagerly": bool(run_eagerly),
            "jit_compile": jit_compile,
            "steps_per_execution": steps_per_execution or 1,
        }
    wanted = MODES[mode]
    if run_eagerly is not None and bool(run_eagerly) != wanted.run_eagerly:
        _contradiction("run_eagerly", run_eagerly, mode)
    if jit_compile not in ("auto", None) and bool(jit_compile) != wanted.jit_compile:
        _contradiction("jit_compile", jit_compile, mode)
    default_steps = FUSED_STEPS_PER_EXECUTION if wanted.fused else 1
    return {
        "run_eagerly": wanted.run_eagerly,
        "jit_compile": wanted.jit_compile,
        "steps_per_execution": steps_per_execution or default_steps,
    }


def check_replicas(mode, num_replicas, steps_per_execution):
    """Raises when a mode cannot run on several replicas.

    Args:
        mode: The name of a mode.
        num_replicas: Number of replicas of the strategy.
        steps_per_execution: Steps in one execution.

    Raises:
        ValueError: If it cannot; the message names the mode to use.
    """
    if num_replicas == 1:
        return
    if not MODES[mode].several_replicas:
        usable = " or ".join(repr(m.name) for m in MODES.values() if m.several_replicas)
        raise ValueError(
            f"`mode` must be {usable} under a strategy with {num_replicas} replicas. "
            f"Received: mode={mode!r}"
        )
    if steps_per_execution > 1:
        raise ValueError(
            f"`steps_per_execution` must be 1 under a strategy with {num_replicas} replicas. "
            f"Received: steps_per_execution={steps_per_execution}"
        )


def _check_steps_per_execution(value):
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(
            "`steps_per_execution` must be a positive integer. "
            f"Received: steps_per_execution={value!r}"
        )


def _contradiction(name, value, mode):
    raise ValueError(
        f"`{name}` must agree with mode={mode!r}, which sets it to "
        f"{getattr(MODES[mode], name)}. Received: {name}={value!r}. Leave `{name}` out."
    )
