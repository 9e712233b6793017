"""What every trial of a search needs: the same order of the data, and numbers that are numbers.

Which trials run is keras-tuner's; how a search begins, `tuners.py`.
"""

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.errors import FailedTrialError

from kerasmodes.engine import datasets, saving


class CheckedHyperModel(keras_tuner.HyperModel):
    """A hypermodel whose trials fail if a number is not finite, and whose data set starts again.

    Args:
        hypermodel: A function that builds and compiles a model of hyperparameters, or a
            `keras_tuner.HyperModel`; `None` in a subclass that overrides `build`.
    """

    def __init__(self, hypermodel: Callable | keras_tuner.HyperModel | None = None):
        super().__init__()
        self.hypermodel = hypermodel
        self._start = None, None  # A data set, and the position that it had at the first trial.

    @property
    def has_own_results(self) -> bool:
        """Whether a `fit` of the user's own decides what is scored, not the logs."""
        return self._find_own_fit() is not None

    @property
    def calls_fit(self) -> bool:
        """Whether a trial calls a `fit`, as far as the code shows: a loop of one's own may not."""
        code = getattr(self._find_own_fit(), "__code__", None)
        return code is None or "fit" in code.co_names

    def _find_own_fit(self):
        """Returns the `fit` of a subclass, or of the given hypermodel; `None` if it is Keras's."""
        not_own = (None, keras_tuner.HyperModel.fit, CheckedHyperModel.fit)
        found = (getattr(type(one), "fit", None) for one in (self, self.hypermodel))
        return next((fit for fit in found if fit not in not_own), None)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        inner = self.hypermodel
        return inner.build(hp) if isinstance(inner, keras_tuner.HyperModel) else inner(hp)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        if isinstance(self.hypermodel, keras_tuner.HyperModel):
            self.hypermodel.declare_hyperparameters(hp)

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Fits a model of a trial and returns what its hypermodel's `fit` returns.

        Raises:
            FailedTrialError: If a number in the history or a weight is not finite.
        """
        results = self.run_fit(hp, model, *args, **kwargs)
        check_finite(results, model)
        return results

    def run_fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Fits a model with the arguments as they are."""
        x = kwargs.get("x")  # `search` gives it by its name.
        if isinstance(x, tf.data.Dataset):
            place = kwargs.get("initial_epoch", 0), kwargs.get("steps_per_epoch")
            # Keras warns of shuffle=True.
            kwargs = {"shuffle": False, **kwargs, "x": self.restore_order(x, x, *place)}
        return self.call_fit(hp, model, *args, **kwargs)

    def call_fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Calls the given hypermodel's `fit`, or that of the model."""
        if isinstance(self.hypermodel, keras_tuner.HyperModel):
            return self.hypermodel.fit(hp, model, *args, **kwargs)
        return model.fit(*args, **kwargs)

    def restore_order(
        self,
        source: tf.data.Dataset,
        dataset: tf.data.Dataset,
        epoch: int,
        steps_per_epoch: int | None = None,
    ) -> tf.data.Dataset:
        """Gives each trial the same order in the same epoch, and one that Hyperband promotes too.

        Args:
            source: The data set of the search.
            dataset: That of a trial, made from it.
            epoch: The epoch with which the trial begins.
            steps_per_epoch: That of `fit`.

        Returns:
            What a fit from that epoch on reads.
        """
        if self._start[0] is not source:
            try:
                self._start = source, datasets.DataStart(source)
            except ValueError:  # It draws its own numbers: its orders cannot be restored.
                self._start = source, None
        if self._start[1] is not None:
            self._start[1].restore(source)
        return skip_to_epoch(dataset, epoch, steps_per_epoch)


def skip_to_epoch(
    dataset: tf.data.Dataset, epoch: int, steps_per_epoch: int | None = None
) -> tf.data.Dataset:
    """Returns what a fit from an epoch on reads to see what one from the beginning sees there.

    Args:
        dataset: A `tf.data.Dataset` that no fit has read.
        epoch: The epoch.
        steps_per_epoch: That of `fit`: a pass over the data then lasts several epochs.
    """
    num_batches = datasets.count_batches(dataset)
    if steps_per_epoch is None:
        datasets.skip_epochs(dataset, epoch, num_batches)
        return dataset
    if num_batches is None:
        return dataset.skip(epoch * steps_per_epoch)
    num_passes, epoch = divmod(epoch, -(-num_batches // steps_per_epoch))
    datasets.skip_epochs(dataset, num_passes, None)
    if not epoch:
        return dataset
    return dataset.skip(epoch * steps_per_epoch).concatenate(dataset.repeat())


def check_finite(results: Any, model: keras.Model) -> None:
    """Fails a trial that has seen a number which is not finite.

    Args:
        results: What `fit` has returned: a `History`, a dict of numbers or a number, or a list of
            these.
        model: The model after `fit`.

    Raises:
        FailedTrialError: If one of the results, in any epoch, or a weight is not finite.
    """
    for one in results if isinstance(results, list) else [results]:
        _check_results(one)
    broken = saving.find_broken_weight(model)
    if broken is not None:
        raise FailedTrialError(
            f"All numbers must be finite. Received: weight {broken!r} with NaN or infinity"
        )


def _check_results(results):
    for name, values in _list_results(results).items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(values, "float64").reshape(-1)))
        if bad.size:
            raise FailedTrialError(
                f"All numbers must be finite. Received: {name}={np.ravel(values)[bad[0]]} in "
                f"epoch {bad[0] + 1} of the trial."
            )


def _list_results(results):
    if results is None:  # keras-tuner says what is missing.
        return {}
    if isinstance(results, keras.callbacks.History):
        return results.history
    return results if isinstance(results, dict) else {"objective": results}
