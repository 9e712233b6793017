"""The folder of a search: what it was made with, and files of keras-tuner that are damaged.

Checked with keras-tuner 1.4.8.
"""

import copy
import functools
import json
import pathlib
import shutil
import zlib
from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.engine import trial as trial_module

from kerasmodes import atomic_files

DESCRIPTION = "search.json"
PLAIN_TYPES = (bool, int, float, str, type(None))
# What files of a search must hold.
NEEDED_KEYS = {
    "trial.json": {"trial_id"},
    "oracle.json": {"hyperparameters"},
    DESCRIPTION: set(),
}


def describe_search(
    hypermodel: Callable | keras_tuner.HyperModel, fit_arguments: dict, **settings: Any
) -> dict:
    """Returns what a search is made with, ready for a JSON file.

    Args:
        hypermodel: That of the search.
        fit_arguments: Arguments of `fit`: data are described by shape, type and checksum.
        **settings: Further settings of the search.
    """
    is_partial = isinstance(hypermodel, functools.partial)
    name = getattr(hypermodel, "__name__", type(hypermodel).__name__)
    described = {"hypermodel": _describe(hypermodel) if is_partial else name}
    for name, value in vars(hypermodel).items():
        if not name.startswith("_"):
            described[f"hypermodel.{name}"] = _describe(value)
    described |= {name: _describe(value) for name, value in settings.items()}
    ignored = ("verbose", "callbacks")
    given = {name: value for name, value in fit_arguments.items() if name not in ignored}
    described |= {name: _describe(value) for name, value in given.items()}
    return json.loads(json.dumps(described))


def prepare_folder(folder: pathlib.Path, description: dict, overwrite: bool, repair: bool) -> bool:
    """Checks that a search may begin or resume in a folder; returns whether it begins.

    Args:
        folder: Folder of the search; made if missing.
        description: What `describe_search` has returned.
        overwrite: Whether what is there is deleted first.
        repair: Whether damaged files are set aside.

    Raises:
        ValueError: If the folder holds another search, or damaged files.
    """
    if overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    check_files(folder, repair)
    is_new = not any(folder.glob("trial_*"))
    if not is_new:
        check_description(folder, description)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_files.atomic_write(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(description, indent=2) + "\n")
    return is_new


def check_description(folder: pathlib.Path, description: dict) -> None:
    """Checks that a search is the one of its folder.

    Args:
        folder: Folder of the search.
        description: What `describe_search` has returned.

    Raises:
        ValueError: If the folder holds another search.
    """
    path = folder / DESCRIPTION
    if path.exists():
        before = json.loads(path.read_text())
        names = [
            name
            for name in dict.fromkeys([*before, *description])
            if before.get(name) != description.get(name)
        ]
        if names:
            listed = ", ".join(
                f"{name}={description.get(name)!r} (there: {before.get(name)!r})" for name in names
            )
            raise ValueError(
                f"`directory` must be new, or hold the same search. Received: {listed} for the "
                f"search in {folder}. Name another directory, or pass overwrite=True."
            )


def check_files(folder: pathlib.Path, repair: bool) -> None:
    """Checks that the files of a search can be read.

    Args:
        folder: Folder of the search; it may be missing.
        repair: Whether damaged files are set aside, with the ending `.damaged`. A trial without its
            file counts as failed.

    Raises:
        ValueError: If a file is damaged, and cannot be or is not to be repaired.
    """
    damaged = [path for path in sorted(folder.glob("**/*.json")) if _is_damaged(path)]
    for path in damaged:
        if path.name == "oracle.json":
            raise ValueError(
                f"{path} must be whole: it holds the order of all trials. Received: a damaged "
                "file, which cannot be repaired. Name another directory, or pass overwrite=True."
            )
    if damaged and not repair:
        raise ValueError(
            f"The files of a search must be whole. Received: {damaged[0]}, damaged. Pass "
            "repair=True to set it aside and continue with what is left, or name another directory."
        )
    for path in damaged:
        path.rename(path.with_name(f"{path.name}.damaged"))
        if path.name == "trial.json":
            _replace_trial(path)
        elif path.name != DESCRIPTION:
            path.write_text("{}")


def _is_damaged(path):
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, IsADirectoryError):
        return True
    if path.name not in NEEDED_KEYS:
        return False
    return not isinstance(content, dict) or not NEEDED_KEYS[path.name] <= content.keys()


def _replace_trial(path):
    """Writes a failed trial in the place of a damaged one: ids are the numbers of trials."""
    trial_id = path.parent.name.removeprefix("trial_")
    oracle = path.parent.parent / "oracle.json"
    state = json.loads(oracle.read_text())
    trial = trial_module.Trial(
        # keras-tuner changes what it reads.
        hyperparameters=keras_tuner.HyperParameters.from_config(
            copy.deepcopy(state["hyperparameters"])
        ),
        trial_id=trial_id,
        status=trial_module.TrialStatus.FAILED,
    )
    trial.message = "The file of this trial was damaged."
    trial.save(str(path))
    state["ongoing_trials"] = {
        tuner: one for tuner, one in state["ongoing_trials"].items() if one != trial_id
    }
    with atomic_files.atomic_write(oracle) as temporary:
        temporary.write_text(json.dumps(state))


def _describe(value):
    if isinstance(value, PLAIN_TYPES):
        return value
    if isinstance(value, tf.data.Dataset):
        return f"{value.element_spec}, {int(value.cardinality())} batches"
    if isinstance(value, functools.partial):
        return [_describe(value.func), _describe(value.args), _describe(value.keywords)]
    if isinstance(value, dict):
        return {str(name): _describe(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_describe(one) for one in value]
    if isinstance(value, keras_tuner.HyperModel):
        return describe_search(value, {})
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = np.ascontiguousarray(value)
        # Objects, such as words, are held by their places in memory.
        content = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
        checksum = zlib.crc32(content)
        return f"{array.dtype.name}{list(array.shape)} with checksum {checksum:08x}"
    if hasattr(value, "get_config"):
        return str(keras.saving.serialize_keras_object(value)["config"])
    return getattr(value, "__name__", type(value).__name__)
