"""What a `tf.data.Dataset` is told, and where its orders stand; how it is read is in `readers.py`.

A data set that shuffles in another order each time counts its iterators, in all data sets that are
made from it. The count is not to be had, but the state of an iterator holds it.
"""

import shutil
import tempfile
import weakref

import tensorflow as tf


class DataStart:
    """Where a data set stands now, to go back there later.

    Args:
        dataset: A `tf.data.Dataset`, or one from which that of a fit is made.

    Raises:
        ValueError: If it draws random numbers outside of `shuffle`, which are never the same again.
    """

    def __init__(self, dataset):
        folder = tempfile.mkdtemp(prefix="data-start-")
        weakref.finalize(self, shutil.rmtree, folder)
        try:
            self._path = tf.train.Checkpoint(iterator=iter(dataset)).write(f"{folder}/iterator")
        except tf.errors.FailedPreconditionError as error:
            raise ValueError(
                "`dataset` must draw no random numbers but those of `shuffle`, to be read again "
                f"in the same order. Received: {error.message}. Use tf.random.stateless_uniform "
                "and its like, with a seed from `Dataset.random(seed)` or `enumerate`."
            ) from error

    def restore(self, dataset: tf.data.Dataset) -> None:
        """Makes the next orders of this data set those that followed when it stood at the start."""
        tf.train.Checkpoint(iterator=iter(dataset)).read(self._path)


def disable_autotuner(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the data set without tf.data's autotuner, unless the user has set that option.

    An iterator of TensorFlow 2.21 is destroyed only when its autotuner wakes up next, up to as long
    after the end of an epoch as the epoch took, or a minute. What is given as `AUTOTUNE` still runs
    in parallel, as wide as the machine.
    """
    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def skip_epochs(dataset: tf.data.Dataset, number: int, num_batches: int | None) -> None:
    """Lets a data set stand where it does after some epochs of `fit`, by making their iterators.

    Args:
        dataset: A `tf.data.Dataset`.
        number: Epochs, each over the whole data set.
        num_batches: Batches in it, or `None` if that is unknown: an epoch then makes one iterator,
            otherwise two, as in Keras.
    """
    for _ in range(number if num_batches is None else 2 * number):
        iter(dataset)


def count_batches(dataset: tf.data.Dataset) -> int | None:
    """Returns the batches of a data set, or `None` if they are unknown or without end."""
    cardinality = int(dataset.cardinality())
    return None if cardinality < 0 else cardinality
