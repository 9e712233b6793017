"""Makes a TFDS data set of Fashion-MNIST from IDX files in a folder.

`image_pipeline.py` reads a prepared set and lets TFDS download one.
"""

import functools
import gzip
import math
import os
import pathlib
import struct
import tempfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from kerasmodes import arguments

if TYPE_CHECKING:  # TFDS takes long to import: only the functions that read do it.
    import tensorflow_datasets as tfds

# Debian's package `dataset-fashion-mnist`. Its pixels are the original ones, its gzip headers are
# not. TFDS compares checksums of files, so it does not accept these.
DEBIAN_DIR = pathlib.Path("/usr/share/datasets/fashion-mnist")
IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
NUM_EXAMPLES = {"train": 60_000, "test": 10_000}
IMAGE_SIZE = (28, 28)
CLASSES = (  # By label.
    *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
NUM_CLASSES = len(CLASSES)
IDX_UINT8 = 0x0800  # The magic number of an IDX file of bytes is this plus the number of axes.


def prepare(
    idx_dir: str | os.PathLike | None = None, data_dir: str | os.PathLike | None = None
) -> str:
    """Makes the TFDS data set "fashion_mnist" from IDX files; needs no network.

    It takes 10 to 30 seconds, once: a prepared set stays as it is, after a check of `idx_dir` if
    one is given. Afterwards `tfds.load("fashion_mnist", data_dir=data_dir)` works as well. All four
    files are fully checked before anything is written. An interrupted preparation leaves nothing
    that TFDS takes for a data set.

    Args:
        idx_dir: Folder with the four files of Fashion-MNIST, `train-images-idx3-ubyte`,
            `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each
            plain or with `.gz` at its end. `None` means `/usr/share/datasets/fashion-mnist`, where
            Debian's package `dataset-fashion-mnist` puts them. Defaults to `None`.
        data_dir: Folder of TFDS's data sets. `None` means TFDS's own, which is the environment
            variable `TFDS_DATA_DIR`, or `~/tensorflow_datasets`. Defaults to `None`.

    Returns:
        The folder of the prepared set, a string.

    Raises:
        ValueError: if a file is missing, cut short, or not one of Fashion-MNIST, or if `data_dir`
            is no folder to write to.
        RuntimeError: if the set's folder exists but does not hold a prepared set.

    Example:
        >>> import kerasmodes as km
        >>> folder = km.data.prepare()
    """
    builder = _make_builder_class()(data_dir=data_dir)
    prepared = is_prepared(builder)
    if prepared and idx_dir is None:
        return str(builder.data_dir)
    if not prepared and data_dir is not None:
        arguments.check_folder("data_dir", data_dir)
    folder = pathlib.Path(DEBIAN_DIR if idx_dir is None else idx_dir).expanduser()
    for split in IDX_FILES:
        read_split(folder, split)
    if not prepared:
        _write(builder, folder)
    return str(builder.data_dir)


def is_prepared(builder: "tfds.core.DatasetBuilder") -> bool:
    """Returns whether TFDS can read the builder's data set; a broken one is a `RuntimeError`."""
    if not builder.data_path.exists():
        return False
    if not builder.is_prepared():
        raise RuntimeError(
            "The folder of a TFDS data set must hold a `dataset_info.json`. "
            f"Received: folder={str(builder.data_dir)!r}. Remove that folder and try again."
        )
    return True


def read_split(folder: str | os.PathLike, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and the labels of one split from its two IDX files, fully checked.

    Args:
        folder: Folder of the IDX files, a string or a path.
        split: `"train"` or `"test"`.

    Returns:
        A pair `(images, labels)` of uint8 NumPy arrays: `[N, 28, 28, 1]` with values in 0 to 255,
        and `[N]` with values in 0 to 9; N is 60,000 for `"train"` and 10,000 for `"test"`.

    Raises:
        ValueError: if the split is unknown, or if a file is missing, cut short, or not one of
            Fashion-MNIST.
    """
    arguments.check_choice("split", split, IDX_FILES)
    image_name, label_name = IDX_FILES[split]
    count = NUM_EXAMPLES[split]
    images = _read_idx(_find(folder, image_name), (count, *IMAGE_SIZE))
    label_path = _find(folder, label_name)
    labels = _read_idx(label_path, (count,))
    if labels.max() >= NUM_CLASSES:
        raise ValueError(
            f"`{label_path}` must hold labels from 0 to {NUM_CLASSES - 1}. "
            f"Received: largest label={labels.max()}"
        )
    return images[..., np.newaxis], labels


def _find(folder, name):
    for path in (pathlib.Path(folder, name), pathlib.Path(folder, name + ".gz")):
        if path.is_file():
            return path
    raise ValueError(
        f"`idx_dir` must be a folder with the file {name} or {name}.gz. "
        f"Received: idx_dir={str(folder)!r}. Debian's package `dataset-fashion-mnist` has all four."
    )


def _read_idx(path, shape):
    """Returns the IDX file as a uint8 array of exactly this shape."""
    data = _read_bytes(path)
    header = struct.Struct(f">{1 + len(shape)}I")
    if len(data) < header.size:
        raise ValueError(
            f"`{path}` must start with an IDX header of {header.size} bytes. "
            f"Received: size={len(data)} bytes"
        )
    magic, *dimensions = header.unpack_from(data)
    _check_equal(path, "magic number", IDX_UINT8 + len(shape), magic)
    _check_equal(path, "number of examples", shape[0], dimensions[0])
    _check_equal(path, "image size", shape[1:], tuple(dimensions[1:]))
    _check_equal(path, "bytes after the header", math.prod(shape), len(data) - header.size)
    return np.frombuffer(data, np.uint8, offset=header.size).reshape(shape)


def _read_bytes(path):
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"`{path}` must be a complete gzip file. Received: {error}. Fetch the file again."
        ) from error


def _check_equal(path, what, expected, received):
    if received != expected:
        raise ValueError(f"`{path}` must have {what}={expected}. Received: {what}={received}")


@functools.cache  # TFDS remembers every builder class: make a single one.
def _make_builder_class():
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.image_classification import mnist

    with registered.skip_registration():

        class FashionMNIST(mnist.FashionMNIST):
            """TFDS's own data set in name, version and features, read from a folder."""

            name = "fashion_mnist"
            url_infos = {}  # Nothing is downloaded, so there are no checksums to look up.
            MANUAL_DOWNLOAD_INSTRUCTIONS = "The four IDX files of Fashion-MNIST."

            def _split_generators(self, dl_manager):
                folder = dl_manager.manual_dir
                return {
                    split: _generate_examples(*read_split(folder, split)) for split in IDX_FILES
                }

    return FashionMNIST


def _generate_examples(images, labels):
    # TFDS orders examples by a hash of the key; the index, as in its own builder, gives its order.
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield index, {"image": image, "label": int(label)}


def _write(builder, folder):
    import tensorflow_datasets as tfds

    with tempfile.TemporaryDirectory() as download_dir:
        try:
            builder.download_and_prepare(
                download_dir=download_dir,
                download_config=tfds.download.DownloadConfig(manual_dir=folder),
            )
        except OSError:
            # Another process, such as another worker, may have finished first.
            if not is_prepared(builder):
                raise
