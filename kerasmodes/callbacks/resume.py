"""`Resume`: a run that ended too soon goes on from its last whole epoch.

What is drawn or judged meanwhile is in the other files. With several workers, only the chief
writes.
"""

import pathlib

import keras

from kerasmodes import atomic_files, replicas
from kerasmodes.engine import compile_config, keras_private


class Resume(keras.callbacks.Callback):
    """Keeps after each epoch what a fit needs to go on, and goes on from there when run again.

    The same program, seeded (`keras.utils.set_random_seed`), stopped at any moment and started
    again, ends with the weights of a run that was never stopped: weights, optimizers and the state
    of `km.random` come back, and the data go on with the next epoch's order. What other callbacks
    count (the patience of `EarlyStopping`, say) begins anew. An epoch's file replaces the last one
    whole; the history holds the epochs since the start of the program. With several workers, give
    it to all: the chief writes, and each reads from a folder on a disk that they share.

    Args:
        directory: Folder for the file; made if missing. A new fit needs a new one.

    Raises:
        ValueError: At the start of a fit that must go on, if the model is not built, or an
            optimizer that is not `model.optimizer`.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100, seed=0)
    model = km.SumRegressor()
    model.compile()
    model.fit(x, y, epochs=3, callbacks=[km.callbacks.Resume("progress")])
    ```
    """

    counts_epochs = True  # `fit` asks for it.

    def __init__(self, directory):
        super().__init__()
        if not isinstance(directory, (str, pathlib.Path)) or not str(directory):
            raise ValueError(f"`directory` must name a folder. Received: directory={directory!r}")
        self.directory = pathlib.Path(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"`directory` must be a folder. Received: the file {directory!r}")

    def on_train_begin(self, logs=None):
        kept = self._kept()
        if kept:
            compile_config.load_with_optimizers(self.model, kept[-1])
            keras_private.set_restored_epoch(self.model, _epoch_of(kept[-1]))

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        before = self._kept()
        path = self.directory / f"epoch_{epoch + 1:04d}.weights.h5"
        with atomic_files.atomic_write(path) as temporary:
            self.model.save_weights(temporary)
        for old in before:
            old.unlink()

    def on_train_end(self, logs=None):
        keras_private.set_restored_epoch(self.model, None)

    def _kept(self):
        return sorted(self.directory.glob("epoch_*.weights.h5"), key=_epoch_of)


def _epoch_of(path):
    return int(path.name.removeprefix("epoch_").removesuffix(".weights.h5"))
