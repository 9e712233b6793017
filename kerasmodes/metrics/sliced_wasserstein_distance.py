"""`SlicedWassersteinDistance`: how far small patches of two sets of images are apart, by scale.

It needs no network. How images come in and are kept is in `two_samples.py`.
"""

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.metrics import examples, two_samples

PATCH = 7  # pixels wide and high
NUM_PATCHES = 128  # of an image and level
NUM_DIRECTIONS = 4 * 128
GROUP = 32  # directions at a time: more take no less time, and more memory
TAPS = np.array([1, 4, 6, 4, 1]) / 16


@keras.saving.register_keras_serializable(package="kerasmodes")
class SlicedWassersteinDistance(two_samples.TwoSampleMetric):
    """Distance between the patches of real and of generated images, at each level of a pyramid.

    From each level of the images' Laplacian pyramids (Burt and Adelson 1983) come 128 patches of
    7×7 pixels an image. Those of a side are given mean 0 and deviation 1 in each channel, projected
    onto 4 × 128 random directions and sorted; the distance is the mean absolute difference, times
    1,000. Source: Karras et al. 2018 (arXiv 1710.10196), section 5, and its authors' program for
    the constants; they stop at 16 pixels, here levels go down to 7.

    Patches lie within the image, nothing is padded, so a level has `(height - 6) * (width - 6)`
    places for them. Where these are no more than 128, each patch is taken once: 64 of a level of
    14×14, and the one of 7×7 that is the whole level. In larger levels border pixels are in fewer
    patches than others.

    The result is a dict by the heights of the levels, smallest first, such as
    `{"swd_7": ..., "swd_14": ..., "swd_28": ...}` (`"swd_14x16"` where the width differs). It is
    above 0 for equal distributions too, the more so the fewer the images: see `floor()`, of half as
    many. If the sides differ in number, the larger one's last images are left out. Both have their
    patches in the same places, so equal sets give 0.

    Args:
        image_shape: (height, width, channels); height and width divisible by 2**(num_scales - 1),
            and by then at least 7. Values may have any range.
        num_scales: Number of levels, a positive int.
        max_samples: The most images of a side, kept in memory: another is an error.
        seed: Int, at least 0, that fixes patches and directions.
        name: Name of the metric, with which the names of its results begin.

    Example:

    ```python
    images = np.random.default_rng(0).uniform(-1, 1, (128, 28, 28, 1))
    metric = km.metrics.SlicedWassersteinDistance(image_shape=(28, 28, 1))
    metric.update_state(real=images[:64], generated=np.tanh(2 * images[64:]))
    metric.result(), metric.floor()
    ```
    """

    min_examples = 1

    def __init__(self, image_shape, num_scales=3, max_samples=2_048, seed=0, name="swd"):
        arguments.check_positive_integers(num_scales=num_scales, max_samples=max_samples)
        arguments.check_seed(seed)
        _check_image_shape(image_shape, num_scales)
        real, generated = (
            examples.Examples(side, image_shape, max_samples) for side in ("real", "generated")
        )
        super().__init__(real, generated, name)
        self.image_shape = tuple(image_shape)
        self.num_scales = num_scales
        self.max_samples = max_samples
        self.seed = seed

    @property
    def result_names(self):
        height, width, _ = self.image_shape
        sizes = [(height >> level, width >> level) for level in reversed(range(self.num_scales))]
        return tuple(f"{self.name}_{h}" if h == w else f"{self.name}_{h}x{w}" for h, w in sizes)

    def get_config(self):
        names = ("image_shape", "num_scales", "max_samples", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _compare(self, real, generated):
        num_images = min(len(real["examples"]), len(generated["examples"]))
        pyramids = [
            laplacian_pyramid(kept["examples"][:num_images], self.num_scales)
            for kept in (real, generated)
        ]
        generator = np.random.default_rng(self.seed)
        return [_distance(*levels, generator) for levels in zip(*pyramids, strict=True)]


def laplacian_pyramid(images, num_scales):
    """Returns the levels of a Laplacian pyramid, smallest first: what each adds to those before.

    In float64, so that where an image is constant the larger levels are exactly 0.

    Args:
        images: Float32 array `[batch, height, width, channels]`.
        num_scales: Number of levels; the smallest is the image itself, blurred and shrunk.

    Example:

    ```python
    smallest, largest = laplacian_pyramid(np.ones((1, 14, 14, 1), "float32"), num_scales=2)
    ```
    """
    levels = [images.astype("float64")]
    for _ in range(num_scales - 1):
        smaller = _blurred(levels[0])[:, ::2, ::2]
        levels[0] -= _enlarged(smaller)
        levels.insert(0, smaller)
    return levels


def _blurred(images):
    """Returns images convolved with the 5×5 binomial filter, mirrored at the border pixels."""
    for axis in (1, 2):
        size = images.shape[axis]
        padding = [(2, 2) if axis == one else (0, 0) for one in range(4)]
        padded = np.moveaxis(np.pad(images, padding, mode="reflect"), axis, 0)
        taken = sum(tap * padded[start : start + size] for start, tap in enumerate(TAPS))
        images = np.moveaxis(taken, 0, axis)
    return images


def _enlarged(images):
    batch, height, width, channels = images.shape
    spread = np.zeros((batch, 2 * height, 2 * width, channels))
    spread[:, ::2, ::2] = 4 * images
    return _blurred(spread)


def _distance(real, generated, generator):
    """Returns the sliced Wasserstein distance of one level, times 1,000."""
    places = _places(real.shape, generator)
    real, generated = _patches(real, places), _patches(generated, places)
    distances = []
    for _ in range(NUM_DIRECTIONS // GROUP):
        directions = generator.normal(size=(GROUP, real.shape[1]))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        one, other = (
            np.sort(directions.astype("float32") @ patches.T) for patches in (real, generated)
        )
        distances.append(np.mean(np.abs(one - other), dtype="float64"))
    return 1_000 * np.mean(distances)


def _places(shape, generator):
    """Returns the first rows and columns of the patches, int arrays `[batch or 1, patches]`."""
    batch, rows, columns = shape[0], shape[1] - PATCH + 1, shape[2] - PATCH + 1
    if rows * columns <= NUM_PATCHES:
        places = np.arange(rows * columns)[np.newaxis]
    else:
        places = generator.integers(rows * columns, size=(batch, NUM_PATCHES))
    return np.divmod(places, columns)


def _patches(level, places):
    """Returns normalized patches, float32 `[batch * patches, channels * 49]`."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), axis=(1, 2))
    patches = windows[np.arange(len(level))[:, np.newaxis], *places].astype("float32")
    axes = (0, 1, 3, 4)
    patches -= patches.mean(axes, "float64", keepdims=True)
    deviation = patches.std(axes, "float64", keepdims=True)
    patches /= np.where(deviation > 0, deviation, 1)
    return patches.reshape(-1, patches.shape[2] * PATCH**2)


def _check_image_shape(image_shape, num_scales):
    is_shape = isinstance(image_shape, (tuple, list)) and len(image_shape) == 3
    if not is_shape or not all(isinstance(n, int) and n > 0 for n in image_shape):
        raise ValueError(
            "`image_shape` must be (height, width, channels). "
            f"Received: image_shape={image_shape!r}"
        )
    shrink = 2 ** (num_scales - 1)
    if any(size % shrink or size // shrink < PATCH for size in image_shape[:2]):
        raise ValueError(
            f"`image_shape` must have a height and width divisible by {shrink} and at least "
            f"{PATCH * shrink} for num_scales={num_scales}. Received: image_shape={image_shape!r}"
        )
