"""Tests of super-batches: every batch once, in order, with the shape it had."""

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.engine import super_batches

X = np.arange(44, dtype="float32").reshape(22, 2)


def data_set(*sizes):
    """Returns a data set with batches of these sizes."""
    pieces = np.split(X[: sum(sizes)], np.cumsum(sizes)[:-1])
    data = tf.data.Dataset.from_generator(
        lambda: iter(pieces), output_signature=tf.TensorSpec([None, 2])
    )
    return data.apply(tf.data.experimental.assert_cardinality(len(sizes)))


def batches_of(blocks):
    """Returns the batches in super-batches, one behind the other."""
    return [batch for block in blocks for batch in block.numpy()]


SIZES = [(4, 4, 4, 4), (4, 4, 4, 2), (4,), (1, 2, 3, 4), (4, 2, 4, 4, 4), (2, 4, 4, 4)]
# Each list of sizes with one number, each number with a list or two.
WAYS = [
    pytest.param(sizes, number, marks=[] if (i + 1) % 4 == place else pytest.mark.sweep)
    for i, sizes in enumerate(SIZES)
    for place, number in enumerate((1, 2, 3, 100))
]


@pytest.mark.parametrize(("sizes", "num_batches"), WAYS)
def test_every_batch_comes_once_and_in_order(sizes, num_batches):
    blocks = list(super_batches.SuperBatchStream(data_set(*sizes), num_batches))
    batches = batches_of(blocks)
    assert [len(batch) for batch in batches] == list(sizes)
    np.testing.assert_array_equal(np.concatenate(batches), X[: sum(sizes)])
    assert max(block.shape[0] for block in blocks) <= num_batches


def test_equal_batches_share_a_super_batch():
    shapes = [tuple(b.shape) for b in super_batches.SuperBatchStream(data_set(4, 4, 4, 4, 2), 3)]
    assert shapes == [(3, 4, 2), (1, 4, 2), (1, 2, 2)]


def test_batches_of_one_known_shape_are_stacked_as_they_are():
    data = tf.data.Dataset.from_tensor_slices(X).batch(4, drop_remainder=True)
    shapes = [tuple(block.shape) for block in super_batches.SuperBatchStream(data, 3)]
    assert shapes == [(3, 4, 2), (2, 4, 2)]


def test_missing_parts_stay_missing():
    data = tf.data.Dataset.from_tensor_slices((X, None, {"weight": X[:, 0]})).batch(11)
    ((x, y, rest),) = super_batches.SuperBatchStream(data, 2)
    assert y is None
    np.testing.assert_array_equal(x.numpy().reshape(22, 2), X)
    np.testing.assert_array_equal(rest["weight"].numpy().ravel(), X[:, 0])


def of_arrays(batch_size, num_batches, shuffle, seed=(0, 0)):
    return list(super_batches.stack_arrays(tf.constant(X), batch_size, num_batches, shuffle, seed))


@pytest.mark.parametrize("num_batches", [1, 2, 100])
@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4] * 5 + [2]), (11, [11, 11]), (30, [22])])
def test_arrays_are_cut_into_batches(batch_size, sizes, num_batches):
    blocks = of_arrays(batch_size, num_batches, shuffle=False)
    assert [len(batch) for batch in batches_of(blocks)] == sizes
    np.testing.assert_array_equal(np.concatenate(batches_of(blocks)), X)
    assert max(block.shape[0] for block in blocks) <= num_batches


def test_shuffled_arrays_have_every_example_once_in_an_order_of_the_seed():
    orders = [
        np.concatenate(batches_of(of_arrays(4, num_batches, True, seed)))
        for seed, num_batches in [((0, 0), 2), ((0, 0), 100), ((0, 1), 2), ((1, 0), 2)]
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    for order in orders:
        np.testing.assert_array_equal(order[order[:, 0].argsort()], X)
    for order in orders[2:]:
        assert (order != orders[0]).any()


def test_batches_can_be_shuffled_within():
    batches = batches_of(of_arrays(4, 3, "batch"))
    assert [sorted(batch[:, 0]) for batch in batches] == [
        sorted(X[start : start + 4, 0]) for start in range(0, 22, 4)
    ]
    assert any((batch[:, 0] != sorted(batch[:, 0])).any() for batch in batches)


def test_executions_share_super_batches():
    pieces = super_batches.SuperBatchReader(iter([tf.zeros((4, 1)), tf.ones((3, 1))]))
    taken = [[(piece.start, piece.stop) for piece in pieces.take(3)] for _ in range(4)]
    assert taken == [[(0, 3)], [(3, 4), (0, 2)], [(2, 3)], []]


def test_bytes_of_batches_whose_size_is_unknown_are_estimated():
    specs = (tf.TensorSpec([None, 20]), {"y": tf.TensorSpec([None], tf.int64)}, None)
    assert super_batches.count_batch_bytes(specs, 10) == 10 * (20 * 4 + 8)
    assert super_batches.count_batch_bytes((tf.TensorSpec([3, 20]),), 10) == 3 * 20 * 4


def test_the_batch_size_is_read_from_the_specs():
    assert super_batches.find_batch_size((tf.TensorSpec([7, 2]), tf.TensorSpec([]))) == 7
    assert super_batches.find_batch_size((tf.TensorSpec([None, 2]),)) is None


def test_an_error_in_the_data_is_the_users_to_see():
    def fails_at_three(x):
        with tf.control_dependencies([tf.debugging.assert_less(x, 3.0)]):
            return tf.identity(x)

    data = tf.data.Dataset.from_tensor_slices(X[:, 0]).map(fails_at_three).batch(1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed"):
        list(super_batches.SuperBatchStream(data, 4))


@pytest.mark.parametrize(
    ("num_steps", "first", "rest"),
    [
        (0, [], [("a", 1, 4), ("b", 0, 2)]),
        (2, [("a", 1, 3)], [("a", 3, 4), ("b", 0, 2)]),
        (3, [("a", 1, 4)], [("b", 0, 2)]),
        (9, [("a", 1, 4), ("b", 0, 2)], []),
    ],
)
def test_ranges_are_split_after_some_steps(num_steps, first, rest):
    ranges = [super_batches.BatchRange("a", 1, 4), super_batches.BatchRange("b", 0, 2)]
    assert super_batches.split(ranges, num_steps) == (first, rest)
