"""The folder of a run: a new one, or one that is resumed with the same settings.

Training is in `training.py`; what is read from a finished run, in `runs.py`.
"""

import json
import os
import pathlib
import shutil
from typing import TYPE_CHECKING

import jsonargparse
import yaml

import kerasmodes
from kerasmodes import arguments, atomic_files
from kerasmodes.cli import config_files

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import tensorflow as tf

CONFIG, HISTORY, PROGRESS, CURVES = "config.yaml", "history.csv", "progress", "losses.png"
RECORD, MODEL, EVENTS, SAMPLES = "run.json", "model.keras", "events", "samples"
RUNS = "runs"  # The folder of runs without a `run`.
HEADER = "# kerasmodes {version}. To repeat the run: kerasmodes train {model} --config THIS_FILE\n"
# Settings that a resumed run may change: none of them changes the numbers.
FREE = {"epochs", "run", "resume", "strategy", "mode", "run_eagerly", "jit_compile"}
FREE |= {"checkpoint_every", "nan_guard", "steps_per_execution", "data_dir", "idx_dir"}
FREE |= {"mlflow", "wandb"}


def read_seed(run: str | None) -> int | None:
    """Returns the seed of the run in a folder, or `None` if there is none yet.

    Raises:
        ValueError: If `run` is missing.
    """
    if not run:
        raise ValueError("`run` must name the folder of the run to resume. Received: run=None")
    return read_config(run).get("seed")


def find_folder(
    flags: jsonargparse.Namespace, model: str, strategy: "tf.distribute.Strategy"
) -> pathlib.Path:
    """Returns the run's folder; writes nothing.

    Args:
        flags: The flags of the command, with `run` and `resume`.
        model: Name of the model, which names a folder that `run` does not.
        strategy: Where the run trains: all workers take the same folder.

    Raises:
        ValueError: On the chief, if the folder is in use, or holds a run that cannot be resumed.
    """
    folder = pathlib.Path(flags.run) if flags.run else _find_free_folder(strategy, RUNS, model)
    if not kerasmodes.replicas.is_chief(strategy):
        return folder
    arguments.check_folder("run", folder)
    has_run = (folder / CONFIG).exists()
    if flags.resume and has_run:
        _check_resumable(folder, flags)
    elif folder.exists() and any(folder.iterdir()):
        remedy = ". A run that was begun with --resume continues with --resume" if has_run else ""
        raise ValueError(
            f"`run` must be a new or empty folder. Received: run={str(folder)!r}{remedy}"
        )
    return folder


def write_config(folder: pathlib.Path, flags: jsonargparse.Namespace, note: str = "") -> None:
    """Writes the settings of a run; makes its folder if missing.

    Args:
        folder: Where the file is written.
        flags: The flags of `train`.
        note: Line of a comment that the file begins with, after that of the version.
    """
    config = list_settings(flags)
    header = HEADER.format(version=kerasmodes.__version__, model=flags.model)
    header += f"# {note}\n" if note else ""
    text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None, allow_unicode=True)
    with atomic_files.atomic_write(folder / CONFIG) as temporary:
        temporary.write_text(header + text, "utf-8")


def list_settings(flags: jsonargparse.Namespace) -> dict:
    """Returns the flags as `config.yaml` holds them, a dict of plain values."""
    config = _convert_to_json(flags)
    del config["run"]  # The folder: a run that repeats this one has another.
    return config


def remove_failed_start(folder: pathlib.Path) -> None:
    """Removes a folder that a run has made, unless an epoch or a checkpoint is in it.

    The folder of all runs goes with its only run.
    """
    history = folder / HISTORY
    has_epochs = history.exists() and history.stat().st_size > 0
    if not has_epochs and not any((folder / PROGRESS).glob("*/")):
        shutil.rmtree(folder)
        if folder.parent == pathlib.Path(RUNS) and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _check_resumable(folder, flags):
    config = read_config(folder)
    if not config.get("resume"):
        raise ValueError(
            "`run` must be a run that was started with --resume. "
            f"Received: run={str(folder)!r}, started without it. Use a new folder."
        )
    for name, value in _convert_to_json(flags).items():
        if name not in FREE and config.get(name, value) != value:
            raise ValueError(
                f"`{name}` must be {config[name]!r}, as at the start of the run, to resume it. "
                f"Received: {name}={value!r}. Or use a new folder."
            )
    _check_records(folder)
    has_epochs = (folder / HISTORY).exists() and (folder / HISTORY).stat().st_size > 0
    if has_epochs and not any((folder / PROGRESS).glob("epoch_*/")):
        raise ValueError(
            f"`run` must hold {PROGRESS}/ with a checkpoint of its last epoch to be resumed. "
            f"Received: run={str(folder)!r} without them. Use a new folder."
        )


def _check_records(folder):
    """Raises if a resumed run cannot read the files that it adds to, or not write what it has."""
    from PIL import Image

    files, folders = (HISTORY, CURVES, RECORD, MODEL), (EVENTS, SAMPLES, PROGRESS)
    arguments.check_places("run", folder, files, folders, purpose=", to be resumed")
    try:
        if (folder / RECORD).exists():
            record = json.loads((folder / RECORD).read_text("utf-8"))
            if not isinstance(record, dict) or not isinstance(record.get("epochs"), list):
                raise ValueError(f"{RECORD} has no list of epochs")
        if (folder / HISTORY).exists():
            (folder / HISTORY).read_text()
        if (folder / CURVES).exists():
            Image.open(folder / CURVES).close()
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(
            f"`run` must hold a {HISTORY} and a {CURVES}, as well as a {RECORD}, that can be read, "
            f"or none, to be resumed. Received: run={str(folder)!r}, {error}. Remove what is "
            "damaged."
        ) from error


def find_path(run: str | os.PathLike, *names: str) -> pathlib.Path:
    """Returns a path in a run's folder, which may come from a stranger.

    Args:
        run: The folder.
        *names: Names of folders and of the file in it.

    Raises:
        ValueError: If a link leads out of the folder.
    """
    path = pathlib.Path(run, *names)
    if not path.resolve().is_relative_to(pathlib.Path(run).resolve()):
        raise ValueError(
            f"`run` must be a folder whose {'/'.join(names)} is in it. Received: "
            f"run={str(run)!r}, where a link leads out of the folder"
        )
    return path


def read_config(run: str | os.PathLike) -> dict:
    """Returns the settings in a run's folder; empty if there are none.

    Raises:
        ValueError: If the file of the settings cannot be read, or is a link out of the folder.
    """
    path = find_path(run, CONFIG)
    if not path.exists():
        return {}
    try:
        config = config_files.read_settings(path)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`run` must be the folder of a run. Received: run={str(run)!r}, whose {CONFIG} "
            f"cannot be read: {error}"
        ) from error
    return config


def _convert_to_json(flags):
    """Returns the flags as a file would give them, a dict."""
    return json.loads(json.dumps(flags.as_dict(), default=str))


def _find_free_folder(strategy, parent, model):
    number = 1
    while pathlib.Path(parent, f"{model}-{number:03d}").exists():
        number += 1
    return pathlib.Path(
        parent, f"{model}-{kerasmodes.replicas.broadcast_from_chief(strategy, number):03d}"
    )
