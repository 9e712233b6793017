"""Tests of the range of pixels: noted as batches pass, warned of once."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan import pixel_range, training_images

UNIT = np.linspace(0, 1, 8 * 16, dtype="float32").reshape(8, 4, 4, 1)
SHAPE = (4, 4, 1)


def warn(pixels):
    """Returns the warnings of two calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels.warn()
        pixels.warn()
    return [str(one.message) for one in caught]


def test_a_data_set_notes_what_was_read_and_no_more():
    read = []
    batches = tf.data.Dataset.from_tensor_slices(UNIT).batch(2)
    pixels = pixel_range.PixelRange()
    dataset, _ = training_images.check_data(batches, None, SHAPE, None, pixels)
    assert warn(pixels) == []
    for batch in dataset.take(2):
        read.append(batch)
    (message,) = warn(pixels)
    most = float(np.max(np.concatenate(read)))
    assert f"Received: values from 0 to {most:.3g}, none below 0." in message


def test_the_place_of_a_data_set_can_still_be_saved(tmp_path):
    batches = tf.data.Dataset.from_tensor_slices(UNIT).shuffle(8, seed=1).batch(2)
    dataset, _ = training_images.check_data(batches, None, SHAPE, None, pixel_range.PixelRange())
    iterator = iter(dataset)
    next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "place"))
    expected = [batch.numpy() for batch in iterator]
    again = iter(dataset)
    tf.train.Checkpoint(iterator=again).read(path)
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("numbers", [(-1, 1), (0, 0), (0, 255), (-0.1, 0.9), ()])
def test_other_images_are_not_warned_of(numbers):
    pixels = pixel_range.PixelRange()
    if numbers:
        pixels.note(*numbers)
    assert warn(pixels) == []


@pytest.mark.parametrize(
    "callbacks", [None, keras.callbacks.History(), [keras.callbacks.History()]]
)
def test_a_watcher_is_added_to_any_callbacks(callbacks):
    found = pixel_range.add_watcher(callbacks, pixel_range.PixelRange())
    assert isinstance(found[-1], pixel_range.UnitRangeWatcher)
    assert len(found) == (1 if callbacks is None else 2)


def test_a_watcher_is_added_to_a_list_of_keras_s():
    callbacks = keras.callbacks.CallbackList()
    assert pixel_range.add_watcher(callbacks, pixel_range.PixelRange()) is callbacks
    assert len(callbacks.callbacks) == 1
