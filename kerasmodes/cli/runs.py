"""What the commands on a trained GAN share: the model of a run, and the images it learned from.

How a run is trained is in `training.py`.
"""

import re
import warnings
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jsonargparse

import kerasmodes as km
from kerasmodes.cli import declared, kinds, run_folders
from kerasmodes.cli.flags import add_arguments, add_flag, read_images

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import keras
    import numpy as np

DATA_PLACES = ("data_dir", "idx_dir")
COLOUR_SHAPES = "colour_shapes"
OWN_SETS = ("fashion_mnist_sample", "fashion_mnist", COLOUR_SHAPES)
# Of a data set of TFDS's own; a name with a namespace may fetch a program, too.
PLAIN_NAME = re.compile(r"\w+(/[\w.+-]+)?(:[\d.*]+)?")
SET_OF_CLASSES = "fashion_mnist"  # Data sets whose names begin so have its classes.


def add_run_argument(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the folder of a finished run."""
    parser.add_argument("run", type=str, help="Folder of a run of `kerasmodes train msggan`.")


def add_images_arguments(parser: jsonargparse.ArgumentParser) -> None:
    """Adds the flags of the images that a run's model is compared with."""
    words = "The name for km.data.images; without it, that of the run."
    add_flag(parser, "data", "data", kinds.NAME, help=words)
    skip = {"name", "split", "batch_size", "with_labels", "seed"}
    add_arguments(parser, "data", declared.km.data.images, skip=skip)


def load_model(run: str, compile: bool = True) -> "keras.Model":
    """Returns the model in a run's folder.

    Args:
        run: The folder.
        compile: Whether it is compiled as it was, which needs the classes of its optimizers.

    Raises:
        ValueError: If the folder holds no model, or one that cannot be read.
    """
    import keras

    path = run_folders.find_path(run, "model.keras")
    if not path.is_file():
        raise ValueError(f"`run` must hold a model.keras. Received: run={run!r}")
    try:
        if not zipfile.is_zipfile(path):  # Keras says that there is no file.
            raise ValueError("it is damaged")
        with warnings.catch_warnings(record=True) as found:  # Dozens, if it is another's weights.
            model = keras.models.load_model(path, compile=compile)
    except Exception as error:  # A damaged file may end in any error of its readers.
        raise ValueError(
            f"`run` must hold a model.keras that can be read. Received: run={run!r}: "
            f"{_find_reason(error)}"
        ) from error
    for one in found:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return model


def _find_reason(error):
    """Returns the line of an error that says why: Keras writes whole configurations around it."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    inner = [line for line in lines if line.startswith("Exception encountered: ")]
    return inner[-1].removeprefix("Exception encountered: ") if inner else lines[0]


def load_gan(run: str) -> "km.MSGGAN":
    """Returns the MSGGAN in a run's folder.

    Raises:
        ValueError: If the folder holds no model, another one, or one that cannot be read.
    """
    gan = load_model(run)
    if not isinstance(gan, km.MSGGAN):
        raise ValueError(
            f"`run` must hold an MSGGAN. Received: run={run!r} with {type(gan).__name__}"
        )
    return gan


def find_data_name(flags: jsonargparse.Namespace) -> str:
    """Returns the name of the data set in the flags, or of the one that the run was trained on.

    Raises:
        ValueError: If neither names a data set, or the run alone one that is not on this machine.
    """
    if flags.data:
        return flags.data
    name = run_folders.read_config(flags.run).get("data")
    if name is None:
        raise ValueError(
            "`data` must name a data set, since the run's config.yaml does not. Received: data=None"
        )
    if not isinstance(name, str):
        raise ValueError(f"`data` must be a string. Received: data={name!r}")
    if not _is_here(name, flags.data_dir):
        raise ValueError(
            "`data` must be given for a data set that is to be fetched. Received: data=None, and a "
            f"config.yaml that names {name!r}. If you trust the run, add --data={name}"
        )
    return name


def _is_here(name, data_dir):
    """Returns whether a data set is the package's own, or has been prepared by TFDS."""
    if name in OWN_SETS:
        return True
    import tensorflow_datasets as tfds

    if not PLAIN_NAME.fullmatch(name):
        return False
    try:
        return tfds.builder(name, data_dir=data_dir).is_prepared()
    except (ValueError, AssertionError):  # No data set.
        return False


def _find_places(flags):
    """Returns the folders of data in the flags; of those in the run's settings, none is read."""
    config = run_folders.read_config(flags.run)
    for name in DATA_PLACES:
        if config.get(name) and not flags[name]:
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"`{name}` must be given for a run whose data are in a folder of their own. "
                f"Received: {name}=None, and a config.yaml with {name}={config[name]!r}. If you "
                f"trust the run, add {flag}={config[name]}"
            )
    return {name: flags[name] for name in DATA_PLACES}


def list_class_names(data: object, num_classes: int) -> list[str]:
    """Returns the names of classes, by label.

    Args:
        data: Name of the data set that they are of, as the flags or a `config.yaml` have it.
        num_classes: Positive int.
    """
    classes = ()
    if str(data).startswith(SET_OF_CLASSES):
        classes = km.data.fashion_mnist.CLASSES
    elif data == COLOUR_SHAPES:
        classes = km.data.shapes.CLASSES
    if num_classes <= len(classes):
        return list(classes[:num_classes])
    return [f"class {label}" for label in range(num_classes)]


def choose_samples(flags: jsonargparse.Namespace) -> dict[str, Any]:
    """Returns arguments of callbacks that draw samples: one of each class, below its name.

    Args:
        flags: The flags of `train msggan`; without `num_classes`, nothing is chosen.
    """
    if flags.num_classes is None:
        return {}
    names = list_class_names(flags.data, flags.num_classes)
    return {"num_images": flags.num_classes, "class_names": names}


def load_images(
    flags: jsonargparse.Namespace, split: str, image_shape: Sequence[int]
) -> "np.ndarray":
    """Returns all images of a split, `[n, height, width, channels]`, always in the same order.

    Raises:
        ValueError: If they do not have the model's shape.
    """
    import numpy as np

    name = find_data_name(flags)
    arguments = {"name": name, "split": split, "seed": 0, **_find_places(flags)}
    # One batch of all images: a training split drops its last incomplete batch.
    count = int(read_images(**arguments, batch_size=1).cardinality())
    batches = read_images(**arguments, batch_size=count)
    images = np.concatenate([batch.numpy() for batch in batches])
    if images.shape[1:] != tuple(image_shape):
        raise ValueError(
            f"`data` must hold images of the model's shape {tuple(image_shape)}. "
            f"Received: data={arguments['name']!r} with {images.shape[1:]}"
        )
    return images
