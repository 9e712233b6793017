"""`map_shard`: what is expensive is done on each worker for its own examples only.

How batches are cut into shards is not decided here: that is `engine`.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasmodes import replicas

# What rows may be filled with, exact in each kind of float.
NUM_MARKS = 256


def map_shard(
    dataset: tf.data.Dataset,
    map_func: Callable,
    strategy: tf.distribute.Strategy,
    num_parallel_calls: int | None = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Returns a data set of global batches of which each worker prepares its own examples only.

    Every worker of a strategy reads all batches and takes its shard of each, so that a batch is
    that of one device. What is expensive, such as to read and decode an image, would be done by
    all of them for all examples. In `map_func` it is done once. The batches and their order are
    those of one device; on one machine, all examples are prepared.

    The rows of other workers hold a number that follows from the batch: by it the workers notice
    if they shuffle differently. A last batch that cannot be cut into equal shards is prepared as a
    whole by each worker, as it is used.

    Args:
        dataset: A `tf.data.Dataset` of global batches of what `map_func` takes: names of files,
            indices, encoded images. Shuffle it before `batch`, with a seed.
        map_func: Function of one example, as for `tf.data.Dataset.map`. It returns nested dense
            tensors of numbers, of one shape for all examples. Random numbers in it should follow
            from the example, by `tf.random.stateless_uniform` for one.
        strategy: The strategy under which the model is made.
        num_parallel_calls: As in `tf.data.Dataset.map`: examples that are prepared at a time.

    Returns:
        A `tf.data.Dataset` of batches `[B, ...]` of what `map_func` returns.

    Raises:
        TypeError: If the data are no `tf.data.Dataset`.
        ValueError: If they are not batched, or `map_func` returns text or ragged tensors.

    Example:

    ```python
    images = np.random.default_rng(0).uniform(-1, 1, (12, 28, 28, 1)).astype("float32")

    def load(index):  # on two workers, each loads six images in an epoch
        return tf.numpy_function(lambda place: images[place], [index], tf.float32)

    strategy = km.get_strategy("single")  # "multi_worker"
    indices = tf.data.Dataset.range(12).shuffle(12, seed=0).batch(4, drop_remainder=True)
    data = km.data.map_shard(indices, load, strategy)
    ```
    """
    _check_batches(dataset)
    shards, num_shards = replicas.own_shards(strategy), strategy.num_replicas_in_sync

    # As it is: of what TensorFlow converts, it writes files, which a killed program leaves.
    @tf.autograph.experimental.do_not_convert
    def prepare(*batch):
        size = tf.shape(tf.nest.flatten(batch)[0])[0]
        is_cut = size % num_shards == 0
        start = tf.where(is_cut, size // num_shards * shards.start, 0)
        stop = tf.where(is_cut, size // num_shards * shards.stop, size)
        own = tf.nest.map_structure(lambda part: part[start:stop], batch)
        examples = tf.data.Dataset.from_tensor_slices(own if len(own) > 1 else own[0])
        order = {} if num_parallel_calls is None else {"deterministic": True}
        examples = examples.map(map_func, num_parallel_calls, **order)
        _check_examples(examples.element_spec)
        prepared = examples.batch(tf.cast(size, tf.int64)).get_single_element()
        mark = _find_mark(batch)
        return tf.nest.map_structure(
            lambda part: _fill(part, start, size - stop, mark, batch_size), prepared
        )

    batch_size = tf.nest.flatten(dataset.element_spec)[0].shape[0]
    return dataset.map(prepare)


def _check_batches(dataset):
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(
            f"`dataset` must be a tf.data.Dataset. Received: a {type(dataset).__name__}"
        )
    for spec in tf.nest.flatten(dataset.element_spec):
        if not isinstance(spec, tf.TensorSpec) or not spec.shape.rank:
            raise ValueError(
                "`dataset` must be one of global batches: call `.batch(batch_size)` first. "
                f"Received: elements of {dataset.element_spec}"
            )


def _check_examples(structure):
    for spec in tf.nest.flatten(structure):
        if not isinstance(spec, tf.TensorSpec) or spec.dtype == tf.string:
            raise ValueError(
                f"`map_func` must return dense tensors of numbers. Received: {structure}"
            )


def _find_mark(batch):
    """Returns one of `NUM_MARKS` numbers in [0, 1) that follows from a batch."""
    parts = [tf.io.serialize_tensor(part) for part in tf.nest.flatten(batch)]
    number = tf.strings.to_hash_bucket_fast(tf.strings.join(parts), NUM_MARKS)
    return tf.cast(number, tf.float32) / NUM_MARKS


def _fill(part, before, after, mark, batch_size):
    """Returns the rows with others before and after them, which hold a mark, or zero."""
    mark = tf.cast(mark, part.dtype) if part.dtype.is_floating else tf.zeros([], part.dtype)
    padding = [[before, after], *[[0, 0]] * (part.shape.rank - 1)]
    filled = tf.pad(part, padding, constant_values=mark)
    filled.set_shape([batch_size, *part.shape[1:]])
    return filled
