"""Tests of the sliced Wasserstein distance: by loops, a closed form, and what it is blind to."""

import math

import numpy as np
import pytest

from kerasmodes import metrics
from kerasmodes.metrics.sliced_wasserstein_distance import build_laplacian_pyramid


def draw(count, *shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype("float32")


def result(real, generated, **arguments):
    metric = metrics.SlicedWassersteinDistance(real.shape[1:], **arguments)
    metric.update_state(real, generated)
    return metric.result()


def pyramid_by_scipy(image, num_scales):
    """Returns the levels of one image's channel, largest first, as Karras et al. make them."""
    ndimage = pytest.importorskip("scipy.ndimage")
    taps = np.array([1, 4, 6, 4, 1]) / 16
    levels = [image.astype("float64")]
    for _ in range(num_scales - 1):
        smaller = ndimage.convolve(levels[-1], np.outer(taps, taps), mode="mirror")[::2, ::2]
        spread = np.zeros(levels[-1].shape)
        spread[::2, ::2] = smaller
        levels[-1] -= ndimage.convolve(spread, 4 * np.outer(taps, taps), mode="mirror")
        levels.append(smaller)
    return levels


def places_by_loops(count, shape, generator):
    """Returns for each image the first row and column of its patches."""
    rows, columns = shape[0] - 6, shape[1] - 6
    every = [(row, column) for row in range(rows) for column in range(columns)]
    if len(every) <= 128:
        return [every] * count
    return [[every[n] for n in ns] for ns in generator.integers(len(every), size=(count, 128))]


def by_loops(real, generated, num_scales, seed=0):
    """The distances of grey images, patch by patch and direction by direction."""
    generator = np.random.default_rng(seed)
    sides = [
        [pyramid_by_scipy(image[..., 0], num_scales) for image in images]
        for images in (real, generated)
    ]
    distances = []
    for level in reversed(range(num_scales)):
        places = places_by_loops(len(real), sides[0][0][level].shape, generator)
        patches = []
        for side in sides:
            rows = [
                side[image][level][row : row + 7, column : column + 7].ravel()
                for image, chosen in enumerate(places)
                for row, column in chosen
            ]
            patches.append((np.array(rows) - np.mean(rows)) / np.std(rows))
        means = []
        for _ in range(4):
            for direction in generator.normal(size=(128, 49)):
                direction /= np.linalg.norm(direction)
                one, other = (np.sort(rows @ direction) for rows in patches)
                means.append(np.mean(np.abs(one - other)))
        distances.append(1_000 * np.mean(means))
    return distances


@pytest.mark.slow
def test_it_is_the_definition():
    real, generated = draw(6, 28, 28, 1), draw(6, 28, 28, 1, seed=1) ** 3
    values = result(real, generated, seed=3)
    assert list(values) == ["swd_7", "swd_14", "swd_28"]
    expected = by_loops(real, generated, 3, seed=3)
    np.testing.assert_allclose(list(values.values()), expected, rtol=1e-4)


def test_the_pyramid_is_that_of_karras_et_al():
    image = draw(1, 28, 20, 1)
    levels = build_laplacian_pyramid(image, 2)
    expected = reversed(pyramid_by_scipy(image[0, ..., 0], 2))
    for one, other in zip(levels, expected, strict=True):
        np.testing.assert_allclose(one[0, ..., 0], other, atol=1e-12)


def test_channels_have_pyramids_of_their_own():
    image = draw(2, 14, 14, 3)
    together = build_laplacian_pyramid(image, 2)
    for channel in range(3):
        alone = build_laplacian_pyramid(image[..., channel : channel + 1], 2)
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one[..., channel : channel + 1], other)


@pytest.mark.slow
def test_noise_against_flat_images_has_a_closed_form():
    # A direction u takes pixels of independent N(0, 1) to N(0, 1), and those of an image that is
    # N(0, 1) everywhere to N(0, s^2) with s = |sum of u|. Their distance is |1 - s| E|N(0, 1)|, and
    # s is 7 times the first coordinate of a direction, whose density is (1 - t^2)^23 up to scale.
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(4_000, 7, 7, 1))
    flat = np.broadcast_to(generator.normal(size=(4_000, 1, 1, 1)), noise.shape)
    t = np.linspace(0, 1, 10_001)
    mean_gap = np.average(np.abs(1 - 7 * t), weights=(1 - t**2) ** 23)
    expected = 1_000 * mean_gap * math.sqrt(2 / math.pi)
    values = result(noise, flat, num_scales=1, max_samples=4_000)
    assert values == {"swd_7": pytest.approx(expected, rel=0.05)}


@pytest.mark.slow
def test_equal_sets_are_at_no_distance():
    both = draw(5, 14, 14, 2)
    assert set(result(both, both.copy(), num_scales=2).values()) == {0}


def test_the_order_of_images_does_not_matter_where_every_patch_is_taken():
    images = draw(5, 14, 14, 1)
    values = result(images, images[::-1], num_scales=2)
    assert list(values.values()) == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.slow
def test_brightness_and_contrast_of_a_channel_do_not_matter():
    real = draw(3, 14, 14, 3)
    changed = real * [1, 100, 0.5] + [0, 7, -1]
    assert list(result(real, changed, num_scales=2).values()) == pytest.approx([0, 0], abs=1e-2)
    assert min(result(real, real**3, num_scales=2).values()) > 1


def test_the_larger_side_loses_its_last_images():
    real, generated = draw(9, 14, 14, 1), draw(5, 14, 14, 1, seed=1)
    shorter = result(real[:5], generated, num_scales=2)
    assert result(real, generated, num_scales=2) == shorter
    assert result(generated, real, num_scales=2) == result(generated, real[:5], num_scales=2)


def test_constant_images_have_a_distance():
    both = np.full((2, 14, 14, 1), 0.3, "float32")
    values = result(draw(2, 14, 14, 1), both, num_scales=2)
    assert all(0 < value < 1e4 for value in values.values())
    assert set(result(both, both * 3, num_scales=2).values()) == {0}


def test_names_hold_the_width_of_levels_that_are_not_square():
    metric = metrics.SlicedWassersteinDistance((16, 28, 3), num_scales=2, name="patches")
    assert metric.result_names == ("patches_8x14", "patches_16x28")


def test_the_seed_fixes_patches_and_directions():
    real, generated = draw(2, 28, 28, 1), draw(2, 28, 28, 1, seed=1) ** 3
    first, again, other = (result(real, generated, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_more_images_come_closer():
    few, many = (
        result(draw(n, 7, 7, 1), draw(n, 7, 7, 1, seed=1), num_scales=1) for n in (20, 500)
    )
    assert many["swd_7"] < few["swd_7"] / 3


@pytest.mark.parametrize("image_shape", [(28, 28), (28, 28, 0), (28.0, 28, 1), 28, None])
def test_what_is_no_shape_is_refused(image_shape):
    with pytest.raises(ValueError, match=r"`image_shape` must be \(height, width, channels\)"):
        metrics.SlicedWassersteinDistance(image_shape)


@pytest.mark.parametrize("image_shape", [(28, 30, 1), (24, 28, 1), (28, 24, 1)])
def test_levels_must_divide_evenly_and_hold_a_patch(image_shape):
    with pytest.raises(ValueError, match="divisible by 4 and at least 28 for num_scales=3"):
        metrics.SlicedWassersteinDistance(image_shape)
