"""The end of a trial, from which the trial that Hyperband promotes continues."""

import pathlib
from typing import Any

import keras
import numpy as np

from kerasmodes import atomic_files
from kerasmodes.engine import model_state, optimizers

WEIGHTS, OTHERS = "last_epoch.weights.h5", "last_epoch.npz"


class SaveLastEpoch(keras.callbacks.Callback):
    """Saves a model at the end of a fit's last epoch; keras-tuner keeps the best epoch alone.

    At the end of the training it is too late: an optimizer with `use_ema` has put averages in the
    place of the weights.

    Args:
        folder: Path of the folder of the trial.
    """

    def __init__(self, folder: pathlib.Path):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 < self.params["epochs"] and not self.model.stop_training:
            return
        save_last_epoch(self.model, self.folder)


def save_last_epoch(model: keras.Model, folder: pathlib.Path) -> None:
    """Saves all variables of a model, for `restore_last_epoch`.

    Args:
        model: A model that has trained.
        folder: Path of the folder of the trial.
    """
    values = [part.numpy() for part in _list_others(model)]
    with atomic_files.atomic_write(folder / OTHERS) as path, path.open("wb") as file:
        np.savez(file, *values)
    with atomic_files.atomic_write(folder / WEIGHTS) as path:
        model.save_weights(path)


def restore_last_epoch(
    model: keras.Model, folder: pathlib.Path, build_config: dict[str, Any]
) -> None:
    """Gives a model what `save_last_epoch` has saved of one like it.

    Args:
        model: A model; it is built, if it is not.
        folder: Path of the folder of the trial.
        build_config: The trained model's `get_build_config()`.

    Raises:
        ValueError: If an optimizer is not built, or a variable of the trial is missing.
    """
    if not model.built:
        model.build_from_config(build_config)
    optimizers.load_with_optimizers(model, folder / WEIGHTS)
    parts = _list_others(model)
    with np.load(folder / OTHERS) as file:
        values = [file[name] for name in file.files]
    if len(values) != len(parts):
        raise ValueError(
            "A model must make all of its variables when it is built, for Hyperband to continue "
            f"its training. Received: {len(parts)} that are no weights, of {len(values)}"
        )
    for part, value in zip(parts, values, strict=True):
        part.assign(value.view(part.dtype.as_numpy_dtype))  # NumPy's files know no bfloat16.


def _list_others(model):
    """Returns the variables that files of weights leave out: of random numbers, say."""
    state = model_state.ModelState(model, (model_state.OTHER,))
    return [part for variable in state.variables for part in variable.parts]
