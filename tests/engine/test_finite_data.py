"""Tests of the search for the first number that is not finite."""

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.engine import finite_data

ARRAY = np.ones((3_000, 4), "float32")
ARRAY[2_500, 3] = np.inf


@pytest.mark.parametrize(
    ("array", "place"),
    [
        (ARRAY, (2_500, 3)),
        (tf.constant(ARRAY), (2_500, 3)),
        (ARRAY[:2_500], None),
        (np.array([1.0, -np.inf, np.nan]), (1,)),
        (np.array([np.inf, -np.inf]), (0,)),
        (np.array(np.nan), ()),
        (tf.constant([1.0, np.nan], tf.bfloat16), (1,)),
        (np.full((3, 2), 6e4, "float16"), None),  # Its sum is infinite.
        (np.zeros((0, 4)), None),
        (np.array([1, 2]), None),
        (np.array(["nan"]), None),
        (tf.constant(["nan"]), None),
        ("nan", None),
        (None, None),
        (tf.ragged.constant([[1.0], [], [2.0, np.nan]]), (2, 1)),
        (tf.ragged.constant([[[1.0]], [[2.0], [3.0, np.nan]]]), (1, 1, 1)),
        (tf.sparse.from_dense([[0.0, 1.0], [0.0, np.nan]]), (1, 1)),
    ],
)
def test_the_place_of_the_first_number_that_is_not_finite(array, place):
    assert finite_data.find_first(array) == place


def test_arguments_are_named_with_their_parts():
    with pytest.raises(ValueError, match=r"`y` must be finite. Received: y\['b'\]\[2500, 3\]=inf"):
        finite_data.check_finite(x=np.ones(3), y={"a": np.zeros(1), "b": ARRAY})


def test_what_is_no_array_passes():
    finite_data.check_finite(x=tf.data.Dataset.range(3), y=None)


def test_all_of_what_is_finite():
    assert finite_data.is_finite(ARRAY[:2_500]) and not finite_data.is_finite(ARRAY)
    assert finite_data.is_finite(np.array([3])) and finite_data.is_finite(np.float16([6e4, 6e4]))
