"""Colour shapes: images that are rendered from known factors, so that their factors can be read.

Nothing is stored or downloaded. `image_pipeline.py` makes batches of the two splits.
"""

import functools
import math

import numpy as np
import numpy.typing as npt

from kerasmodes import arguments

SIDE = 32
IMAGE_SHAPE = (SIDE, SIDE, 3)
# The values of each factor, in the order of a row of factors.
FACTORS = {
    "shape": ("disc", "square", "triangle", "cross"),
    "hue": ("red", "yellow", "green", "cyan", "blue", "magenta"),
    "size": ("small", "large"),
    "position": (
        *("top left", "top", "top right", "left", "centre", "right"),
        *("bottom left", "bottom", "bottom right"),
    ),
    "background": ("dark", "light"),
}
NUM_VALUES = {name: len(values) for name, values in FACTORS.items()}
NUM_COMBINATIONS = math.prod(NUM_VALUES.values())
CLASSES = FACTORS["shape"]  # By label.
# Of each split: how often it has each combination, and the seed from which it is rendered.
SPLITS = {"train": (8, 0), "test": (2, 1)}
NUM_EXAMPLES = {split: repeats * NUM_COMBINATIONS for split, (repeats, _) in SPLITS.items()}

# Colours are from 0 to 1 and lengths are pixels. All shapes of a size have the area of its disc.
COLOURS = np.array(
    [(0.9, 0.1, 0.1), (0.9, 0.9, 0.1), (0.1, 0.9, 0.1)]
    + [(0.1, 0.9, 0.9), (0.1, 0.1, 0.9), (0.9, 0.1, 0.9)]
)
GREYS = np.array([0.2, 0.8])
RADII = np.array([3.6, 5.6])
PITCH = 6  # from one position to the next
# No two images are equal: from these ranges around the factor's value, uniform numbers are drawn.
POSITION_RANGE, RADIUS_RANGE, COLOUR_RANGE = 0.75, 0.04, 0.05

BLOCK = 512  # images at a time


def colour_shapes(num_samples: int, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns images of one coloured shape each, and the factors from which they are rendered.

    The 864 combinations of factors are equally likely: 4 shapes, 6 hues, 2 sizes, 9 positions and 2
    backgrounds; `km.data.shapes.FACTORS` names their values. Position, size and colours vary a
    little within a combination, by less than half of the way to the next. Edges are anti-aliased.

    Args:
        num_samples: Integer, at least 1: the number of images.
        seed: Integer, at least 0, or `None`. The same seed gives the same arrays; `None` draws
            new ones each time. Defaults to `None`.

    Returns:
        A pair `(images, factors)` of NumPy arrays: float32 `[num_samples, 32, 32, 3]` in [-1, 1],
        and int64 `[num_samples, 5]`, the place of each factor's value in `FACTORS`.

    Raises:
        ValueError: if the number is not a positive integer, or the seed not a non-negative one.

    Example:
        >>> import kerasmodes as km
        >>> images, factors = km.data.colour_shapes(100, seed=0)
        >>> [values[place] for values, place in zip(km.data.shapes.FACTORS.values(), factors[0])]
        ['cross', 'green', 'small', 'bottom', 'dark']
    """
    arguments.check_positive_integers(num_samples=num_samples)
    arguments.check_seed(seed, can_be_none=True)
    generator = np.random.default_rng(seed)
    factors = combine(generator.integers(NUM_COMBINATIONS, size=num_samples))
    return _render(factors, generator).astype("float32") / 127.5 - 1, factors


def combine(numbers: npt.ArrayLike) -> np.ndarray:
    """Returns the factors, int64 `[n, 5]`, of combinations by their numbers, ints `[n]`."""
    return np.stack(np.unravel_index(numbers, tuple(NUM_VALUES.values())), axis=-1)


def read_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and factors of a split: all combinations, equally often, shuffled.

    Args:
        split: `"train"` or `"test"`.

    Returns:
        A pair `(images, factors)` of arrays: uint8 `[n, 32, 32, 3]`, and int64 `[n, 5]` as in
        `colour_shapes`; n is 6,912 for `"train"` and 1,728 for `"test"`.

    Raises:
        ValueError: if the split is unknown.
    """
    arguments.check_choice("split", split, SPLITS)
    repeats, seed = SPLITS[split]
    generator = np.random.default_rng(seed)
    factors = combine(generator.permutation(np.tile(np.arange(NUM_COMBINATIONS), repeats)))
    return _render(factors, generator), factors


def render(factors: npt.ArrayLike, seed: int = 0) -> np.ndarray:
    """Returns an image of each row of factors, uint8 `[n, 32, 32, 3]`.

    Args:
        factors: Ints `[n, 5]`, as from `colour_shapes`.
        seed: Integer, at least 0, from which the variation within a combination follows.

    Raises:
        ValueError: if the factors are not as above, or the seed is negative.
    """
    arguments.check_seed(seed)
    factors = np.asarray(factors)
    sizes = tuple(NUM_VALUES.values())
    is_fit = factors.ndim == 2 and factors.shape[1] == len(sizes) and factors.dtype.kind in "iu"
    if not is_fit or (factors < 0).any() or (factors >= sizes).any():
        raise ValueError(
            f"`factors` must be rows of five integers, at least 0 and below {sizes}. "
            f"Received: factors={factors!r}"
        )
    return _render(factors, np.random.default_rng(seed))


def _render(factors, generator):
    """Returns the images as uint8, block by block to save memory."""
    blocks = [factors[start : start + BLOCK] for start in range(0, len(factors), BLOCK)]
    return np.concatenate([_render_block(block, generator) for block in blocks])


def _render_block(factors, generator):
    shape, hue, size, position, background = factors.T
    draw = functools.partial(generator.uniform, -1, 1)
    centres = find_centres(position) + POSITION_RANGE * draw((len(factors), 2))
    radii = RADII[size] * (1 + RADIUS_RANGE * draw(len(factors)))
    colours = COLOURS[hue] + COLOUR_RANGE * draw((len(factors), 3))
    greys = GREYS[background] + COLOUR_RANGE * draw(len(factors))
    covered = draw_masks(shape, radii, centres)[..., np.newaxis]
    colours, greys = colours[:, np.newaxis, np.newaxis], greys.reshape(-1, 1, 1, 1)
    return np.rint(255 * (covered * colours + (1 - covered) * greys)).astype("uint8")


def find_centres(position):
    """Returns the middles of positions, `[n, 2]`, row and column; 0 is an image's first edge."""
    return SIDE / 2 + PITCH * (np.stack(np.divmod(position, 3), axis=-1) - 1)


def draw_masks(shape, radii, centres):
    """Returns how much of each pixel a shape covers, `[n, 32, 32]` from 0 to 1."""
    middles = np.arange(SIDE) + 0.5
    y = (middles - centres[:, :1])[:, :, np.newaxis]
    x = (middles - centres[:, 1:])[:, np.newaxis, :]
    masks = np.empty((len(shape), SIDE, SIDE))
    for place, measure in enumerate(DISTANCES):
        own = shape == place
        masks[own] = np.clip(0.5 - measure(y[own], x[own], radii[own, None, None]), 0, 1)
    return masks


# Distances of pixels from the edge of a shape around (0, 0), negative inside; `radius` is that of a
# disc of the same area. Outside of a corner they are too short, which an edge pixel does not show.
def _measure_disc(y, x, radius):
    return np.hypot(y, x) - radius


def _measure_square(y, x, radius):
    return np.maximum(abs(y), abs(x)) - radius * math.sqrt(math.pi / 4)


def _measure_triangle(y, x, radius):
    """Of an equilateral triangle on its base, around its centroid."""
    inner = radius * math.sqrt(math.pi / math.sqrt(27))
    return np.maximum(y, abs(x) * math.sqrt(3 / 4) - y / 2) - inner


def _measure_cross(y, x, radius):
    """Of a cross whose arms are a third as wide as it is."""
    length = radius * math.sqrt(9 * math.pi / 20)
    flat = np.maximum(abs(y) - length / 3, abs(x) - length)
    upright = np.maximum(abs(x) - length / 3, abs(y) - length)
    return np.minimum(flat, upright)


DISTANCES = (_measure_disc, _measure_square, _measure_triangle, _measure_cross)
