"""`BatchSizeHyperModel`: what both search spaces share, a batch size that the tuner draws.

What each model tunes besides is in `sum_regressor.py` and `msg_gan.py`.
"""

import inspect

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.errors import FailedTrialError, FatalTypeError, FatalValueError

from kerasmodes.engine import datasets


class BatchSizeHyperModel(keras_tuner.HyperModel):
    """Draws `batch_size` in `fit`. Wrong data end the search; divergence fails only its trial.

    A subclass sets `batch_sizes`, the choices, and writes `build`.
    """

    batch_sizes = ()
    # The data set of the search, and the position that it had at the start.
    _data = None, None

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        # The first trial draws only what is declared before `fit`.
        hp.Choice("batch_size", self.batch_sizes)

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args, **kwargs
    ) -> keras.callbacks.History:
        """Fits a model with the batch size that was drawn and returns its history.

        Args:
            hp: The hyperparameters of the trial.
            model: A compiled model.
            *args: Passed to the model's `fit`, as are the keyword arguments. `x` must be an array
                or a `tf.data.Dataset` of batches, which is batched again.
            **kwargs: See `*args`.

        Raises:
            FatalValueError: A `ValueError` that ends the search: `fit` refuses an argument.
            FatalTypeError: The same, a `TypeError`.
            FailedTrialError: If the loss is not finite, or the data are fewer than one batch.
        """
        batch_size = hp.Choice("batch_size", self.batch_sizes)
        try:
            # Keras's own signature: a model's `fit` may take anything and pass it to Keras.
            arguments = inspect.signature(keras.Model().fit).bind(*args, **kwargs).arguments
            batched = _add_batch_size(arguments, batch_size)
            if isinstance(arguments["x"], tf.data.Dataset):
                self._restore_order(arguments["x"], batched)
            history = model.fit(**batched)
        except ValueError as error:
            raise FatalValueError(str(error)) from error
        except TypeError as error:
            raise FatalTypeError(str(error)) from error
        if all(name.startswith("val_") for name in history.history):
            raise FailedTrialError(f"The data set has fewer examples than {batch_size=}.")
        for name, values in history.history.items():
            if not np.isfinite(values).any():  # keras-tuner fails on NaN, but scores infinity.
                raise FailedTrialError(f"Training diverged: {name}={values[-1]}.")
        return history

    def _restore_order(self, dataset, arguments):
        """Gives each trial the same order in the same epoch, and one that Hyperband promotes too.

        Args:
            dataset: The `tf.data.Dataset` of the search.
            arguments: Arguments of `fit`, in which `x` is the data set batched for this trial.
        """
        if self._data[0] is not dataset:
            try:
                self._data = dataset, datasets.DataStart(dataset)
            except ValueError:  # It draws its own numbers: its orders cannot be restored.
                self._data = dataset, None
        start = self._data[1]
        if start is not None:
            batched = arguments["x"]
            start.restore(dataset)
            datasets.skip_epochs(
                batched, arguments.get("initial_epoch", 0), datasets.count_batches(batched)
            )


def _add_batch_size(arguments, batch_size):
    """Returns the arguments of `fit`, a dict, with this batch size."""
    if arguments.get("batch_size") is not None:
        raise ValueError(
            "`batch_size` must be left to the tuner; to fix it, give the tuner hyperparameters "
            f"with Fixed('batch_size', ...). Received: batch_size={arguments['batch_size']!r}"
        )
    x = arguments.get("x")
    if isinstance(x, tf.data.Dataset):
        batches = x.rebatch(batch_size, drop_remainder=True)
        count = int(x.unbatch().cardinality())
        if count >= 0:  # `rebatch` loses the length, and Keras warns when such a data set ends.
            batches = batches.apply(tf.data.experimental.assert_cardinality(count // batch_size))
        return {"shuffle": False, **arguments, "x": batches}  # Keras warns of shuffle=True, too.
    if not hasattr(x, "shape"):
        raise TypeError(f"`x` must be an array or tf.data.Dataset. Received: x={type(x).__name__}")
    return {**arguments, "batch_size": batch_size}
