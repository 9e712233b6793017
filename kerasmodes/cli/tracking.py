"""`--mlflow` and `--wandb`: a run of `kerasmodes train` in a program that keeps runs, too."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jsonargparse

import kerasmodes as km
from kerasmodes.cli import kinds, run_folders
from kerasmodes.cli.flags import add_flag, name_flag

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import keras

FLAGS = {"uri": "mlflow", "mode": "wandb"}  # By the arguments of the callbacks.
# In the folder of a run; what a run does not have is left out.
FILES = (run_folders.CONFIG, "run.json", run_folders.HISTORY, run_folders.CURVES, "samples")


def add_tracking_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flags."""
    title = "tracking"
    words = "Log to MLflow: to its default store, or to a URI."
    add_flag(parser, title, "mlflow", kinds.URI, help=words, nargs="?", const=True)
    words = "Log to W&B: offline in the folder wandb, or online."
    add_flag(parser, title, "wandb", kinds.WANDB_MODE, help=words, nargs="?", const="offline")


def make_run_loggers(
    flags: jsonargparse.Namespace, folder: pathlib.Path
) -> list["keras.callbacks.Callback"]:
    """Returns the callbacks that the flags ask for.

    Args:
        flags: The flags of the command.
        folder: The run's folder, which names the run.

    Raises:
        RuntimeError: If a package is not installed.
    """
    given = {
        "hparams": run_folders.list_settings(flags),
        "files": [folder / name for name in FILES],
    }
    loggers = []
    if flags.mlflow:
        uri = None if flags.mlflow is True else flags.mlflow
        loggers.append(km.callbacks.MLflow(uri, run_name=folder.name, **given))
    if flags.wandb is not None:
        loggers.append(km.callbacks.WandB(flags.wandb, name=folder.name, **given))
    return loggers


@contextlib.contextmanager
def name_stores() -> Iterator[None]:
    """Lets the error of a store that cannot be used name the flag."""
    try:
        yield
    except km.callbacks.run_logger.StoreError as error:
        with name_flag(error.argument, FLAGS[error.argument]):
            raise RuntimeError(str(error)) from error
