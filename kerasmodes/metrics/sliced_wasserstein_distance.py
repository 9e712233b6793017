"""`SlicedWassersteinDistance`: how far small patches of two sets of images are apart, by scale.

It needs no network. `two_samples.py` takes images in and stores them.
"""

from collections.abc import Sequence

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.metrics import examples, two_samples

PATCH = 7  # pixels wide and high
NUM_PATCHES = 128  # the most an image and level
NUM_DIRECTIONS = 4 * 128
GROUP = 32  # directions at a time: more need more memory and save no time
TAPS = np.array([1, 4, 6, 4, 1]) / 16


@keras.saving.register_keras_serializable(package="kerasmodes")
class SlicedWassersteinDistance(two_samples.TwoSampleMetric):
    """Distance between the patches of real and of generated images, at each level of a pyramid.

    Each level of an image's Laplacian pyramid (Burt and Adelson 1983) gives 128 patches of 7×7
    pixels. The patches of a side are normalized to mean 0 and standard deviation 1 in each channel,
    projected onto 4 × 128 random directions and sorted. The distance is the mean absolute
    difference, times 1,000. Source: Karras et al. 2018 (arXiv 1710.10196), section 5, and its
    authors' program for the constants; their levels stop at 16 pixels, these at 7.

    Nothing is padded, so a level has `(height - 6) * (width - 6)` places for patches. A level with
    at most 128 places gives each patch once: 64 for 14×14 pixels, and a single one for 7×7. In
    larger levels border pixels are in fewer patches than others.

    The result is a dict of floats by the heights of the levels, smallest first, such as
    `{"swd_7": ..., "swd_14": ..., "swd_28": ...}` (`"swd_14x16"` where the width differs). Equal
    distributions score above 0, too, and higher the fewer the images are; `baseline()` shows by how
    much, for half as many. If the sides differ in number, the last images of the larger one are
    left out. Both sides have their patches in the same places, so equal sets give 0.

    Args:
        image_shape: (height, width, channels), positive ints; height and width divisible by
            `2**(num_scales - 1)`, with a quotient of at least 7. Values can have any range.
        num_scales: Number of levels, a positive int. Defaults to `3`.
        max_samples: The most images a side, a positive int: one more is an error. Memory for all is
            taken at once. Defaults to `2_048`.
        seed: Int, at least 0, that fixes patches and directions. Defaults to `0`.
        name: Name of the metric and beginning of the names of its results. Defaults to `"swd"`.

    Example:

    ```python
    images = np.random.default_rng(0).uniform(-1, 1, (128, 28, 28, 1))
    metric = km.metrics.SlicedWassersteinDistance(image_shape=(28, 28, 1))
    metric.update_state(real=images[:64], generated=np.tanh(2 * images[64:]))
    metric.result(), metric.baseline()
    ```
    """

    min_examples = 1

    def __init__(
        self,
        image_shape: Sequence[int],
        num_scales: int = 3,
        max_samples: int = 2_048,
        seed: int = 0,
        name: str = "swd",
    ):
        arguments.check_positive_integers(num_scales=num_scales, max_samples=max_samples)
        arguments.check_seed(seed)
        _check_levels(image_shape, num_scales)
        real, generated = (
            examples.Examples(side, image_shape, max_samples) for side in ("real", "generated")
        )
        super().__init__(real, generated, name)
        self.image_shape = tuple(image_shape)
        self.num_scales = num_scales
        self.max_samples = max_samples
        self.seed = seed

    @property
    def result_names(self) -> tuple[str, ...]:
        height, width, _ = self.image_shape
        sizes = [(height >> level, width >> level) for level in reversed(range(self.num_scales))]
        return tuple(f"{self.name}_{h}" if h == w else f"{self.name}_{h}x{w}" for h, w in sizes)

    def get_config(self):
        names = ("image_shape", "num_scales", "max_samples", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _compare(self, real: dict, generated: dict) -> list[float]:
        num_images = min(len(real["examples"]), len(generated["examples"]))
        pyramids = [
            build_laplacian_pyramid(kept["examples"][:num_images], self.num_scales)
            for kept in (real, generated)
        ]
        generator = np.random.default_rng(self.seed)
        return [_compute_distance(*levels, generator) for levels in zip(*pyramids, strict=True)]


def build_laplacian_pyramid(images: np.ndarray, num_scales: int) -> list[np.ndarray]:
    """Returns the levels of a Laplacian pyramid, smallest first.

    The smallest level is the image, blurred and shrunk. Each other level is what its size adds to
    the smaller ones. All are float64, so that the larger levels of a constant image are exactly 0.
    Source: Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code".

    Args:
        images: Float32 array `[batch, height, width, channels]`.
        num_scales: Number of levels, a positive int.

    Returns:
        A list of float64 arrays `[batch, height / 2**level, width / 2**level, channels]`.

    Example:

    ```python
    smallest, largest = build_laplacian_pyramid(np.ones((1, 14, 14, 1), "float32"), num_scales=2)
    ```
    """
    levels = [images.astype("float64")]
    for _ in range(num_scales - 1):
        smaller = _blur(levels[0])[:, ::2, ::2]
        levels[0] -= _enlarge(smaller)
        levels.insert(0, smaller)
    return levels


def _blur(images):
    """Returns images convolved with the 5×5 binomial filter, mirrored at the border pixels."""
    for axis in (1, 2):
        size = images.shape[axis]
        padding = [(2, 2) if axis == one else (0, 0) for one in range(4)]
        padded = np.moveaxis(np.pad(images, padding, mode="reflect"), axis, 0)
        blurred = sum(tap * padded[start : start + size] for start, tap in enumerate(TAPS))
        images = np.moveaxis(blurred, 0, axis)
    return images


def _enlarge(images):
    """Returns images at twice the height and width, blurred."""
    batch, height, width, channels = images.shape
    spread = np.zeros((batch, 2 * height, 2 * width, channels))
    spread[:, ::2, ::2] = 4 * images
    return _blur(spread)


def _compute_distance(real, generated, generator):
    """Returns the sliced Wasserstein distance of one level, times 1,000."""
    places = _draw_places(real.shape, generator)
    real, generated = _extract_patches(real, places), _extract_patches(generated, places)
    distances = []
    for _ in range(NUM_DIRECTIONS // GROUP):
        directions = generator.normal(size=(GROUP, real.shape[1]))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        one, other = (
            np.sort(directions.astype("float32") @ patches.T) for patches in (real, generated)
        )
        distances.append(np.mean(np.abs(one - other), dtype="float64"))
    return 1_000 * np.mean(distances)


def _draw_places(shape, generator):
    """Returns the first rows and columns of the patches, int arrays `[batch or 1, patches]`."""
    batch, rows, columns = shape[0], shape[1] - PATCH + 1, shape[2] - PATCH + 1
    if rows * columns <= NUM_PATCHES:
        places = np.arange(rows * columns)[np.newaxis]
    else:
        places = generator.integers(rows * columns, size=(batch, NUM_PATCHES))
    return np.divmod(places, columns)


def _extract_patches(level, places):
    """Returns normalized patches, float32 `[batch * patches, channels * 49]`."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), axis=(1, 2))
    patches = windows[np.arange(len(level))[:, np.newaxis], *places].astype("float32")
    axes = (0, 1, 3, 4)
    patches -= patches.mean(axes, "float64", keepdims=True)
    deviation = patches.std(axes, "float64", keepdims=True)
    patches /= np.where(deviation > 0, deviation, 1)
    return patches.reshape(-1, patches.shape[2] * PATCH**2)


def _check_levels(image_shape, num_scales):
    arguments.check_image_shape(image_shape)
    shrink = 2 ** (num_scales - 1)
    if any(size % shrink or size // shrink < PATCH for size in image_shape[:2]):
        raise ValueError(
            f"`image_shape` must have a height and width divisible by {shrink} and at least "
            f"{PATCH * shrink} for num_scales={num_scales}. Received: image_shape={image_shape!r}"
        )
