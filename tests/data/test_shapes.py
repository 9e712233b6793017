"""Tests of the colour shapes: what is rendered, how often, and that it is the same each time."""

import doctest

import numpy as np
import pytest

import kerasmodes as km
from kerasmodes.data import colour_shapes, shape_factors, shapes


def test_numbers_name_all_combinations():
    rows = shapes.combine(np.arange(shapes.NUM_COMBINATIONS))
    assert len(np.unique(rows, axis=0)) == shapes.NUM_COMBINATIONS == 4 * 6 * 2 * 9 * 2
    assert [len(np.unique(column)) for column in rows.T] == list(shapes.NUM_VALUES.values())


@pytest.mark.slow
def test_splits_have_all_combinations_equally_often_and_no_image_twice():
    rendered = []
    for split, repeats in (("train", 8), ("test", 2)):
        images, factors = shapes.read_split(split)
        assert images.shape == (shapes.NUM_EXAMPLES[split], *shapes.IMAGE_SHAPE)
        assert images.dtype == np.uint8
        _, counts = np.unique(factors, axis=0, return_counts=True)
        assert counts.tolist() == [repeats] * shapes.NUM_COMBINATIONS
        # Shuffled: a part of a split is no block of one shape.
        assert np.bincount(factors[:100, 0], minlength=4).min() > 10
        rendered += [image.tobytes() for image in images]
    assert len(set(rendered)) == len(rendered)


def test_pixels_are_those_of_the_factors():
    # A large magenta disc at the top right, dark: row 10, column 22 is its middle.
    image = shapes.render([[0, 5, 1, 2, 0]])[0] / 255
    assert image[10, 22] == pytest.approx([0.9, 0.1, 0.9], abs=0.055)
    assert image[[0, 16, 31], [0, 16, 31]] == pytest.approx(np.full((3, 3), 0.2), abs=0.055)


def test_all_shapes_of_a_size_have_the_area_of_its_disc():
    for size, radius in enumerate(shapes.RADII):
        shape = np.arange(4)
        radii, centres = np.full(4, radius), np.full((4, 2), 16.0)
        masks = shapes.draw_masks(shape, radii, centres)
        assert masks.sum(axis=(1, 2)) == pytest.approx(np.pi * radius**2, rel=0.02), size
        between = (masks > 0.01) & (masks < 0.99)
        assert between.any(axis=(1, 2))[[0, 2]].all()  # Curved and slanted edges are anti-aliased.


def test_no_shape_reaches_the_border():
    rows = shapes.combine(np.arange(shapes.NUM_COMBINATIONS))
    shape, _, size, position, _ = rows.T
    radii = shapes.RADII[size] * (1 + shapes.RADIUS_RANGE)
    for move in (-1, 1):
        centres = shapes.find_centres(position) + move * shapes.POSITION_RANGE
        masks = shapes.draw_masks(shape, radii, centres)
        assert max(masks[:, [0, -1]].max(), masks[:, :, [0, -1]].max()) < 0.7


def test_the_seed_decides():
    first, again = colour_shapes(20, seed=3), colour_shapes(20, seed=3)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    for seed in (4, None):
        assert not np.array_equal(colour_shapes(20, seed=seed)[0], first[0])
    rows = first[1]
    np.testing.assert_array_equal(shapes.render(rows, seed=1), shapes.render(rows, seed=1))
    assert not np.array_equal(shapes.render(rows, seed=1), shapes.render(rows, seed=2))


def test_samples_are_floats_from_minus_one_to_one_with_independent_factors():
    images, factors = colour_shapes(600, seed=0)
    assert (images.dtype, factors.dtype) == (np.float32, np.int64)
    assert -1 <= images.min() < -0.85 and 0.85 < images.max() <= 1
    for column, count in zip(factors.T, shapes.NUM_VALUES.values(), strict=True):
        shares = np.bincount(column, minlength=count) / len(factors)
        assert shares == pytest.approx(1 / count, abs=0.07)  # At least three standard errors.


@pytest.mark.slow
def test_images_finds_the_set_and_its_shapes_as_labels():
    batches = list(km.data.images("colour_shapes", "test[:100]", 64, with_labels=True))
    pixels, factors = shapes.read_split("test")
    np.testing.assert_array_equal(
        np.concatenate([labels for _, labels in batches]), factors[:100, 0]
    )
    found = np.concatenate([images for images, _ in batches])
    np.testing.assert_allclose(found, pixels[:100] / 127.5 - 1, atol=1e-6)


def test_images_names_what_the_set_does_not_have():
    for arguments, message in (
        ({"split": "validation"}, r"`split` must be one of \['train', 'test'\].*'validation'"),
        ({"data_dir": "x"}, "`data_dir` must be None for 'colour_shapes'.*data_dir='x'"),
        ({"split": "train[:9]", "batch_size": 10}, "`batch_size` must be at most 9"),
    ):
        with pytest.raises(ValueError, match=message):
            km.data.images("colour_shapes", **arguments)


@pytest.mark.parametrize("module", [shapes, shape_factors], ids=["shapes", "shape_factors"])
def test_examples_in_docstrings_show_what_comes_out(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("value", [0, -1, 2.0, None])
def test_bad_number_is_named(value):
    with pytest.raises(ValueError, match="`num_samples` must be.*Received: num_samples="):
        colour_shapes(value)


def test_bad_seed_is_named():
    with pytest.raises(ValueError, match="`seed` must be.*Received: seed=-1"):
        colour_shapes(10, seed=-1)
    with pytest.raises(ValueError, match="`seed` must be.*Received: seed=None"):
        shapes.render([[0, 0, 0, 0, 0]], seed=None)


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="`split` must be one of 'train', 'test'.*'dev'"):
        shapes.read_split("dev")


@pytest.mark.parametrize("factors", [[[0, 6, 0, 0, 0]], [[-1] * 5], [[0, 0]], [[0.0] * 5], [0] * 5])
def test_bad_factors_are_named(factors):
    with pytest.raises(ValueError, match="`factors` must be rows of five integers.*Received: fac"):
        shapes.render(factors)
