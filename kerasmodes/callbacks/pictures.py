"""Pictures of a run: a grid of samples after each epoch, and the curves of the logs.

How images are drawn is in `data/image_grid.py`. With several workers, only the chief writes files.
"""

import json
import math
import os
import pathlib
import time
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt

from kerasmodes import (
    arguments,
    atomic_files,
    data,
    figure_style,
    log_panels,
    random,
    replicas,
)

FRAME_SECONDS = 0.3
ZOOM = 4
GAP = 4  # pixels between images
MOST_TEXT, LEAST_TEXT = 20, 10  # pixels
PANELS_IN_A_ROW = 2  # More would not be legible in a page of 830 pixels.
LEGEND_TOP = -0.22  # of the height of a panel: below the words on its axis
LINE_STYLES = ("-", "--", "-.", ":")
DRAWING_SHARE = 0.05  # of the time of a fit, for its curves
CURVES_KEY = "curves"  # names the text in a PNG file that holds its curves


class SampleGrid(keras.callbacks.Callback):
    """After each epoch, draws what the model makes of the same latents; at the end, a GIF.

    Writes `epoch_001.png` and so on, a row for each scale, and `progress.gif` of them. When a fit
    starts at a later epoch, the GIF includes the pictures of earlier epochs that are in the folder
    and have the same size. Each file is written by an atomic write.

    Args:
        directory: Folder for the pictures; made if missing.
        num_images: Positive int, images in a row.
        seed: Int, at least 0, that fixes the latents.
        averaged: Bool, whether the averaged weights make the images, if the model has an average.
        class_names: List of the names of the classes, by label, to write above the columns of a
            model that generates by class; `None` writes none.

    Raises:
        ValueError: If `num_images` is not positive, or `directory` is a file; at the start of
            training, if `class_names` are not those of the model's `num_classes`.
        TypeError: At the start of training, if the model has no `latent_dim`.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile()
    images = km.data.images("fashion_mnist_sample", batch_size=64)
    gan.fit(images, epochs=2, callbacks=[km.callbacks.SampleGrid("samples")])
    ```
    """

    writes_to = "directory"

    def __init__(
        self,
        directory: str | os.PathLike,
        num_images: int = 8,
        seed: int = 0,
        averaged: bool = True,
        class_names: Sequence[str] | None = None,
    ):
        super().__init__()
        arguments.check_positive_integers(num_images=num_images)
        arguments.check_no_file("directory", directory)
        self.directory = pathlib.Path(directory)
        self.averaged = averaged
        self.num_images = num_images
        self.seed = seed
        self.class_names = class_names
        self.paths = []

    def on_train_begin(self, logs=None):
        check_latents(self.model, "SampleGrid")
        check_class_names(self.model, self.class_names)
        self.paths = []

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        path = self._make_path(epoch)
        scales = draw_samples(self.model, self.num_images, self.seed, self.averaged)
        data.save_image(draw_grid(scales, ZOOM, self.class_names), path)
        self.paths.append(path)

    def on_train_end(self, logs=None):
        if self.paths:
            first = int(self.paths[0].stem.removeprefix("epoch_"))
            earlier = [self._make_path(epoch) for epoch in range(first - 1)]
            frames = [_read_pixels(path) for path in [*earlier, *self.paths] if path.exists()]
            frames = [frame for frame in frames if frame.shape == frames[-1].shape]
            data.save_gif(frames, self.directory / "progress.gif", FRAME_SECONDS)

    def _make_path(self, epoch):
        return self.directory / f"epoch_{epoch + 1:03d}.png"


class LossCurves(keras.callbacks.Callback):
    """Draws all values of the logs by epoch, a panel for each quantity.

    Losses come first, those of a GAN in one panel, beside them the Fréchet distance.

    It draws after each epoch, or less often where epochs are short: drawing takes at most a
    twentieth of the time. The last picture is that of the end of training.

    Training and validation share a panel. The file also stores the numbers: a fit that starts at a
    later epoch adds to those of earlier epochs. The file is written by an atomic write.

    Args:
        path: PNG file to write; its folder is made if missing.

    Raises:
        ValueError: If `path` does not end in `.png`, is a folder, or is in a file.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    model = km.SumRegressor()
    model.compile()
    model.fit(x, y, epochs=3, callbacks=[km.callbacks.LossCurves("curves.png")])
    ```
    """

    writes_to = "path"

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        arguments.check_file("path", path, ".png")
        self.path = pathlib.Path(path)
        self.curves = {}
        self._is_drawn, self._due = True, 0.0

    def get_state(self) -> dict:
        """Returns the curves, for a fit that resumes this one: the file may lack the last ones."""
        return {"curves": self.curves}

    def set_state(self, state: dict) -> None:
        """Takes what `get_state` has returned."""
        self.curves = state["curves"]

    def on_train_begin(self, logs=None):
        self.curves = {}
        self._is_drawn, self._due = True, 0.0

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        if not self.curves and epoch > 0:
            self.curves = _read_curves(self.path, epoch)
        for name, value in (logs or {}).items():
            self.curves.setdefault(name, []).append([epoch + 1, float(value)])
        self._is_drawn = False
        if time.perf_counter() >= self._due:
            self._draw()

    def on_train_end(self, logs=None):
        if not self._is_drawn:
            self._draw()

    def _draw(self):
        start = time.perf_counter()
        _draw_curves(self.curves, self.path)
        end = time.perf_counter()
        self._is_drawn, self._due = True, end + (end - start) / DRAWING_SHARE


def check_latents(model: keras.Model, name: str) -> None:
    """Raises a `TypeError` unless a model makes images from latents; `name` is what needs it."""
    if not hasattr(model, "latent_dim"):
        raise TypeError(
            f"{name} needs a model that makes images from latents of `latent_dim`. "
            f"Received: {type(model).__name__}"
        )


def check_class_names(model: keras.Model, class_names: Sequence[str] | None) -> None:
    """Raises a `ValueError` unless a model that tells its number of classes has as many names."""
    if not class_names:
        return
    num_classes = getattr(model, "num_classes", len(class_names))
    if len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` must be left out, or name each class of a model with `num_classes`. "
            f"Received: {len(class_names)} names, num_classes={num_classes}"
        )


def draw_samples(model: keras.Model, num_images: int, seed: int, averaged: bool) -> list:
    """Returns what a model makes of the same latents each time, a batch of images for each scale.

    Args:
        model: A model with `latent_dim`.
        num_images: Images in a batch.
        seed: Fixes the latents.
        averaged: Whether the averaged weights make them, if the model has an average.
    """
    latents = random.normal((num_images, model.latent_dim), seed=seed)
    own_weights = {} if averaged else {"averaged": False}
    scales = model(latents, training=False, **own_weights)
    return list(scales) if isinstance(scales, (list, tuple)) else [scales]


def draw_grid(
    scales: Sequence[npt.ArrayLike],
    zoom: int,
    class_names: Sequence[str] | None,
    labels: Sequence[int] | None = None,
) -> np.ndarray:
    """Returns samples as one picture, uint8 `[height, width, 1 or 3]`: a row for each scale.

    Args:
        scales: What `draw_samples` returns, or some of it.
        zoom: Pixels of the picture, in width and height, for one of the largest scale.
        class_names: The names of the classes, by label; `None` writes none.
        labels: The label of each column; `None` for the classes in turn.
    """
    count = len(scales[-1])
    grid = data.image_grid(scales, count, zoom=zoom, gap=GAP)
    if not class_names:
        return grid
    if labels is None:
        labels = [n % len(class_names) for n in range(count)]
    return _write_names(grid, labels, class_names)


def _write_names(grid, labels, names):
    """Returns a grid with the name of its class above each column, or the label in little room."""
    from PIL import Image, ImageDraw, ImageFont

    pitch = (grid.shape[1] + GAP) // len(labels)
    room = pitch - 3 * GAP
    for size in range(MOST_TEXT, LEAST_TEXT - 1, -1):
        font = ImageFont.load_default(size)
        if max(map(font.getlength, names)) <= room:
            break
    else:
        names = [*map(str, range(len(names)))]
    margin = Image.new("L", (grid.shape[1], 2 * size), 255)
    for column, label in enumerate(labels):
        place = (column * pitch + (pitch - GAP) // 2, size)
        ImageDraw.Draw(margin).text(place, names[label], fill=0, font=font, anchor="mm")
    pixels = np.asarray(margin)[..., np.newaxis].repeat(grid.shape[-1], axis=-1)
    return np.concatenate([pixels, grid], axis=0)


def _draw_curves(curves, path):
    panels = log_panels.list_panels(curves)
    if not panels:  # A step without logs.
        return
    columns = min(len(panels), PANELS_IN_A_ROW)
    rows = math.ceil(len(panels) / columns)
    figure = figure_style.make_figure(4 * columns, 3 * rows)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    for place, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(rows, columns, place + 1), panel)
    with atomic_files.atomic_write(path) as temporary:
        figure.savefig(temporary, metadata={CURVES_KEY: json.dumps(curves)})


def _draw_panel(axes, panel):
    for number, line in enumerate(panel.lines):
        color = figure_style.COLORS[number % len(figure_style.COLORS)]
        style = LINE_STYLES[number % len(LINE_STYLES)]
        points = zip(*line.points, strict=True)
        axes.plot(*points, ls=style, color=color, marker=".", label=line.label)
    is_log = log_panels.has_log_axis(panel)
    if is_log:
        axes.set_yscale("log")
    else:
        _leave_out_negatives(axes, [value for line in panel.lines for _, value in line.points])
    axes.set_ylabel(f"{panel.unit}, log axis" if is_log else panel.unit)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure_style.style_axes(axes)
    figure_style.set_title(axes, panel.title)
    if len(panel.lines) > 1:  # Below the panel: within, it would lie on lines.
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, LEGEND_TOP), "ncols": 2}
        axes.legend(frameon=False, fontsize=figure_style.SMALL, **below)


def _leave_out_negatives(axes, values):
    """Lets an axis begin at 0 that would have numbers below it beside values that have not."""
    values = [value for value in values if math.isfinite(value)]
    low, high = axes.get_ylim()
    if values and low < 0 <= min(values):
        axes.set_ylim(0, high if max(values) > 0 else 1)


def _read_curves(path, num_epochs):
    """Returns the curves in a picture up to an epoch, a dict; empty if there is no picture."""
    from PIL import Image

    if not path.exists():
        return {}
    try:
        with Image.open(path) as image:
            curves = json.loads(image.info.get(CURVES_KEY, "{}"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"`path` must be a picture that can be read, or none, to add later epochs to. "
            f"Received: path={str(path)!r}, {error}"
        ) from error
    kept = {n: [p for p in points if p[0] <= num_epochs] for n, points in curves.items()}
    return {name: points for name, points in kept.items() if points}


def _read_pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)
