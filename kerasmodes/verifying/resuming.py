"""A model that is saved, loaded and trained further, against the same one that was not."""

import keras
import numpy as np

from kerasmodes import atomic_files
from kerasmodes.engine import keras_private, model_state, optimizers, with_modes
from kerasmodes.verifying import causes, comparison, python_states, random_draws
from kerasmodes.verifying.causes import Cause
from kerasmodes.verifying.reports import AGREES, DIFFERS, FAILED, Finding
from kerasmodes.verifying.runs import COMPARED, Run, Way, copy_values
from kerasmodes.verifying.studies import Study

WAY = "saved and loaded"


def verify_resume(study: Study, mode: str) -> Finding:
    """Trains half of the steps, saves and loads, and trains the other half with both models.

    Args:
        study: The runs of the model.
        mode: The mode of both halves.
    """
    recipe = study.recipe
    middle = max(1, recipe.steps // 2)
    run = Run(recipe, Way(mode), study.start)
    found = optimizers.find_optimizers(run.model)
    record = run.train(0, middle)
    if record.error is not None:
        return _make_finding(FAILED, causes.explain_error(record.error))
    made = [name for name in optimizers.find_optimizers(run.model) if name not in found]
    made += causes.find_late(record)
    try:
        loaded = Run.continue_with(recipe, Way(mode), save_and_load(run.model, mode))
    except Exception as failure:  # Whatever a file lacks belongs into the report.
        return _make_finding(FAILED, _explain_file(failure, made))
    _copy_idle_seeds(run, loaded)
    lost = _find_lost(run.model, loaded.model, study.name(record).names)
    python = python_states.find_differences(run.model, loaded.model)
    records = [one.train(middle, max(recipe.steps, middle + 1)) for one in (run, loaded)]
    if records[1].error is not None:
        return _make_finding(FAILED, causes.explain_error(records[1].error))
    difference = comparison.compare(records[1], study.name(records[0]))
    if difference.step is None:
        return Finding(WAY, AGREES, difference.largest)
    cause = _explain(lost, made, python, study)
    step = middle if lost else middle + difference.step
    names = tuple(lost) or difference.names
    return Finding(WAY, DIFFERS, difference.largest, step, names, (cause.kind,), cause.words)


def save_and_load(model: keras.Model, mode: str) -> keras.Model:
    """Returns a model that was loaded from the file of another, in a mode.

    Args:
        model: The model; its classes need not be registered.
        mode: The mode that the loaded one runs in.
    """
    classes = [type(one) for one in keras_private.find_layers(model)]
    own = {one.__name__: one for one in classes if not one.__module__.startswith("keras.")}
    with atomic_files.temporary_folder() as folder:
        path = folder / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path, custom_objects=own)
    if not loaded.compiled:
        raise ValueError("The model must be compiled when it is loaded. Received: not compiled")
    loaded = with_modes(loaded)
    loaded.set_mode(mode, steps_per_execution=1)
    return loaded


def _copy_idle_seeds(run, loaded):
    """Gives a loaded model the state of Keras's generators from which no step has drawn.

    Layers such as `GRU` have one, for a dropout that they may not have; it is in no file.
    """
    parts = [part for variable in run.state.variables for part in variable.parts]
    start = {id(part): value for part, value in zip(parts, run.start, strict=True)}
    others = random_draws.find_seed_generators(loaded.model)
    for place, generator in random_draws.find_seed_generators(run.model).items():
        state = generator.state.value
        if place in others and np.array_equal(start.get(id(state)), state):
            others[place].state.assign(state)


def _find_lost(model, loaded, names):
    """Returns the names of the variables that a loaded model lacks, or has with other values."""
    own, others = (model_state.ModelState(one, COMPARED) for one in (model, loaded))
    values, other_values = copy_values(own), copy_values(others)
    if len(values) != len(other_values):
        known = {one.name for one in others.variables}
        lost = (one.name not in known for one in own.variables)
        return [name for name, is_lost in zip(names, lost, strict=True) if is_lost] or names
    pairs = zip(values, other_values, strict=True)
    same = [np.array_equal(*pair, equal_nan=pair[0].dtype.kind == "f") for pair in pairs]
    return [name for name, is_same in zip(names, same, strict=True) if not is_same]


def _explain(lost, made, python, study):
    if lost and made:
        return causes.explain_late(made)
    if lost and all("seed_generator_state" in name for name in lost):
        return causes.explain_draws(study, "begin again after loading: their state is in no file")
    if lost:
        return Cause(
            causes.LOST,
            f"Variables are not in the file, or not loaded: {causes.list_names(lost)}. Make them "
            "with `add_weight`, in `__init__` or `build`, and optimizers with km.build_optimizer "
            "in `compile`.",
        )
    if python:
        return Cause(
            causes.PYTHON,
            f"What is no variable is in no file: {causes.list_names(python)}. Use a variable "
            "(`self.add_weight(trainable=False)`), or give it in `get_config`.",
        )
    if study.draws:
        return causes.explain_draws(study, "begin again after loading")
    return Cause(
        causes.UNKNOWN,
        "All variables were loaded, and the steps after it differ: look for what `get_config` and "
        "`get_compile_config` leave out.",
    )


def _explain_file(failure, made):
    cause = causes.explain_error(f"{type(failure).__name__}: {failure}")
    if made:
        cause = causes.explain_late(made)
    kind = causes.LOST if cause.kind == causes.ERROR else cause.kind
    return Cause(kind, f"The model cannot be saved and loaded. {cause.words}")


def _make_finding(verdict, cause):
    return Finding(WAY, verdict, causes=(cause.kind,), words=cause.words)
