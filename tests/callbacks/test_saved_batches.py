"""Tests of batches as named arrays and as files."""

import numpy as np
import tensorflow as tf

from kerasmodes.callbacks import saved_batches

BATCH = (
    {"image": tf.ones((2, 3), tf.bfloat16), "text": tf.constant([b"a", b"bc"])},
    tf.ragged.constant([[1], [2, 3]]),
    None,
)


def test_the_parts_of_a_batch_have_names():
    names = ["x/image", "x/text", "y/0", "y/1"]
    assert list(saved_batches.list_arrays(BATCH)) == names
    assert list(saved_batches.list_arrays(tf.ones(3))) == ["x"]
    assert list(saved_batches.list_arrays({"a": tf.ones(3)})) == ["x/a"]


def test_a_file_is_read_without_pickle(tmp_path):
    saved_batches.save(BATCH, tmp_path / "new" / "batch.npz")
    with np.load(tmp_path / "new" / "batch.npz", allow_pickle=False) as arrays:
        assert arrays["x/image"].dtype == "float32" and arrays["x/text"].tolist() == [b"a", b"bc"]
        assert arrays["y/0"].tolist() == [1, 2, 3] and arrays["y/1"].tolist() == [0, 1, 3]
