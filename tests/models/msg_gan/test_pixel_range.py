"""Tests of the range of pixels: noted as batches pass, warned of once."""

import types
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.engine import super_batches
from kerasmodes.models.msg_gan import pixel_range

UNIT = np.linspace(0, 1, 8 * 16, dtype="float32").reshape(8, 4, 4, 1)


def warn(pixels):
    """Returns the warnings of two calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels.warn()
        pixels.warn()
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("numbers", [(-1, 1), (0, 0), (0, 255), (-0.1, 0.9), ()])
def test_other_images_are_not_warned_of(numbers):
    pixels = pixel_range.PixelRange()
    if numbers:
        pixels.note(*numbers)
    assert warn(pixels) == []


def make_watcher(runs_eagerly=False):
    pixels = pixel_range.PixelRange()
    watcher = pixel_range.UnitRangeWatcher(pixels, is_dataset=True)
    watcher.set_model(types.SimpleNamespace(run_eagerly=runs_eagerly))
    return pixels, watcher


MESSAGE = f"values from 0 to {UNIT[:2].max():.3g}, none below 0."


@pytest.mark.parametrize("with_labels", [False, True])
@pytest.mark.parametrize("drop_remainder", [False, True])
def test_the_first_batch_of_an_iterator_is_looked_at_and_runs(with_labels, drop_remainder):
    data = (UNIT, np.arange(8)) if with_labels else UNIT
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(2, drop_remainder)
    (pixels, watcher), iterator = make_watcher(), iter(dataset)
    first = watcher.begin_execution(iterator)
    assert isinstance(first, tf.data.Iterator) and first.element_spec == dataset.element_spec
    batches = [*first, *watcher.begin_execution(iterator)]
    assert len(batches) == 4
    images = [batch[0] if with_labels else batch for batch in batches]
    np.testing.assert_array_equal(np.concatenate(images), UNIT)
    (message,) = warn(pixels)
    assert MESSAGE in message


def test_the_first_batch_of_an_eager_execution_and_of_a_range_runs():
    pixels, watcher = make_watcher(runs_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices(UNIT).batch(2)
    batches = list(watcher.begin_execution(iter(dataset)))
    np.testing.assert_array_equal(np.concatenate(batches), UNIT)
    assert MESSAGE in warn(pixels)[0]
    pixels, watcher = make_watcher()
    ranges = [super_batches.BatchRange(tf.reshape(UNIT, [4, 2, 4, 4, 1]), 0, 3)]
    assert watcher.begin_execution(ranges) is ranges
    assert MESSAGE in warn(pixels)[0]


def test_data_that_end_at_once_are_left_to_the_executor():
    pixels, watcher = make_watcher()
    iterator = iter(tf.data.Dataset.from_tensor_slices(UNIT[:0]).batch(2))
    assert watcher.begin_execution(iterator) is iterator
    assert warn(pixels) == []


HISTORY = keras.callbacks.History()


@pytest.mark.parametrize("callbacks", [None, HISTORY, [HISTORY]])
def test_a_watcher_is_added_to_any_callbacks(callbacks):
    _, watcher = make_watcher()
    found = pixel_range.add_watcher(callbacks, watcher, None)
    assert found == ([watcher] if callbacks is None else [HISTORY, watcher])


def test_a_watcher_is_added_to_a_list_of_keras_s():
    (_, watcher), callbacks = make_watcher(), keras.callbacks.CallbackList()
    assert pixel_range.add_watcher(callbacks, watcher, "model") is callbacks
    assert callbacks.callbacks == [watcher] and watcher.model == "model"
