"""Pictures of image batches: one row a scale, as an array, a figure, a PNG file or a GIF.

The callbacks decide when to make a picture during training.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kerasmodes import arguments, atomic_files

if TYPE_CHECKING:  # Matplotlib takes long to import: only the functions that draw do it.
    from matplotlib.figure import Figure

LEAST_TEXT = 10  # pixels


def image_grid(
    scales: npt.ArrayLike | Sequence[npt.ArrayLike],
    num_images: int = 8,
    zoom: int = 1,
    gap: int = 0,
) -> np.ndarray:
    """Returns the first images of a batch as one picture, a row for each scale.

    The smallest scale is the top row. Smaller images are enlarged to the size of the largest by
    repeating pixels, so that one pixel stays one square. Values outside [-1, 1] are clipped. NaN is
    drawn as a checkerboard of black and white pixels, which no image contains by chance. One or two
    channels show the first in gray; three or more show the first three as RGB.

    Args:
        scales: Float arrays or tensors `[B, h, w, C]` with values in [-1, 1], from the smallest to
            the largest scale, each height and width a divisor of the largest; or one such array.
        num_images: Integer, at least 1: the number of columns, at most B. Defaults to `8`.
        zoom: Integer, at least 1: width and height, in pixels of the picture, of a pixel of the
            largest scale. Defaults to `1`.
        gap: Integer, at least 0: white pixels of the picture between two images. Defaults to `0`.

    Returns:
        A uint8 NumPy array of shape `[rows * H, columns * W, 1 or 3]`, and more by the gaps, where
        rows is the number of scales, columns the smaller of `num_images` and B, and H, W are `zoom`
        times the size of the largest scale.

    Raises:
        ValueError: if the arrays are not as above.

    Example:
        >>> import kerasmodes as km
        >>> images = next(iter(km.data.images("fashion_mnist_sample")))
        >>> km.data.image_grid([images[:, ::2, ::2], images]).shape
        (56, 224, 1)
    """
    scales = _check_scales(scales)
    arguments.check_positive_integers(num_images=num_images, zoom=zoom)
    arguments.check_integers(0, gap=gap)
    size = [zoom * side for side in scales[-1].shape[1:3]]
    rows = [_join(_draw_images(scale[:num_images], *size), gap, axis=1) for scale in scales]
    return _join(rows, gap, axis=0)


def label_rows(picture: np.ndarray, names: Sequence[str], gap: int = 0) -> np.ndarray:
    """Returns a picture of `image_grid` with a name on the left of each row, black on white.

    Args:
        picture: uint8 array `[height, width, 1 or 3]`, whose rows have equal heights.
        names: List of a string for each row.
        gap: As in `image_grid`. Defaults to `0`.

    Returns:
        A uint8 array of the same height and channels, and wider.

    Raises:
        ValueError: if the rows of so many names would not have equal heights.

    Example:
        >>> import kerasmodes as km
        >>> images = next(iter(km.data.images("fashion_mnist_sample")))
        >>> picture = km.data.image_grid([images[:2], images[2:4]], zoom=4, gap=4)
        >>> named = km.data.label_rows(picture, ["first", "second"], gap=4)
    """
    from PIL import Image, ImageDraw, ImageFont

    if not names or (len(picture) + gap) % len(names):
        raise ValueError(
            "`names` must be one for each row of the picture. "
            f"Received: {len(names)} names, a picture of shape {picture.shape}, gap={gap}"
        )
    pitch = (len(picture) + gap) // len(names)
    size = max(LEAST_TEXT, (pitch - gap) // 5)
    font = ImageFont.load_default(size)
    width = round(max(map(font.getlength, names))) + size
    margin = Image.new("L", (width, len(picture)), 255)
    for row, name in enumerate(names):
        place = (width - size // 2, row * pitch + (pitch - gap) // 2)
        ImageDraw.Draw(margin).text(place, name, fill=0, font=font, anchor="rm")
    labels = np.asarray(margin)[..., np.newaxis].repeat(picture.shape[-1], axis=-1)
    return np.concatenate([labels, picture], axis=1)


def plot_batch(
    scales: npt.ArrayLike | Sequence[npt.ArrayLike],
    num_images: int = 8,
    path: str | os.PathLike | None = None,
) -> "Figure":
    """Returns a figure of `image_grid`, each row labelled with its resolution.

    Args:
        scales: As in `image_grid`.
        num_images: As in `image_grid`. Defaults to `8`.
        path: Path of a PNG file to write as well, ending in `.png`. Its folder is created; the
            write is atomic. Defaults to `None`: no file.

    Returns:
        A `matplotlib.figure.Figure` without a window, so that it needs no display.

    Raises:
        ValueError: if the arrays or the path are not as above.

    Example:
        >>> import kerasmodes as km
        >>> images = next(iter(km.data.images("fashion_mnist_sample")))
        >>> figure = km.data.plot_batch([images[:, ::2, ::2], images], path="batch.png")
    """
    from matplotlib.figure import Figure

    if path is not None:
        arguments.check_file("path", path, ".png")
    sizes = [scale.shape[1:3] for scale in _check_scales(scales)]
    rows, (height, width) = len(sizes), sizes[-1]
    gap = max(1, width // 28)
    grid = image_grid(scales, num_images, gap=gap)
    inches = (0.7 + grid.shape[1] / width, grid.shape[0] / width)  # An image is 1 inch wide.
    figure = Figure(figsize=inches, dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks(
        [(height + gap) * row + (height - 1) / 2 for row in range(rows)],
        [f"{h}×{w}" for h, w in sizes],
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if path is not None:
        with atomic_files.atomic_write(path) as temporary:
            figure.savefig(temporary, format="png")
    return figure


def save_image(array: np.ndarray, path: str | os.PathLike) -> None:
    """Writes an image as a PNG file, in an atomic write.

    Args:
        array: uint8 NumPy array of shape `[H, W]`, `[H, W, 1]` (both gray) or `[H, W, 3]` (RGB).
        path: Path of the file, ending in `.png`; its folder is created, an older file replaced.

    Raises:
        ValueError: if the array or the path is not as above.

    Example:
        >>> import numpy as np
        >>> import kerasmodes as km
        >>> km.data.save_image(np.zeros((28, 28), "uint8"), "black.png")
    """
    arguments.check_file("path", path, ".png")
    with atomic_files.atomic_write(path) as temporary:
        _make_picture(array).save(temporary, format="PNG")


def save_gif(frames: Sequence[np.ndarray], path: str | os.PathLike, seconds: float = 0.1) -> None:
    """Writes an animation that repeats forever, in an atomic write.

    Args:
        frames: List of one or more uint8 arrays as in `save_image`, of one shape.
        path: Path of the file, ending in `.gif`; its folder is created, an older file replaced.
        seconds: Float, seconds a frame is shown; GIF counts in hundredths. Defaults to `0.1`.

    Raises:
        ValueError: if the frames or the path are not as above.

    Example:
        >>> import numpy as np
        >>> import kerasmodes as km
        >>> black = np.zeros((28, 28), "uint8")
        >>> km.data.save_gif([black, black + 255], "blinking.gif")
    """
    shapes = {np.shape(frame) for frame in frames}
    if len(shapes) != 1:
        raise ValueError(
            f"`frames` must be pictures of one shape. Received: shapes={sorted(shapes)}"
        )
    arguments.check_file("path", path, ".gif")
    first, *others = [_make_picture(frame).convert("P") for frame in frames]
    with atomic_files.atomic_write(path) as temporary:
        first.save(
            temporary,
            save_all=True,
            append_images=others,
            duration=round(1000 * seconds),
            loop=0,
        )


def _make_picture(array):
    from PIL import Image

    array = np.asarray(array)
    gray = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.dtype != np.uint8 or not (gray.ndim == 2 or gray.ndim == 3 and gray.shape[-1] == 3):
        raise ValueError(
            "`array` must be uint8 of shape [H, W], [H, W, 1] or [H, W, 3]. "
            f"Received: array of dtype={array.dtype}, shape={array.shape}"
        )
    return Image.fromarray(gray)


def _check_scales(scales):
    """Returns the scales as float32 arrays, smallest first; raises a `ValueError` otherwise."""
    scales = scales if isinstance(scales, list | tuple) else [scales]
    arrays = [np.asarray(scale) for scale in scales]
    shapes = [array.shape for array in arrays]
    largest = shapes[-1] if shapes else ()
    if len(largest) != 4 or 0 in largest:
        raise ValueError(f"`scales` must hold images [B, h, w, C]. Received: shapes={shapes}")
    if any(np.issubdtype(array.dtype, np.integer) for array in arrays):
        raise ValueError(
            "`scales` must hold floats in [-1, 1]. "
            f"Received: dtypes={[str(array.dtype) for array in arrays]}"
        )
    sizes = [shape[1:3] for shape in shapes]
    if sizes != sorted(sizes) or not all(_fits(shape, largest) for shape in shapes):
        raise ValueError(
            "`scales` must go from the smallest to the largest, with equal B and C and sizes that "
            f"divide the largest. Received: shapes={shapes}"
        )
    num_drawn = 3 if largest[-1] >= 3 else 1
    return [array[..., :num_drawn].astype("float32") for array in arrays]


def _fits(shape, largest):
    """Returns whether images of this shape can be enlarged to the largest ones."""
    if len(shape) != 4 or (shape[0], shape[3]) != (largest[0], largest[3]) or 0 in shape:
        return False
    return largest[1] % shape[1] == 0 and largest[2] % shape[2] == 0


def _draw_images(images, height, width):
    """Returns the images `[B, h, w, C]` as uint8 `[B, height, width, C]`."""
    images = images.repeat(height // images.shape[1], axis=1)
    images = images.repeat(width // images.shape[2], axis=2)
    checkerboard = np.indices((height, width)).sum(axis=0)[..., np.newaxis] % 2 * 255
    is_nan = np.isnan(images)
    levels = np.rint((np.clip(np.where(is_nan, 0, images), -1, 1) + 1) * 127.5)
    return np.where(is_nan, checkerboard, levels).astype("uint8")


def _join(pictures, gap, axis):
    """Returns pictures in a row, or one below the other, with white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = gap
    white = np.full(shape, 255, "uint8")
    return np.concatenate([part for one in pictures for part in (white, one)][1:], axis)
