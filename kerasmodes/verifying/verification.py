"""`verify`: proves that a model's steps have the same numbers in every way, or says why not."""

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import rich.progress
import tensorflow as tf

from kerasmodes import arguments, comparing
from kerasmodes.engine import datasets
from kerasmodes.verifying import causes, comparison, recipes, replica_causes, resuming
from kerasmodes.verifying.replica_process import Replicas
from kerasmodes.verifying.reports import (
    AGREES,
    DIFFERS,
    FAILED,
    ROUNDING,
    Finding,
    VerificationReport,
)
from kerasmodes.verifying.runs import Way
from kerasmodes.verifying.studies import Study

# To whose numbers the others are compared: Python's, line by line, are what was written.
REFERENCES = ("eager", "graph")


def verify(
    build_model: Callable[[], keras.Model] | str,
    data: tuple | tf.data.Dataset | keras.utils.PyDataset,
    *,
    modes: Sequence[str] = comparing.MODES,
    replicas: int = 2,
    steps: int = 5,
    batch_size: int = 32,
    resume: bool = True,
    **compile_arguments: Any,
) -> VerificationReport:
    """Runs a model's steps in every way, compares all numbers, and names what makes them differ.

    Each way begins with the same weights and sees the same batches. After each step, the logs and
    all variables are compared with those of `"eager"` (of `"graph"`, if that is left out). Where
    they part, experiments look for the cause: random numbers of Keras, Python state that a graph
    keeps, a plain mean or batch normalization on replicas, and others. A difference is rounding if
    a start that is moved by one part in ten million ends as far away; by one in a thousand where
    a layer computes in float16, one in 128 in bfloat16.

    Args:
        build_model: Function without arguments that returns a new Keras model, compiled or not; or
            its name, `"module:function"`.
        data: As in `km.compare_modes`: a tuple of arrays, which begin again where they hold fewer
            than `steps` batches; or a `tf.data.Dataset` or `keras.utils.PyDataset` of at least
            `steps` batches.
        modes: Names of modes; `"keras"` is Keras's own rules. One alone needs `replicas` or
            `resume`, to be compared with.
        replicas: Positive int: on how many replicas mode `"graph"` runs, too; 1 leaves that out.
            They need logical CPU devices, which TensorFlow makes only before it starts: without
            them, they run in a process of their own, and `build_model` must be a function at the
            top of a module. A script then needs `if __name__ == "__main__":`.
        steps: Positive int, steps of each run.
        batch_size: Positive int, examples in a batch, if `data` holds arrays.
        resume: Bool, whether a model that is saved, loaded and trained further is compared, too.
        **compile_arguments: Passed to the model's `compile` with the mode, `optimizer` at least if
            the class has no default of its own; for a model that is compiled already, none.

    Returns:
        A `VerificationReport`: a table when it is printed; `ok`, `check()` for a test, and
        `save(path)`.

    Raises:
        ValueError: If an argument is out of range, there is nothing to compare, a data set holds
            fewer batches than `steps`, the arguments of `compile` do not suit the model, or
            `build_model` cannot be sent to another process.
        TypeError: If `build_model` is no function, or does not return a Keras model.
        RuntimeError: If the process of the replicas ends.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    report = km.verify(km.SumRegressor, (x, y), modes=("eager", "fused"), replicas=1, steps=3)
    print(report)
    report.check()
    ```
    """
    if isinstance(build_model, str):
        build_model = recipes.find_function(build_model)
    _check_arguments(build_model, modes, replicas, steps, batch_size, resume)
    recipe = recipes.Recipe(build_model, data, steps, batch_size, compile_arguments)
    reference = next((mode for mode in REFERENCES if mode in modes), modes[0])
    study = Study(recipe, reference)
    findings = []
    with contextlib.ExitStack() as stack:
        others = stack.enter_context(Replicas(recipe, replicas)) if replicas > 1 else None
        progress = stack.enter_context(rich.progress.Progress(transient=True))
        task = progress.add_task("verifying", total=len(modes) + (replicas > 1) + bool(resume))
        study.get_record(reference)
        for mode in modes:
            progress.update(task, description=f"verifying {mode}")
            findings.append(_verify_mode(study, mode, modes))
            progress.advance(task)
        if others:
            progress.update(task, description=f"verifying {replicas} replicas")
            findings.append(_verify_replicas(study, others, replicas))
            progress.advance(task)
        if resume:
            progress.update(task, description="verifying a saved model")
            mode = next((one for one in ("graph", "eager") if one in modes), modes[-1])
            mode = "graph" if mode == comparing.BASELINE else mode
            findings.append(resuming.verify_resume(study, mode))
            progress.advance(task)
    if isinstance(data, tf.data.Dataset):
        findings += _verify_order(data, steps)
    name = type(study.get_run(reference).model).__name__
    return VerificationReport(name, reference, steps, tuple(findings))


def _verify_mode(study, mode, modes):
    record = study.get_record(mode)
    if record.error is not None:
        return _fail(mode, causes.explain_error(record.error))
    if mode != "eager" or len(modes) == 1:
        repeated = study.repeat(mode)
        if repeated is not None and repeated.step is not None:
            return _differ(mode, repeated, causes.explain_repeat(study, mode))
    if mode == study.reference:
        broken = comparison.find_broken_step(record)
        if broken is None:
            return Finding(mode, AGREES, 0.0)
        cause = causes.explain_broken(*broken)
        return Finding(mode, DIFFERS, None, broken[0], broken[1:], (cause.kind,), cause.words)
    difference = study.compare(mode, study.reference)
    if difference.step is None:
        return Finding(mode, AGREES, difference.largest)
    if difference.is_rounding:
        return _differ(mode, difference, causes.explain_rounding(study), verdict=ROUNDING)
    cause = _explain(study, mode, difference)
    if mode == "fused":
        difference = study.locate(difference)
    return _differ(mode, difference, cause)


def _explain(study, mode, difference):
    """Returns why a mode on one device has other numbers than the reference."""
    if study.reference == "eager":
        repeated = study.repeat("eager")
        if repeated.step is not None:
            return causes.explain_repeat(study, "eager")
        if mode == "graph":
            return causes.explain_tracing(study)
        if study.get_record("graph").error is None and study.compare("graph", "eager").is_fault:
            return causes.explain_tracing(study)
    return causes.explain_compilation(study, mode, difference)


def _verify_replicas(study, others, number):
    way = Way("graph", number)
    alone = study.get_record("graph")
    if alone.error is not None:
        return _fail(str(way), causes.explain_error(alone.error))
    record = others.run(way, study.start, study.recipe.steps)
    if record.error is not None:
        return _fail(str(way), causes.explain_error(record.error))
    difference = study.compare_record(record, alone)
    if difference.step is None:
        return Finding(str(way), AGREES, difference.largest)
    if difference.is_rounding:
        return _differ(str(way), difference, causes.explain_rounding(study), verdict=ROUNDING)
    found = replica_causes.explain_replicas(study, others, number, record)
    return _differ(str(way), difference, *found)


def _verify_order(data, steps):
    """Returns a finding if a data set does not give the same batches when it is read again."""
    words = "Each fit sees other batches, in another order: give `shuffle` a seed, and use"
    words += " random operations of tf.random.stateless_uniform and its like."
    try:
        start = datasets.DataStart(data)
    except ValueError as error:
        words = f"{words} {error}"
        return [Finding("data", DIFFERS, causes=(causes.ORDER,), words=words)]
    first = _read(data, steps)
    start.restore(data)
    for step, (one, other) in enumerate(zip(first, _read(data, steps), strict=True), 1):
        if one != other:
            return [Finding("data", DIFFERS, None, step, (), (causes.ORDER,), words)]
    return [Finding("data", AGREES)]


def _read(data, steps):
    return [
        [tf.io.serialize_tensor(part).numpy() for part in tf.nest.flatten(batch, True)]
        for batch in data.take(steps)
    ]


def _fail(way, cause):
    return Finding(way, FAILED, causes=(cause.kind,), words=cause.words)


def _differ(way, difference, *found, verdict=DIFFERS):
    return Finding(
        way,
        verdict,
        difference.largest if difference.is_finite and math.isfinite(difference.largest) else None,
        difference.step,
        difference.names,
        tuple(cause.kind for cause in found),
        " ".join(cause.words for cause in found),
    )


def _check_arguments(build_model, modes, replicas, steps, batch_size, resume):
    if isinstance(build_model, keras.Model) or not callable(build_model):
        raise TypeError(
            "`build_model` must be a function without arguments that returns a new model, or its "
            f"name, 'module:function'. Received: build_model={build_model!r}"
        )
    arguments.check_positive_integers(replicas=replicas, steps=steps, batch_size=batch_size)
    comparing.check_modes(modes)
    if not isinstance(resume, bool):
        raise ValueError(f"`resume` must be True or False. Received: resume={resume!r}")
    if len(set(modes)) == 1 and replicas == 1 and not resume:
        raise ValueError(
            "`modes` must name at least two modes where replicas=1 and resume=False: there is "
            f"nothing else to compare with. Received: modes={modes!r}"
        )
