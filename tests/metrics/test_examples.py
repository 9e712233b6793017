"""Tests of what is kept of one side: rows in their order, and checks in eager code and graphs."""

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.metrics.examples import Examples, check_batch, check_finite


def test_rows_are_kept_in_their_order():
    kept = Examples("real", (2, 1), max_samples=7)
    rows = np.arange(12, dtype="float32").reshape(6, 2, 1)
    kept.update_state(rows[:2])
    kept.update_state(rows[2:])
    assert kept.num_examples == 6
    np.testing.assert_array_equal(kept.result()["examples"], rows)


def test_the_full_number_fits():
    kept = Examples("real", (1,), max_samples=3)
    kept.update_state(np.ones((3, 1), "float32"))
    kept.update_state(np.ones((0, 1), "float32"))
    assert kept.num_examples == 3


def test_memory_is_taken_once():
    kept = Examples("real", (2,), max_samples=5)
    shapes = [variable.shape for variable in kept.variables]
    kept.update_state(np.ones((3, 2), "float32"))
    assert [variable.shape for variable in kept.variables] == shapes == [(), (5, 2)]


def test_a_state_replaces_the_rows():
    kept = Examples("real", (1,), max_samples=4)
    kept.update_state(np.zeros((4, 1), "float32"))
    kept.set_state({"examples": [[1.0], [2.0]]})
    np.testing.assert_array_equal(kept.result()["examples"], [[1], [2]])


def test_a_state_of_too_many_rows_is_refused():
    kept = Examples("real", (1,), max_samples=4)
    with pytest.raises(ValueError, match="`max_samples` must be at least"):
        kept.set_state({"examples": np.ones((5, 1))})


def test_halves_are_every_second_row():
    first, second = Examples.halves({"examples": np.arange(5)})
    np.testing.assert_array_equal(first["examples"], [0, 2, 4])
    np.testing.assert_array_equal(second["examples"], [1, 3])


def test_checked_values_have_the_dtype():
    assert check_batch([[1, 2]], "real", (2,), "float64").dtype == tf.float64


def test_a_number_too_large_for_the_dtype_is_found():
    with pytest.raises(ValueError, match="`real` must be finite"):
        check_batch(np.array([[1e300]]), "real", (1,), "float32")


def test_a_shape_known_only_to_the_graph_is_checked_when_it_runs():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def check(values):
        return check_batch(values, "real", (2,), "float32")

    assert check(tf.ones((3, 2))).shape == (3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        check(tf.ones((3, 3)))


def test_in_a_graph_nothing_is_kept_of_a_batch_that_is_not_finite():
    kept = Examples("real", (1,), max_samples=4)

    @tf.function
    def update(rows):
        kept.update_state(check_finite(rows, "real"))

    with pytest.raises(tf.errors.InvalidArgumentError, match="`real` must be finite"):
        update(tf.constant([[np.nan]]))
    assert kept.num_examples == 0
    np.testing.assert_array_equal(kept.variables[1], np.zeros((4, 1)))
