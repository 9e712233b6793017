"""Tests of labels: what is taken, what it becomes, what is refused."""

import re

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan import labels


@pytest.mark.parametrize("given", [[0, 2], [[0], [2]], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
def test_labels_become_one_hot(given):
    rows = labels.one_hot(tf.constant(given), 3)
    assert rows.dtype == tf.float32
    np.testing.assert_array_equal(rows, [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_is_no_class_shows_as_nan(jit_compile):
    rows = tf.function(lambda given: labels.one_hot(given, 3), jit_compile=jit_compile)
    np.testing.assert_array_equal(
        np.isnan(rows(tf.constant([-1, 1, 3]))).any(axis=1), [True, False, True]
    )


def test_a_narrow_dtype_may_have_as_many_classes_as_it_has_numbers():
    rows = labels.one_hot(tf.constant([0, 255], tf.uint8), 256)
    np.testing.assert_array_equal(np.argmax(rows, axis=1), [0, 255])
    assert np.all(np.isfinite(rows))


@pytest.mark.parametrize("given", [[0.0, 1.0], [[0, 1]], 3])
def test_other_shapes_and_dtypes_are_refused(given):
    with pytest.raises(ValueError, match=r"Labels must be integers with shape \[batch\], or one-h"):
        labels.one_hot(tf.constant(given), 3)


def test_arrays_are_checked_for_classes():
    labels.check(np.array([0, 2]), 3)
    labels.check(np.array([], int), 3)
    with pytest.raises(ValueError, match="from 0 to 2, since num_classes=3. Received: labels from"):
        labels.check(np.array([0, 3]), 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, [0, 1, 2, 0]), (1, [1, 1, 1, 1]), ([2, 0, 1, 1], [2, 0, 1, 1])],
)
def test_images_to_make_are_given_classes(given, expected):
    np.testing.assert_array_equal(labels.expand_labels(4, given, 3), expected)


@pytest.mark.parametrize("given", [[0, 1], 1.0, "1", [[0], [1], [1], [0]], True])
def test_labels_of_images_must_fit(given):
    words = "`labels` must be an integer, or one for each of the 4 images. Received: labels="
    with pytest.raises(ValueError, match=re.escape(f"{words}{given!r}")):
        labels.expand_labels(4, given, 3)


def test_labels_of_images_must_be_classes():
    with pytest.raises(ValueError, match="from 0 to 2"):
        labels.expand_labels(4, 3, 3)
