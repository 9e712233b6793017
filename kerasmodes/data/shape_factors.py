"""Reads the factors of colour shapes from pixels, also of generated ones.

`shapes.py` renders the images; `metrics/factor_coverage.py` counts what is read.
"""

import functools
import itertools

import numpy as np
import numpy.typing as npt

from kerasmodes.data import shapes

# A picture is valid within these limits. All 8,640 images of both splits are, and are read right,
# and so are the same with noise of a deviation of 0.02 on pixels in [-1, 1]. With 0.03, 11 are not
# valid, and none is read wrongly. Of 3,000 means of two images 6 are valid, of as many with two
# shapes none. With a fifth of the variance allowed, round drops that are no shape were discs.
MOST_UNEXPLAINED = 0.07  # share of the variance
MOST_OF_NEXT = 0.6  # the same, in parts of what the next best shape, size or position leaves
COLOUR_TOLERANCE = 0.15  # in each channel, from 0 to 1
GREY_TOLERANCE = 0.1
# Templates are made at these parts of the variation within a combination.
OFFSETS, SCALES = (-0.8, -0.27, 0.27, 0.8), (-0.75, 0.75)

BLOCK = 256  # images at a time
IS_FORM = np.isin(list(shapes.FACTORS), ("shape", "size", "position"))


def read_colour_shapes(images: npt.ArrayLike) -> np.ndarray:
    """Returns the factors of colour shapes, read from their pixels.

    Each image is fitted by least squares, in each channel, with a colour on a grey ground for each
    of 2,304 rendered masks: all shapes, sizes and positions, moved and scaled as the set varies
    them. The best mask gives shape, size and position, the two colours hue and background. An image
    is no valid picture of the set if more than 7 % of its variance is left, if another shape, size
    or position explains nearly as much, or if a colour is not near one of the set. All images of
    both splits are read without an error, also with small noise (0.02 is its standard deviation).

    Args:
        images: Float array `[n, 32, 32, 3]` in [-1, 1]; other values are clipped.

    Returns:
        An int64 array `[n, 5]`, as the factors from `colour_shapes`; a row of -1 for each image
        that is no valid picture.

    Raises:
        ValueError: if the images do not have this shape, are no floats, or hold NaN.

    Example:
        >>> import kerasmodes as km
        >>> images, factors = km.data.colour_shapes(100, seed=0)
        >>> bool((km.data.read_colour_shapes(images) == factors).all())
        True
        >>> mixed = images[:50] / 2 + images[50:] / 2
        >>> bool((km.data.read_colour_shapes(mixed) == -1).all())
        True
    """
    images = np.asarray(images)
    if images.shape[1:] != shapes.IMAGE_SHAPE or images.dtype.kind != "f":
        raise ValueError(
            "`images` must be floats of shape [n, 32, 32, 3] in [-1, 1]. "
            f"Received: images with shape={images.shape}, dtype={str(images.dtype)!r}"
        )
    if np.isnan(images).any():
        raise ValueError("`images` must be numbers. Received: images with NaN in them")
    blocks = [_read_block(images[start : start + BLOCK]) for start in range(0, len(images), BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty((0, len(shapes.FACTORS)), "int64")


def _read_block(images):
    forms, masks, means, norms = _make_templates()
    pixels = (np.clip(images, -1, 1).astype("float32") + 1) / 2
    pixels = np.moveaxis(pixels.reshape(len(images), -1, 3), 2, 0)  # [channel, image, pixel]
    middles = pixels.mean(axis=2)
    pixels = pixels - middles[..., np.newaxis]
    products = pixels @ masks.T
    explained = np.sum(products**2, axis=0)  # of the variance, by each mask
    rows, best = np.arange(len(images)), explained.argmax(axis=1)
    variance = np.sum(pixels**2, axis=(0, 2))
    first, second = _find_two_best(explained)
    contrasts = products[:, rows, best].T / norms[best, np.newaxis]  # of shape and ground
    greys = middles.T - contrasts * means[best, np.newaxis]
    hue, colour_error = _find_nearest(greys + contrasts, shapes.COLOURS)
    background, grey_error = _find_nearest(greys, shapes.GREYS[:, np.newaxis])
    valid = (
        (variance > 0)
        & (variance - first <= MOST_UNEXPLAINED * variance)
        & (variance - first <= MOST_OF_NEXT * (variance - second))
        & (colour_error <= COLOUR_TOLERANCE)
        & (grey_error <= GREY_TOLERANCE)
    )
    factors = np.empty((len(images), len(shapes.FACTORS)), "int64")
    factors[:, IS_FORM] = forms[best]
    factors[:, ~IS_FORM] = np.stack([hue, background], axis=1)
    factors[~valid] = -1
    return factors


def _find_two_best(explained):
    """Returns what the best form of each image explains, and the second best other form."""
    count = len(OFFSETS) ** 2 * len(SCALES)  # templates of a form
    of_forms = explained.reshape(len(explained), -1, count).max(axis=2)
    second, first = np.partition(of_forms, (-2, -1), axis=1)[:, -2:].T
    return first, second


def _find_nearest(colours, palette):
    """Returns the place of the nearest colour in a palette, and how far the farthest channel is."""
    distances = np.abs(colours[:, np.newaxis] - palette).max(axis=2)
    return distances.argmin(axis=1), distances.min(axis=1)


@functools.cache
def _make_templates():
    """Returns all templates, those of a form one after the other.

    They are forms, ints `[n, 3]` (shape, size, position); masks of mean 0 and norm 1, float32
    `[n, pixels]`; and means and norms of the masks before, `[n]`.
    """
    values = [range(n) for n, of in zip(shapes.NUM_VALUES.values(), IS_FORM, strict=True) if of]
    rows = np.array([*itertools.product(*values, OFFSETS, OFFSETS, SCALES)])
    forms, (offsets, scales) = rows[:, :3].astype(int), (rows[:, 3:5], rows[:, 5])
    shape, size, position = forms.T
    radii = shapes.RADII[size] * (1 + shapes.RADIUS_RANGE * scales)
    centres = shapes.find_centres(position) + shapes.POSITION_RANGE * offsets
    masks = shapes.draw_masks(shape, radii, centres).reshape(len(rows), -1)
    means = masks.mean(axis=1)
    masks -= means[:, np.newaxis]
    norms = np.linalg.norm(masks, axis=1)
    return forms, (masks / norms[:, np.newaxis]).astype("float32"), means, norms
