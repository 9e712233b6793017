"""Tests of reading colour shapes: right for all that are real, and nothing for what is none."""

import numpy as np
import pytest

from kerasmodes.data import colour_shapes, read_colour_shapes, shapes

NUM_IMAGES = 100


@pytest.fixture(scope="module")
def real():
    return colour_shapes(NUM_IMAGES, seed=5)


def render(factors, **changes):
    """Returns float images of the factors, of which some columns are replaced."""
    factors = np.array(factors)
    for name, values in changes.items():
        factors[:, list(shapes.FACTORS).index(name)] = values
    return shapes.render(factors, seed=3) / 127.5 - 1


def share_of_valid(images):
    return np.mean((read_colour_shapes(images) >= 0).all(axis=1))


@pytest.mark.slow
def test_every_combination_is_read_from_new_renderings_with_and_without_noise():
    factors = np.repeat(shapes.combine(np.arange(shapes.NUM_COMBINATIONS)), 2, axis=0)
    images = render(factors)
    images[::2] += np.random.default_rng(0).normal(0, 0.02, images[::2].shape)
    np.testing.assert_array_equal(read_colour_shapes(images), factors)


def test_what_is_no_picture_of_the_set_is_not_valid(real):
    generator, (images, _) = np.random.default_rng(0), real
    assert share_of_valid(generator.uniform(-1, 1, (20, *shapes.IMAGE_SHAPE))) == 0
    assert share_of_valid(np.full((1, *shapes.IMAGE_SHAPE), -0.6)) == 0  # only a ground
    assert share_of_valid(np.roll(images, 3, axis=2)) == 0  # between two positions
    assert share_of_valid((images + images[::-1]) / 2) < 0.03
    blurred = sum(np.roll(images, (y, x), (1, 2)) for y in (-1, 0, 1) for x in (-1, 0, 1)) / 9
    assert share_of_valid(blurred) < 0.5  # Small shapes are round drops now.


def test_a_mean_of_two_values_is_not_valid(real):
    _, factors = real
    shape, hue, size, _, background = factors.T
    for mixed in (
        {"shape": np.where(shape == 0, 1, 0)},  # a disc and another, or a square
        {"size": 1 - size},
        {"hue": (hue + 1) % 6},
        {"background": 1 - background},
    ):
        between = (render(factors) + render(factors, **mixed)) / 2
        assert share_of_valid(between) < 0.05, mixed
        assert share_of_valid(render(factors, **mixed)) == 1


def test_two_shapes_in_one_picture_are_not_valid(real):
    _, factors = real
    one, other = render(factors, position=0), render(factors, position=8, size=0)
    second = np.abs(other - other[:, :1, :1]).sum(axis=-1, keepdims=True) > 0.2
    assert share_of_valid(np.where(second, other, one)) == 0


def test_a_row_is_valid_as_a_whole_and_its_place_stays(real):
    images, factors = real
    images = images[:3].copy()
    images[1] = 0
    found = read_colour_shapes(images)
    np.testing.assert_array_equal(found, [factors[0], [-1] * 5, factors[2]])
    assert found.dtype == np.int64


def test_values_outside_the_range_are_clipped_and_no_image_is_no_row(real):
    images, _ = real
    stretched = 5 * images[:4]
    np.testing.assert_array_equal(
        read_colour_shapes(stretched), read_colour_shapes(np.clip(stretched, -1, 1))
    )
    assert read_colour_shapes(images[:0]).shape == (0, 5)


def test_other_images_are_refused(real):
    images, _ = real
    for wrong in (images[0], images[:, :28, :28], images[..., :1], (images * 100).astype("int64")):
        with pytest.raises(ValueError, match=r"`images` must be floats of shape \[n, 32, 32, 3\]"):
            read_colour_shapes(wrong)
    images = images[:2].copy()
    images[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="`images` must be numbers. Received: images with NaN"):
        read_colour_shapes(images)
