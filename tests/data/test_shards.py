"""Tests of `map_shard` on one machine; those with real workers are in `tests/test_workers.py`."""

import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

ONE_DEVICE = tf.distribute.get_strategy()


def test_on_one_machine_all_examples_are_prepared(two_replicas):
    pairs = tf.data.Dataset.from_tensor_slices({"a": np.arange(5.0), "b": np.arange(5)}).batch(2)
    for strategy in (ONE_DEVICE, two_replicas):
        data = km.data.map_shard(pairs, lambda one: (one["a"] + 1, one["b"] > 2), strategy)
        batches = list(data.as_numpy_iterator())
        np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), np.arange(5.0) + 1)
        np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), np.arange(5) > 2)


@pytest.mark.parametrize("num_parallel_calls", [None, 2])
def test_examples_may_be_prepared_one_by_one_or_several_at_a_time(num_parallel_calls):
    batches = tf.data.Dataset.range(6).batch(3)
    data = km.data.map_shard(batches, lambda one: one * 2, ONE_DEVICE, num_parallel_calls)
    assert [list(batch) for batch in data.as_numpy_iterator()] == [[0, 2, 4], [6, 8, 10]]


def test_the_sizes_that_are_known_are_kept():
    batches = tf.data.Dataset.range(6).batch(3, drop_remainder=True)
    data = km.data.map_shard(batches, lambda one: tf.fill([2], one), ONE_DEVICE)
    assert data.element_spec == tf.TensorSpec([3, 2], tf.int64)
    assert data.cardinality() == 2


@pytest.mark.parametrize(
    ("dataset", "error", "words"),
    [
        ([1, 2], TypeError, "`dataset` must be a tf.data.Dataset. Received: a list"),
        (tf.data.Dataset.range(3), ValueError, r"`dataset` must be one of global batches: call"),
    ],
)
def test_data_that_are_no_batches_are_refused(dataset, error, words):
    with pytest.raises(error, match=words):
        km.data.map_shard(dataset, lambda one: one, ONE_DEVICE)


def test_text_is_refused():
    batches = tf.data.Dataset.range(3).batch(3)
    with pytest.raises(ValueError, match="`map_func` must return dense tensors of numbers"):
        km.data.map_shard(batches, tf.strings.as_string, ONE_DEVICE)
