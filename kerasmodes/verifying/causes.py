"""Why two ways of running the same steps have other numbers: experiments, and a sentence for each.

What is compared is in `comparison.py`; the experiments on replicas are in `replica_causes.py`.
"""

import dataclasses

from kerasmodes.verifying import python_states
from kerasmodes.verifying.comparison import Difference
from kerasmodes.verifying.runs import Record
from kerasmodes.verifying.studies import Study

KINDS = (
    RANDOM,
    MEAN,
    LOCAL,
    BATCH_NORMALIZATION,
    PYTHON,
    LATE,
    ORDER,
    NOT_REPEATED,
    NOT_FINITE,
    LOST,
    ERROR,
    ROUNDING,
    UNKNOWN,
) = (
    "random numbers of Keras",
    "plain mean",
    "numbers of a shard alone",
    "batch normalization",
    "Python state",
    "variable made too late",
    "order of the data",
    "not deterministic",
    "not finite",
    "lost in the file",
    "error",
    "rounding",
    "unknown",
)
MADE_TOO_LATE = (
    "must be built before",
    "singleton tf.Variable",
    "tried to create variables",
    "not created on first call",
)
MAKE_EARLIER = (
    "A variable or an optimizer that is made in a step is made too late: make it in `__init__`, "
    "`build` or `compile`; an optimizer there with km.build_optimizer."
)
MOST_NAMES = 3


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why numbers are others.

    Args:
        kind: One of `KINDS`.
        words: The cause in words, and what to change.
    """

    kind: str
    words: str


def explain_error(error: str) -> Cause:
    """Returns the cause of what a run has raised.

    Args:
        error: The error in words.
    """
    first = " ".join(error.split())
    first = first if len(first) < 300 else first[:300] + " ..."
    if any(words in error for words in MADE_TOO_LATE):
        return Cause(LATE, f"{MAKE_EARLIER} Received: {first}")
    return Cause(ERROR, first)


def explain_late(names: list[str]) -> Cause:
    """Returns that variables or optimizers are made by the first step.

    Args:
        names: Their names.
    """
    return Cause(LATE, f"The first step makes {list_names(names)}. {MAKE_EARLIER}")


def explain_repeat(study: Study, mode: str) -> Cause:
    """Returns why two runs in one mode from one start have other numbers."""
    stateful = [str(one) for one in study.draws if one.is_stateful]
    words = f"Two runs in mode={mode!r} from the same start are not the same."
    if stateful:
        return Cause(
            NOT_REPEATED,
            f"{words} The step draws, or calls Python, outside of all variables: "
            f"{list_names(stateful)}. Draw from km.random, with a km.random.SeedGenerator.",
        )
    return Cause(
        NOT_REPEATED,
        f"{words} Look for the time, files, threads, a set's order, or random numbers without a "
        "seed in the step.",
    )


def explain_rounding(study: Study) -> Cause:
    """Returns why numbers are others without a fault."""
    return Cause(
        ROUNDING,
        f"No fault: a start that is moved by {study.precision.words} is as far away. The steps "
        "magnify rounding.",
    )


def explain_graph(study: Study) -> Cause:
    """Returns why a graph has other numbers than Python, or Python than Python again."""
    is_repeated = study.repeat("eager").step is None
    return explain_tracing(study) if is_repeated else explain_repeat(study, "eager")


def explain_tracing(study: Study) -> Cause:
    """Returns why a graph has other numbers than Python, line by line."""
    changed = study.get_record("eager").changed
    if changed:
        advice = "Use a variable (`self.add_weight(trainable=False)`, `self.optimizer.iterations`)."
        if {python_states.PYTHON_RANDOM, python_states.NUMPY_RANDOM} & {*changed}:
            advice = "Draw from km.random."
        return Cause(
            PYTHON,
            f"The step changes or draws what is no variable: {list_names(changed)}. A graph keeps "
            f"what it was when it was traced. {advice}",
        )
    if any(one.is_stateful for one in study.draws):
        return explain_repeat(study, "graph")
    return Cause(
        PYTHON,
        "Python line by line and its graph have other numbers: the step reads something that "
        "changes and is no variable, such as a counter, a list or an iterator.",
    )


def explain_compilation(study: Study, mode: str, difference: Difference) -> Cause:
    """Returns why a mode has other numbers than the graph, and the graph those of Python.

    Args:
        study: The runs of the model.
        mode: The mode.
        difference: How far it is from the reference.
    """
    if study.differing_draws:
        what = "draw other numbers under XLA than in a graph"
        return explain_draws(study, what, study.differing_draws)
    if not difference.is_finite:
        return Cause(
            NOT_FINITE,
            f"Only one of the two is finite: an operation hides NaN or infinity (a maximum, a "
            f"comparison, `tf.where`), or a check of tf.debugging, which XLA leaves out. "
            f"km.callbacks.NaNGuard finds the operation, in mode={mode!r} and in 'graph'.",
        )
    return Cause(UNKNOWN, "No cause was found: no draws, no Python state, and more than rounding.")


def explain_draws(study: Study, what: str, draws: list | None = None) -> Cause:
    """Returns that random numbers are others, of those layers whose draws matter.

    Args:
        study: The runs of the model.
        what: What is wrong with the numbers, after the names of layers.
        draws: Which draws; all by default.
    """
    idle, draws = study.find_idle_layers(), draws or study.draws
    draws = [one for one in draws if one.layer not in idle] or draws
    names = list(map(str, draws))
    is_dropout = any(name.startswith("Dropout ") for name in names)
    use = "km.random.Dropout and km.random" if is_dropout else "km.random"
    return Cause(
        RANDOM,
        f"Random numbers of Keras or TensorFlow {what}: {list_names(names)}. Use {use}.",
    )


def explain_broken(step: int, name: str) -> Cause:
    """Returns that a number is not finite in each way."""
    return Cause(
        NOT_FINITE,
        f"{name} is not finite from step {step} on, so the ways cannot be compared further. "
        "km.callbacks.NaNGuard finds where it comes from.",
    )


def find_late(record: Record) -> list[str]:
    """Returns the names of the variables that the steps have made, optimizers' own aside."""
    return [
        name
        for name, start, kind in zip(record.names, record.start, record.kinds, strict=True)
        if start is None and kind != "optimizer"
    ]


def list_names(names: list) -> str:
    """Returns the first names, and how many more there are."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
