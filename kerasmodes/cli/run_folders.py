"""The folder of a run: a new one, or one that goes on with the settings it was begun with.

What is trained is in `training.py`; what is read from a finished run, in `runs.py`.
"""

import json
import pathlib

import kerasmodes
from kerasmodes import atomic_files, replicas

CONFIG, HISTORY, PROGRESS = "config.json", "history.csv", "progress"
# What may be another when a run goes on: none of it changes the numbers.
FREE = {"epochs", "run", "resume", "strategy", "mode", "run_eagerly", "jit_compile"}
FREE |= {"steps_per_execution", "data_dir", "idx_dir"}


def seed_of(run):
    """Returns the seed of the run that goes on in a folder, or `None` if it begins.

    Raises:
        ValueError: If there is no name of a folder.
    """
    if not run:
        raise ValueError("`run` must name the folder where `resume` goes on. Received: run=None")
    return config_of(run).get("seed")


def find(flags, model, strategy):
    """Returns the run's folder, in which nothing is written yet.

    Raises:
        ValueError: If the folder is in use, or a run cannot go on in it, on the chief.
    """
    folder = pathlib.Path(flags.run) if flags.run else _next_free(strategy, "runs", model)
    if not replicas.is_chief(strategy):
        return folder
    if flags.resume and (folder / CONFIG).exists():
        _check_goes_on(folder, flags)
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"`run` must be a new or empty folder. Received: run={str(folder)!r}")
    return folder


def write_config(folder, flags, model):
    """Writes the run's settings, its folder made if missing."""
    config = {"model": model, "kerasmodes": kerasmodes.__version__, **_plain(flags)}
    with atomic_files.atomic_write(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")


def _check_goes_on(folder, flags):
    config = config_of(folder)
    if not config.get("resume"):
        raise ValueError(
            "`run` must be a run that was begun with --resume, to go on. "
            f"Received: run={str(folder)!r}, begun without. Take a new folder."
        )
    for name, value in _plain(flags).items():
        if name not in FREE and config.get(name, value) != value:
            raise ValueError(
                f"`{name}` must be {config[name]!r}, with which the run was begun, to go on. "
                f"Received: {name}={value!r}. Or take a new folder."
            )
    has_epochs = (folder / HISTORY).exists() and (folder / HISTORY).stat().st_size > 0
    if has_epochs and not any((folder / PROGRESS).glob("*.weights.h5")):
        raise ValueError(
            f"`run` must hold {PROGRESS}/ with the weights of its last epoch, to go on. "
            f"Received: run={str(folder)!r} without them. Take a new folder."
        )


def config_of(run):
    """Returns the settings in a run's folder, a dict, empty if there are none."""
    path = pathlib.Path(run, CONFIG)
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(
            f"`run` must be the folder of a run. Received: run={str(run)!r}, whose {CONFIG} "
            f"cannot be read: {error}"
        ) from error


def _plain(flags):
    """Returns the flags as they come back from a JSON file."""
    return json.loads(json.dumps(flags.as_dict(), default=str))


def _next_free(strategy, parent, model):
    number = 1
    while pathlib.Path(parent, f"{model}-{number:03d}").exists():
        number += 1
    return pathlib.Path(parent, f"{model}-{replicas.broadcast_from_chief(strategy, number):03d}")
