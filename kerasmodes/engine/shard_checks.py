"""What data and models must be like to be shared out to several replicas; checked before they run.

How they run is in `replication.py`.
"""

import zlib

import keras
import tensorflow as tf

from kerasmodes import arguments, replicas
from kerasmodes.engine import keras_private, super_batches

# In the place of a number that follows from a batch.
NOT_MARKED = -1


class ShardCheck:
    """Watches a pass over the data: whether its batches can be cut into equal shards.

    The last one need not: each replica is then given all of it.
    """

    def __init__(self, strategy):
        self._strategy = strategy
        self._num_workers = replicas.num_workers(strategy)
        self._left_over = None
        self._is_first = True

    def check(self, ranges: list) -> None:
        """Raises a `ValueError` before ranges of batches run that cannot be cut."""
        if self._strategy.num_replicas_in_sync == 1:
            return
        for super_batch, start, stop in ranges:
            size = next(part for part in tf.nest.flatten(super_batch) if part is not None).shape[1]
            if self._left_over is None and size % self._strategy.num_replicas_in_sync:
                self._left_over, start = size, start + 1
            if self._left_over is not None and start < stop:
                _raise_size_error(self._left_over, self._strategy.num_replicas_in_sync)
        if self._num_workers > 1 and self._is_first:
            _check_same_data(self._strategy, next(super_batches.iterate_batches(ranges)))
        self._is_first = False


def check_scope(model: keras.Model) -> None:
    """Raises a `ValueError` if a model of one device is to run on several replicas."""
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1 and keras_private.find_own_strategy(model) is not strategy:
        raise ValueError(
            "A model must be made, and compiled, in the scope of the strategy that it runs under. "
            f"Received: a model made outside it, under {strategy.num_replicas_in_sync} replicas. "
            "Put both under `with strategy.scope():`."
        )


def check_batch_size(strategy: tf.distribute.Strategy, batch_size: int | None) -> None:
    """Raises a `ValueError` if batches of that size, or `None`, cannot be cut into equal shards."""
    if batch_size is not None:
        arguments.check_positive_integers(batch_size=batch_size)
    if batch_size and batch_size % strategy.num_replicas_in_sync:
        _raise_size_error(batch_size, strategy.num_replicas_in_sync)


def check_same_source(strategy: tf.distribute.Strategy, num_examples: int, form: str) -> None:
    """Raises a `ValueError` on every worker if their sources have other examples.

    Args:
        strategy: Where the replicas run.
        num_examples: Examples in this worker's source.
        form: What an example of it looks like.
    """
    if replicas.num_workers(strategy) == 1:
        return
    own = tf.stack([num_examples, zlib.crc32(form.encode())])
    sources = replicas.gather_numbers(strategy, tf.cast(own, tf.int64))
    if len(set(map(tuple, sources.tolist()))) > 1:
        raise ValueError(
            "`source` must have the same examples on each worker. Received: sources of "
            f"{sorted(set(sources[:, 0].tolist()))} examples, this worker's of {num_examples}, "
            f"each of {form}"
        )


def _raise_size_error(size, num_replicas):
    below = size - size % num_replicas
    fitting = " or ".join(str(fit) for fit in (below, below + num_replicas) if fit)
    raise ValueError(
        f"`batch_size`, of the global batch, must be divisible by the {num_replicas} replicas, "
        f"but for the last batch of a pass. Received: batch_size={size}. Use {fitting}."
    )


def _check_same_data(strategy, batch):
    """Raises on every worker if the workers do not begin a pass with the same global batch."""
    parts = [part for part in tf.nest.flatten(batch) if part is not None]
    marks = _find_marks(parts, strategy)
    numbers = tf.stack([_hash(parts), NOT_MARKED if marks is None else _hash(marks)])
    gathered = replicas.gather_numbers(strategy, numbers).tolist()
    batches, marks = map(set, zip(*gathered, strict=True))
    if len(batches) > 1 and (len(marks) > 1 or NOT_MARKED in marks):
        raise ValueError(
            "Each worker must be given the same batches in the same order, of which it takes its "
            f"shard. Received: {len(batches)} different first batches. Shuffle with a seed, "
            "or call keras.utils.set_random_seed first."
        )


def _find_marks(parts, strategy):
    """Returns, of each part of a batch, what the rows of other workers are filled with.

    `None` if they hold more than that, as all do that `km.data.map_shard` has not made.
    """
    shards, size = replicas.own_shards(strategy), len(parts[0]) // strategy.num_replicas_in_sync
    marks = []
    for part in parts:
        others = tf.concat([part[: shards.start * size], part[shards.stop * size :]], 0)
        values = tf.reshape(others, [-1])
        if not tf.reduce_all(tf.equal(values, values[:1])):
            return None
        marks.append(values[:1])
    return marks


def _hash(tensors):
    parts = [tf.io.serialize_tensor(tensor) for tensor in tensors]
    return tf.strings.to_hash_bucket_fast(tf.strings.join(parts), 2**62)
