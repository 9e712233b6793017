"""The end of a trial, from which the trial that Hyperband promotes continues."""

import json
import pathlib
from typing import Any

import keras
import numpy as np

from kerasmodes import atomic_files
from kerasmodes.engine import keras_private, model_state, optimizers, packing, random_states
from kerasmodes.tuning.trial_batches import TrialBatches

WEIGHTS, OTHERS = "last_epoch.weights.h5", "last_epoch.npz"
SURROUNDINGS = "last_epoch_surroundings.npz"  # What does not belong to the model.


class SaveLastEpoch(keras.callbacks.Callback):
    """Saves where a fit's last epoch ends, after all other callbacks.

    keras-tuner keeps the best epoch alone. At the end of the training it is too late: an optimizer
    with `use_ema` has put averages in the place of the weights.

    Args:
        folder: Path of the folder of the trial.
        batches: The `TrialBatches` of the trial.
    """

    def __init__(self, folder: pathlib.Path, batches: TrialBatches):
        super().__init__()
        self.folder, self.batches = folder, batches

    def on_epoch_end(self, epoch, logs=None):
        epochs = (self.params or {}).get("epochs", 0)  # A loop of one's own may not tell.
        if epoch + 1 < epochs and not self.model.stop_training:
            return
        save_last_epoch(self.model, self.folder)
        state = {
            "random": random_states.read(),
            "keras_seed": keras_private.read_global_seed(),
            "batches": self.batches.find_changes(),
        }
        _write_surroundings(self.folder / SURROUNDINGS, state)


class ContinueLastEpoch(keras.callbacks.Callback):
    """Restores what `SaveLastEpoch` has saved beside the model, before all other callbacks.

    It is done as the first epoch begins: to begin a fit takes random numbers and reads data.

    Args:
        folder: Path of the folder of the trial that is continued.
        batches: The `TrialBatches` of this trial.
        epoch: The first epoch.
    """

    def __init__(self, folder: pathlib.Path, batches: TrialBatches, epoch: int):
        super().__init__()
        self.folder, self.batches, self.epoch = folder, batches, epoch
        self._random_before = None

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.epoch:
            return
        state = _read_surroundings(self.folder / SURROUNDINGS)
        self.batches.restore_changes(state["batches"])
        keras_private.set_global_seed(state["keras_seed"])
        self._random_before = random_states.read()
        random_states.restore(state["random"])

    def on_train_end(self, logs=None):
        # Otherwise the next trial without a seed would begin as that which came after the other.
        if self._random_before is not None:
            random_states.restore(self._random_before)


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


def _write_surroundings(path, state):
    arrays = []
    words = json.dumps(packing.pack(state, arrays))
    arrays.append(np.frombuffer(words.encode(), np.uint8))
    with atomic_files.atomic_write(path) as temporary:
        packing.write_arrays(temporary, arrays)


def _read_surroundings(path):
    if not path.is_file():
        raise ValueError(
            "A trial that Hyperband promotes must have ended with this version of kerasmodes. "
            f"Received: {path.parent}, without {path.name}. Start the search from scratch with "
            "`overwrite=True`."
        )
    *arrays, words = packing.read_arrays(path)
    return packing.unpack(json.loads(words.tobytes().decode()), arrays)


def _list_others(model):
    """Returns the variables that files of weights leave out: of random numbers, say."""
    state = model_state.ModelState(model, (model_state.OTHER,))
    return [part for variable in state.variables for part in variable.parts]
