"""Tests of what `from_source` takes; how its examples are read, in `engine/test_examples.py`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.zeros((2, 3))


def test_a_source_is_batched_in_its_order():
    data = km.data.from_source([0, 1, 2, 3, 4], 2)
    assert len(data) == 3
    assert [data[place].tolist() for place in range(3)] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Batches(), "must give single examples. Received: a keras.utils.PyDataset, .* Batches"),
        ((np.zeros(3), np.zeros(3)), "must give single examples. Received: a tuple. Arrays are"),
        (tf.data.Dataset.range(3), "must have `__len__` and a `__getitem__`"),
        ({0: 1.0}, "a `__getitem__` that takes an integer. Received: a dict"),
        ((one for one in [1.0]), "Received: a generator"),
    ],
)
def test_what_has_no_examples_by_number_is_refused(source, words):
    with pytest.raises(TypeError, match=words):
        km.data.from_source(source)


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"num_threads": 1.5}])
def test_sizes_are_positive_integers(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
        km.data.from_source([1.0], **arguments)


def test_a_map_must_be_a_function():
    with pytest.raises(TypeError, match="`map_func` must be a function of an example and a gen"):
        km.data.from_source([1.0], map_func=3)


def test_an_empty_source_is_refused_by_fit():
    model = km.SumRegressor()
    with pytest.raises(ValueError, match="`x` must hold at least one example. Received: 0"):
        model.predict(km.data.from_source([]), verbose=0)
