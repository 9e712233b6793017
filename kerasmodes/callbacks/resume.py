"""`Resume`: a stopped run resumes after its last complete epoch.

With several workers, only the chief writes.
"""

import pathlib
import tempfile
import warnings

import keras

from kerasmodes import atomic_files, replicas
from kerasmodes.engine import keras_private, optimizers, saving


class Resume(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, and resumes from it when the program is run again.

    A seeded program (`keras.utils.set_random_seed`) may be stopped at any moment and started again:
    it ends with the weights of a run that was never stopped. Weights, optimizers and the state of
    `km.random` are restored, and the data continue with the next epoch's order. The counts of other
    callbacks (for example the patience of `EarlyStopping`) start again from zero. The checkpoint of
    an epoch replaces the previous one by an atomic write, unless a weight is not finite. The
    history holds the epochs since the start of the program. With several workers, give this
    callback to all: the chief writes, and each reads from a folder on a disk that they share.

    Args:
        directory: Folder for the checkpoint; made if missing. A new fit needs a new folder.

    Raises:
        ValueError: If `directory` is no folder, or none to write to; at the start of a fit that
            resumes, if the model is not built, or an optimizer that is not `model.optimizer`.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100, seed=0)
    model = km.SumRegressor()
    model.compile()
    model.fit(x, y, epochs=3, callbacks=[km.callbacks.Resume("progress")])
    ```
    """

    counts_epochs = True  # `fit` asks for it.

    def __init__(self, directory: str | pathlib.Path):
        super().__init__()
        if not isinstance(directory, (str, pathlib.Path)) or not str(directory):
            raise ValueError(f"`directory` must name a folder. Received: directory={directory!r}")
        self.directory = pathlib.Path(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"`directory` must be a folder. Received: the file {directory!r}")

    def on_train_begin(self, logs=None):
        if replicas.is_chief(self.model.distribute_strategy):
            self._prepare_folder()
        checkpoints = self._list_checkpoints()
        if checkpoints:
            optimizers.load_with_optimizers(self.model, checkpoints[-1])
            keras_private.set_restored_epoch(self.model, _parse_epoch(checkpoints[-1]))

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        broken = saving.find_broken_weight(self.model)
        if broken is not None:
            warnings.warn(
                f"No checkpoint of epoch {epoch + 1}: the weight {broken!r} is not finite. The "
                "checkpoint before stays.",
                stacklevel=2,
            )
            return
        old_checkpoints = self._list_checkpoints()
        path = self.directory / f"epoch_{epoch + 1:04d}.weights.h5"
        with atomic_files.atomic_write(path) as temporary:
            self.model.save_weights(temporary)
        for checkpoint in old_checkpoints:
            checkpoint.unlink()

    def on_train_end(self, logs=None):
        keras_private.set_restored_epoch(self.model, None)

    def _prepare_folder(self):
        """Makes the folder, and notices before the first epoch if it cannot be written to."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            atomic_files.remove_parts(self.directory)
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except OSError as error:
            raise ValueError(
                f"`directory` must be a folder to write to. Received: {str(self.directory)!r}, "
                f"{error}"
            ) from error

    def _list_checkpoints(self):
        return sorted(self.directory.glob("epoch_*.weights.h5"), key=_parse_epoch)


def _parse_epoch(path):
    return int(path.name.removeprefix("epoch_").removesuffix(".weights.h5"))
