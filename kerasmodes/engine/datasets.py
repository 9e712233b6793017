"""What a `tf.data.Dataset` is told, and where it stands; how it is read is in `readers.py`.

A data set that shuffles in another order each time counts its iterators, in all data sets that are
made from it. The count is not to be had, but the state of an iterator holds it.
"""

import pathlib
import tempfile
from typing import Any

import tensorflow as tf

ITERATOR = "iterator"  # The name of the files that hold the place of one.
# More would take longer to write, each time, than to read the data again, once.
MOST_ITERATOR_BYTES = 2**28

STATELESS = (tf.errors.FailedPreconditionError, tf.errors.UnimplementedError)
# Batches that a pipeline may read ahead.
MOST_READ_AHEAD = 256


class DataStart:
    """Where a data set stands now, to go back there later.

    Args:
        dataset: A `tf.data.Dataset`, or one from which that of a fit is made.

    Raises:
        ValueError: If it draws random numbers outside of `shuffle`, which are never the same again.
    """

    def __init__(self, dataset):
        try:
            # In memory: a program that is killed would leave the files.
            with tempfile.TemporaryDirectory(prefix="data-start-") as folder:
                tf.train.Checkpoint(iterator=iter(dataset)).write(f"{folder}/{ITERATOR}")
                self._files = {one.name: one.read_bytes() for one in pathlib.Path(folder).iterdir()}
        except tf.errors.FailedPreconditionError as error:
            raise ValueError(
                "`dataset` must draw no random numbers but those of `shuffle`, to be read again "
                f"in the same order. Received: {error.message}. Use tf.random.stateless_uniform "
                "and its like, with a seed from `Dataset.random(seed)` or `enumerate`."
            ) from error

    def restore(self, dataset: tf.data.Dataset) -> None:
        """Makes the next orders of this data set those that followed when it stood at the start."""
        with tempfile.TemporaryDirectory(prefix="data-start-") as folder:
            for name, content in self._files.items():
                pathlib.Path(folder, name).write_bytes(content)
            tf.train.Checkpoint(iterator=iter(dataset)).read(f"{folder}/{ITERATOR}")


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


def save_iterator(iterator: Any, folder: pathlib.Path) -> str | None:
    """Writes the place of an iterator; returns why it has none to be saved, or `None`.

    What it has read ahead, the buffer of a `shuffle` say, is written with it.
    """
    if not isinstance(iterator, tf.data.Iterator):
        return "the data set is distributed"
    try:
        tf.train.Checkpoint(iterator=iterator).write(str(folder / ITERATOR))
    except STATELESS as error:
        _remove_iterator(folder)
        return _explain(error)
    num_bytes = sum(path.stat().st_size for path in folder.glob(f"{ITERATOR}.*"))
    if num_bytes <= MOST_ITERATOR_BYTES:
        return None
    _remove_iterator(folder)
    return f"its place, with what it has read ahead, takes {num_bytes >> 20} MB"


def find_end_of_pass(dataset: tf.data.Dataset, num_taken: int) -> str | None:
    """Returns why the place in the first pass over a data set cannot be restored, or `None`.

    Where the data have ended for what reads ahead, TensorFlow restores an iterator as one more
    than there were: if it is the first, orders that change with each one would be others.
    """
    cardinality = int(dataset.cardinality())
    is_endless = cardinality == tf.data.INFINITE_CARDINALITY
    if is_endless or cardinality - num_taken > MOST_READ_AHEAD:
        return None
    return "the first pass may have ended for what reads ahead, and tf.data would lose count"


def restore_iterator(iterator: Any, folder: pathlib.Path) -> str | None:
    """Moves a new iterator of the same data set to the place that `save_iterator` has written.

    Returns why it has no place, or `None`: where the data had ended, that shows only now.
    """
    try:
        tf.train.Checkpoint(iterator=iterator).read(str(folder / ITERATOR)).assert_consumed()
    except STATELESS as error:
        return _explain(error)
    return None


def _explain(error):
    # "{{function_node ...}} PyFunc is stateful. [Op:SerializeIterator] name: "
    words = error.message.rpartition("}} ")[2].partition(" [")[0]
    return f"tf.data cannot save its place: {words.rstrip('.')}"


def _remove_iterator(folder):
    for path in folder.glob(f"{ITERATOR}.*"):
        path.unlink()


def count_batches(dataset: tf.data.Dataset) -> int | None:
    """Returns the batches of a data set, or `None` if they are unknown or without end."""
    cardinality = int(dataset.cardinality())
    return None if cardinality < 0 else cardinality
