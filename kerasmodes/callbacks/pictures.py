"""Pictures of a run: a grid of samples after each epoch, and the curves of the logs.

How images are drawn is in `data/image_grid.py`. With several workers, only the chief writes files.
"""

import json
import math
import os
import pathlib

import keras
import numpy as np

from kerasmodes import arguments, atomic_files, data, random, replicas

FRAME_SECONDS = 0.3
ZOOM = 4
PANELS_IN_A_ROW = 4
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

    Raises:
        ValueError: If `num_images` is not positive, or `directory` is a file.
        TypeError: At the start of training, if the model has no `latent_dim`.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile()
    images = km.data.images("fashion_mnist_sample", batch_size=64)
    gan.fit(images, epochs=2, callbacks=[km.callbacks.SampleGrid("samples")])
    ```
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        num_images: int = 8,
        seed: int = 0,
        averaged: bool = True,
    ):
        super().__init__()
        arguments.check_positive_integers(num_images=num_images)
        self.directory = pathlib.Path(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"`directory` must be a folder. Received: the file {directory!r}")
        self.averaged = averaged
        self.num_images = num_images
        self.seed = seed
        self.paths = []

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "latent_dim"):
            raise TypeError(
                "SampleGrid needs a model that makes images from latents of `latent_dim`. "
                f"Received: {type(self.model).__name__}"
            )
        self.paths = []

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        latents = random.normal((self.num_images, self.model.latent_dim), seed=self.seed)
        path = self._make_path(epoch)
        own_weights = {} if self.averaged else {"averaged": False}
        scales = self.model(latents, training=False, **own_weights)
        data.save_image(data.image_grid(scales, self.num_images, zoom=ZOOM), path)
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
    """After each epoch, draws all values of the logs by epoch, a panel for each quantity.

    Training and validation share a panel. The file also stores the numbers: a fit that starts at a
    later epoch adds to those of earlier epochs. The file is written by an atomic write.

    Args:
        path: PNG file to write; its folder is made if missing.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    model = km.SumRegressor()
    model.compile()
    model.fit(x, y, epochs=3, callbacks=[km.callbacks.LossCurves("curves.png")])
    ```
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = pathlib.Path(path)
        self.curves = {}

    def on_train_begin(self, logs=None):
        self.curves = {}

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        if not self.curves and epoch > 0:
            self.curves = _read_curves(self.path, epoch)
        for name, value in (logs or {}).items():
            self.curves.setdefault(name, []).append((epoch + 1, float(value)))
        _draw_curves(self.curves, self.path)


def _draw_curves(curves, path):
    import matplotlib.figure

    names = [n for n in curves if not (n.startswith("val_") and n.removeprefix("val_") in curves)]
    columns = min(len(names), PANELS_IN_A_ROW)
    rows = math.ceil(len(names) / columns)
    figure = matplotlib.figure.Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        for curve, label in ((name, "training"), (f"val_{name}", "validation")):
            if curve in curves:
                axes.plot(*zip(*curves[curve], strict=True), marker=".", label=label)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if f"val_{name}" in curves:
            axes.legend()
    with atomic_files.atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={CURVES_KEY: json.dumps(curves)})


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
    kept = {n: [tuple(p) for p in points if p[0] <= num_epochs] for n, points in curves.items()}
    return {name: points for name, points in kept.items() if points}


def _read_pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)
