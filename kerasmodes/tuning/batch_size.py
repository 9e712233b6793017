"""`BatchSize`: a batch size, and a mode, beside what else a search tunes of a model.

What each model of the package tunes besides is in `sum_regressor.py` and `msg_gan.py`; how a trial
fails, in `checked_hypermodel.py`.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner
import tensorflow as tf

from kerasmodes.engine import datasets
from kerasmodes.modes import MODES
from kerasmodes.tuning import checked_hypermodel, ranges


class BatchSize(checked_hypermodel.CheckedHyperModel):
    """Lets a search choose the batch size, and if asked the mode, of any model.

    Each trial sees the same examples in the same order, in batches of its own size; so does a trial
    that Hyperband promotes.

    Args:
        hypermodel: A function that builds and compiles a model of hyperparameters, or a
            `keras_tuner.HyperModel`. A subclass that overrides `build` gives none.
        choices: Positive ints, the batch sizes to choose from.
        modes: Modes to choose from, for models with modes; empty leaves each model its own.
            Numbers do not depend on the mode: this is to compare the time of trials.

    Raises:
        ValueError: If a choice is no batch size or no mode.

    Example:

    ```python
    def build_model(hp):
        model = km.SumRegressor([hp.Int("units", 4, 8)])
        model.compile("adam", "mean_squared_error", mode="graph")
        return model

    x, y = km.data.sums(100)
    hypermodel = km.tuning.BatchSize(build_model, choices=(10, 20))
    tuner = km.tuning.search(
        hypermodel, max_trials=2, epochs=1, directory="own", x=x, y=y, validation_split=0.2
    )
    ```
    """

    def __init__(
        self,
        hypermodel: Callable | keras_tuner.HyperModel | None = None,
        choices: int | Sequence[int] = (16, 32, 64, 128),
        modes: str | Sequence[str] = (),
    ):
        super().__init__(hypermodel)
        self.choices = ranges.read_sizes("choices", choices)
        self.modes = ranges.read_names("modes", modes, MODES) if modes else ()
        self._counted = None, None  # A data set, and the examples in it.

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        # The first trial draws only what is declared before `fit`.
        super().declare_hyperparameters(hp)
        hp.Choice("batch_size", list(self.choices))
        if self.modes:
            hp.Choice("mode", list(self.modes))

    def run_fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Fits a model with the batch size, and in the mode, that were drawn.

        Args:
            hp: The hyperparameters of the trial.
            model: A compiled model.
            *args: Passed to the model's `fit`, as are the keyword arguments. `x` must be arrays; a
                `tf.data.Dataset` of batches, which is batched again; or a function of `batch_size`
                that returns a new data set, such as `functools.partial(km.data.images, seed=0)`.
            **kwargs: See `*args`.

        Raises:
            ValueError: If `batch_size` is given, or two choices hold all examples.
            TypeError: If `x` cannot be batched, or the model has no modes to choose from.
        """
        batch_size = hp.Choice("batch_size", list(self.choices))
        if self.modes:
            _check_has_modes(model)
            model.set_mode(hp.Choice("mode", list(self.modes)))
        # Keras's own signature: a model's `fit` may take anything and pass it to Keras.
        given = inspect.signature(keras.Model().fit).bind(*args, **kwargs).arguments
        self._check_sizes(hp, given)
        batched = self._add_batch_size(given, batch_size)
        if isinstance(batched["x"], tf.data.Dataset):
            place = batched.get("initial_epoch", 0), batched.get("steps_per_epoch")
            if callable(given["x"]):
                batched["x"] = checked_hypermodel.skip_to_epoch(batched["x"], *place)
            else:
                batched["x"] = self.restore_order(given["x"], batched["x"], *place)
            batched = {"shuffle": False, **batched}  # Keras warns of shuffle=True.
        return self.call_fit(hp, model, **batched)

    def _check_sizes(self, hp, given):
        """Raises if several batch sizes of the space hold all examples: their trials are equal."""
        count = self._count_training_examples(given)
        choices = [one for one in hp.space if one.name == "batch_size"]
        sizes = sorted({size for one in choices for size in getattr(one, "values", ())})
        if count is not None and len(sizes) > 1 and sizes[-2] >= count:
            raise ValueError(
                f"`batch_size` must have at most one choice of {count} or more, the number of "
                f"training examples: trials of two are equal. Received: choices={sizes}"
            )

    def _count_training_examples(self, given):
        """Returns their number, or `None` if it is unknown."""
        x = given.get("x")
        if isinstance(x, tf.data.Dataset):
            return self._count(x)
        leaves = [] if callable(x) else keras.tree.flatten(x)
        if not leaves or not len(getattr(leaves[0], "shape", ())):
            return None
        # As in Keras.
        return math.floor(leaves[0].shape[0] * (1.0 - (given.get("validation_split") or 0.0)))

    def _add_batch_size(self, given, batch_size):
        """Returns the arguments of `fit`, a dict, with this batch size."""
        if given.get("batch_size") is not None:
            raise ValueError(
                "`batch_size` must be left to the tuner; to fix it, give one choice, or "
                "hyperparameters with Fixed('batch_size', ...). Received: "
                f"batch_size={given['batch_size']!r}"
            )
        x = given.get("x")
        if isinstance(x, tf.data.Dataset):
            return {**given, "x": self._batch_again(x, batch_size)}
        if callable(x):
            made = x(batch_size=batch_size)
            if not isinstance(made, tf.data.Dataset):
                raise TypeError(
                    "`x`, a function of `batch_size`, must return a tf.data.Dataset. "
                    f"Received: a {type(made).__name__}"
                )
            return {**given, "x": made}
        leaves = keras.tree.flatten(x)
        if not leaves or not all(hasattr(leaf, "shape") for leaf in leaves):
            raise TypeError(
                "`x` must be arrays or a tf.data.Dataset, which can be batched again, or a "
                "function of `batch_size` that returns a tf.data.Dataset. "
                f"Received: x={type(x).__name__}"
            )
        return {**given, "batch_size": batch_size}

    def _count(self, dataset):
        if self._counted[0] is not dataset:
            self._counted = dataset, _count_examples(dataset)
        return self._counted[1]

    def _batch_again(self, dataset, batch_size):
        count = self._count(dataset)
        is_even = count is not None and count % batch_size == 0
        batches = dataset.rebatch(batch_size, drop_remainder=is_even)
        if count is None:
            return batches
        # `rebatch` loses the length, and Keras warns when such a data set ends.
        length = tf.data.experimental.assert_cardinality(-(-count // batch_size))
        return batches.apply(length)


def _check_has_modes(model):
    if not hasattr(model, "set_mode"):
        raise TypeError(
            "`modes` needs a model with modes: build a km.Model, or return km.with_modes(model). "
            f"Received: a {type(model).__name__}"
        )


def _count_examples(dataset):
    """Returns the examples of a data set of batches, or `None` if that is unknown or endless.

    Only a data set whose batches may differ in size is read, once.
    """
    count = int(dataset.unbatch().cardinality())
    if count >= 0 or datasets.count_batches(dataset) is None:
        return count if count >= 0 else None

    def add(total, batch):
        return total + tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]

    return int(dataset.reduce(tf.constant(0, tf.int64), add))
