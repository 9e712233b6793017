"""Tests of what a GAN refuses to learn: arrays at the door, data sets at the batch."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.models.msg_gan import training_images

IMAGES = np.linspace(-1, 1, 12 * 16, dtype="float32").reshape(12, 4, 4, 1)
LABELS = np.arange(12) % 3
BAD_IMAGES = np.where(np.arange(12 * 16).reshape(IMAGES.shape) == 150, 2.0, IMAGES).astype("f")
BAD_LABELS = np.where(np.arange(12) == 9, 7, LABELS)
BAD_ONE_HOT = np.eye(3, dtype="float32")[LABELS] * (1 + (np.arange(12) == 9))[:, np.newaxis]
SHAPE = (4, 4, 1)


@functools.cache
def with_classes(mode="eager"):
    """Returns one model a mode: what it has learnt before does not matter here."""
    gan = km.MSGGAN((4, 4, 1), 1, 3, num_classes=3, preset=km.presets.Default(8, 8))
    gan.compile("sgd", "sgd", penalties=None, mode=mode)
    return gan


class Batches(keras.utils.PyDataset):
    """Three batches of arrays, that counts its epochs."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays
        self.epochs = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return tuple(array[4 * index : 4 * index + 4] for array in self.arrays)

    def on_epoch_end(self):
        self.epochs += 1


def generated(*arrays):
    yield from zip(*(np.split(array, 3) for array in arrays), strict=True)


def from_source(*arrays):
    return km.data.from_source(list(zip(*arrays, strict=True)), 4)


def batches(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


BAD_DATA = [
    (BAD_IMAGES, LABELS, r"Images must be in \[-1, 1\]. Received: values from .* to 2. Scale"),
    (IMAGES, BAD_LABELS, "Labels must be from 0 to 2, since num_classes=3. .* from .* to 7$"),
    (IMAGES, BAD_ONE_HOT, "Labels that are one-hot must be from 0 to 1. .* from 0 to 2$"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "images", "labels", "words"),
    [
        pytest.param(mode, *bad, marks=[] if mode == "fused" else pytest.mark.sweep)
        for mode in ("graph", "eager", "fused")
        for bad in BAD_DATA
    ],
)
def test_a_data_set_is_checked_as_it_is_read(mode, images, labels, words):
    gan = with_classes(mode)
    with pytest.raises(ValueError, match=words):
        gan.fit(batches(images, labels), shuffle=False, verbose=0)
    assert all(np.isfinite(weight).all() for weight in gan.get_weights())


@pytest.mark.parametrize("as_given", [np.asarray, tf.constant])
def test_arrays_and_tensors_are_checked_at_once(as_given):
    with pytest.raises(
        ValueError, match=r"Images must be in \[-1, 1\]. Received: values from -1.0"
    ):
        training_images.check_data(as_given(BAD_IMAGES), None, SHAPE, None)
    with pytest.raises(ValueError, match="Labels must be from 0 to 2.* from 0 to 7"):
        training_images.check_data(as_given(IMAGES), as_given(BAD_LABELS), SHAPE, 3)


@pytest.mark.parametrize(
    "arrays", [(IMAGES,), (IMAGES, BAD_LABELS), (IMAGES, LABELS, np.ones(12, "float32"))], ids=len
)
def test_a_sound_data_set_is_what_it_was(arrays):
    dataset, _ = training_images.check_data(batches(*arrays), None, SHAPE, None)
    assert dataset.cardinality() == 3
    for batch, expected in zip(dataset, batches(*arrays), strict=True):
        for one, other in zip(tf.nest.flatten(batch), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_empty_batch_is_sound():
    no_images = tf.data.Dataset.from_tensors((IMAGES[:0], LABELS[:0]))
    assert [
        len(images) for images, _ in training_images.check_data(no_images, None, SHAPE, 3)[0]
    ] == [0]


def test_narrow_labels_may_have_many_classes():
    data = batches(IMAGES, np.full(12, 200, "uint8"))
    dataset, _ = training_images.check_data(data, None, SHAPE, num_classes=300)
    assert len(list(dataset)) == 3


@pytest.mark.slow
def test_a_column_of_one_class_is_no_one_hot_row():
    column = np.array([[0], [1]] * 6)
    gan = km.MSGGAN((4, 4, 1), 1, 3, num_classes=1, preset=km.presets.Default(8, 8))
    gan.compile("sgd", "sgd", mode="eager")
    for data in ((IMAGES, column), (batches(IMAGES, column),)):
        with pytest.raises(ValueError, match="Labels must be from 0 to 0, since num_classes=1"):
            gan.fit(*data, shuffle=False, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        pytest.param(BAD_IMAGES, LABELS, "must be in", marks=pytest.mark.sweep),
        (IMAGES, BAD_LABELS, "must be from 0 to 2"),
    ],
)
def test_validation_data_are_checked_too(images, labels, words):
    gan = with_classes()
    before = gan.get_weights()
    with pytest.raises(ValueError, match=words):
        gan.fit(IMAGES, LABELS, 4, validation_data=(images, labels), verbose=0)
    for one, other in zip(gan.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=words):
        gan.fit(IMAGES[:4], LABELS[:4], validation_data=batches(images, labels), verbose=0)
    with pytest.raises(ValueError, match=words):
        gan.evaluate(images, labels, verbose=0)
    with pytest.raises(ValueError, match=words):
        gan.evaluate(batches(images, labels), verbose=0)


@pytest.mark.slow
@pytest.mark.sweep
def test_sound_validation_data_are_evaluated():
    history = with_classes().fit(
        IMAGES, LABELS, 4, validation_data=(IMAGES[:4], LABELS[:4]), verbose=0
    )
    assert np.isfinite(history.history["val_d_loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stream", "images", "labels", "words"),
    [
        (generated, IMAGES, BAD_LABELS, "must be from 0 to 2"),
        (from_source, BAD_IMAGES, LABELS, "must be in"),
        pytest.param(Batches, BAD_IMAGES, LABELS, "must be in", marks=pytest.mark.sweep),
        pytest.param(generated, BAD_IMAGES, LABELS, "must be in", marks=pytest.mark.sweep),
        pytest.param(Batches, IMAGES, BAD_LABELS, "must be from 0 to 2", marks=pytest.mark.sweep),
    ],
)
def test_batches_of_python_are_checked_as_they_come(stream, images, labels, words):
    gan = with_classes()
    with pytest.raises(ValueError, match=words):
        gan.fit(stream(images, labels), shuffle=False, verbose=0)
    assert all(np.isfinite(weight).all() for weight in gan.get_weights())


@pytest.mark.slow
def test_sound_batches_of_python_are_what_they_were():
    gan, data = with_classes(), Batches(IMAGES, LABELS)
    gan.generator_optimizer.iterations.assign(0)
    gan.fit(data, epochs=2, verbose=0)
    assert gan.generator_optimizer.iterations.numpy() == 6
    assert data.epochs >= 2
    gan.fit(generated(IMAGES, LABELS), steps_per_epoch=3, shuffle=False, verbose=0)
    assert gan.generator_optimizer.iterations.numpy() == 9


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            (IMAGES[..., 0], LABELS),
            "with shape .batch, 4, 4, 1., the model's `image_shape`. Received",
        ),
        ((list(IMAGES), LABELS), "in one array. Received: a list"),
        (({"images": IMAGES}, LABELS), "in one array. Received: a dict"),
        ((IMAGES,), "must be tuples of images and labels"),
        ((IMAGES, LABELS.astype("float32")), "Labels must be integers with shape .batch."),
        ((batches(IMAGES),), "must be tuples of images and labels"),
        (
            (batches(IMAGES[..., 0], LABELS),),
            "the model's `image_shape`. Received: images of dtype",
        ),
        ((IMAGES, np.full(12, np.nan)), "Labels must be integers"),
        (
            (np.full_like(IMAGES, np.nan), LABELS),
            r"finite. Received: x\[0, 0, 0, 0\]=nan",
        ),
    ],
)
def test_another_form_is_refused_before_a_step_validation_data_too(data, words):
    gan = with_classes()
    before = gan.get_weights()
    with pytest.raises(ValueError, match=words):
        gan.fit(*data, verbose=0)
    with pytest.raises(ValueError, match=words):
        gan.fit(IMAGES, LABELS, validation_data=data if len(data) > 1 else data[0], verbose=0)
    for one, other in zip(gan.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "weights", [{"sample_weight": np.ones(12, "float32")}, {"class_weight": {0: 2.0}}], ids=list
)
def test_weights_are_refused(weights):
    (name,) = weights
    with pytest.raises(ValueError, match=f"`{name}` must be None: MSGGAN counts each image once."):
        with_classes().fit(IMAGES, **weights, verbose=0)


def make_plain_gan():
    gan = km.MSGGAN(SHAPE, 1, 3, preset=km.presets.Default(8, 8))
    gan.compile("sgd", "sgd", penalties=None, mode="eager")
    return gan


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        *(
            pytest.param(one, marks=pytest.mark.sweep)
            for one in (Batches, batches, tf.constant, generated)
        ),
    ],
)
def test_images_without_a_pixel_below_0_are_warned_of_once(make):
    data = make((IMAGES + 1) / 2)
    batch_size = 4 if make in (np.asarray, tf.constant) else None
    with pytest.warns(
        UserWarning, match=r"values from 0 to .*, none below 0.* use 2 \* x - 1"
    ) as w:
        make_plain_gan().fit(data, batch_size=batch_size, steps_per_epoch=3, verbose=0)
    assert len(w) == 1


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("make", [np.asarray, batches])
def test_other_images_are_not_warned_of(make):
    batch_size = 4 if make is np.asarray else None
    make_plain_gan().fit(make(IMAGES), batch_size=batch_size, verbose=0)
