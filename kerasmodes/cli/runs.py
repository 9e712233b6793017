"""What the commands on a trained GAN share: the model of a run, and the images it learned from.

How a run comes about is in `training.py`.
"""

import pathlib

import keras
import numpy as np

from kerasmodes import data, models
from kerasmodes.cli import run_folders

DATA_PLACES = ("data_dir", "idx_dir")


def add_run_argument(parser):
    parser.add_argument("run", type=str, help="Folder of a run of `kerasmodes train msggan`.")


def add_images_arguments(parser):
    parser.add_argument(
        "--data",
        type=str | None,
        help="The `name` for `km.data.images` (default: that of the run).",
    )
    skip = {"name", "split", "batch_size", "with_labels", "seed"}
    parser.add_function_arguments(data.images, skip=skip)


def load_gan(run):
    """Returns the MSGGAN in a run's folder."""
    path = pathlib.Path(run) / "model.keras"
    if not path.is_file():
        raise ValueError(f"`run` must hold a model.keras. Received: run={run!r}")
    try:
        gan = keras.models.load_model(path)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"`run` must hold a model.keras that can be read. Received: run={run!r}: {error}"
        ) from error
    if not isinstance(gan, models.MSGGAN):
        raise ValueError(
            f"`run` must hold an MSGGAN. Received: run={run!r} with {type(gan).__name__}"
        )
    return gan


def data_name(flags):
    """Returns the name of the data set that is asked for, or that the run was trained on."""
    name = flags.data or run_folders.config_of(flags.run).get("data")
    if name is None:
        raise ValueError(
            "`data` must name a data set, since the run's config.json does not. Received: data=None"
        )
    return name


def all_images(flags, split, image_shape):
    """Returns the images of a split, `[n, height, width, channels]`, each time in the same order.

    Raises:
        ValueError: If they are not of the model's shape.
    """
    config = run_folders.config_of(flags.run)
    places = {name: flags[name] or config.get(name) for name in DATA_PLACES}
    arguments = {"name": data_name(flags), "split": split, "seed": 0, **places}
    # A batch that holds all: an incomplete one of a training split would be dropped.
    count = int(data.images(**arguments, batch_size=1).cardinality())
    batches = data.images(**arguments, batch_size=count)
    images = np.concatenate([batch.numpy() for batch in batches])
    if images.shape[1:] != tuple(image_shape):
        raise ValueError(
            f"`data` must hold images of the model's shape {tuple(image_shape)}. "
            f"Received: data={arguments['name']!r} with {images.shape[1:]}"
        )
    return images
