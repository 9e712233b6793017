"""The real images that generated ones are compared with, and their features, cached on disk.

They are used in `generation_metrics.py` and `health.py`.
"""

import hashlib
import os
import pathlib
import zipfile

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import atomic_files
from kerasmodes.metrics import image_evaluator

NUM_PROBED = 16


def read_images(
    images: np.ndarray | tf.Tensor | tf.data.Dataset, most: int | None = None
) -> np.ndarray:
    """Returns images as a float32 array `[n, height, width, channels]`.

    Args:
        images: Float array in [-1, 1], or a finite `tf.data.Dataset` of batches of such images,
            or of tuples whose first element is such a batch.
        most: Positive int, take at most this many, the first ones; `None` takes all.

    Raises:
        TypeError: If `images` is neither.
        ValueError: If the values, the dtype or the shape differ, or the data set is endless.
    """
    if isinstance(images, tf.data.Dataset):
        images = np.concatenate(_read_batches(images, most) or [np.zeros(0)])
    elif not isinstance(images, (np.ndarray, tf.Tensor)):
        raise TypeError(
            "`images` must be an array or a tf.data.Dataset. "
            f"Received: images of type {type(images).__name__}"
        )
    images = np.asarray(images)[:most]
    if images.ndim != 4 or not len(images) or images.dtype.kind != "f":
        raise ValueError(
            "`images` must be floats in [-1, 1] of shape [n, height, width, channels]. "
            f"Received: images of dtype={images.dtype}, shape={images.shape}"
        )
    if not -1 <= images.min() <= images.max() <= 1:  # False for NaN, too.
        raise ValueError(
            "`images` must be in [-1, 1]. "
            f"Received: images from {images.min()} to {images.max()}. For bytes: x / 127.5 - 1."
        )
    return images.astype("float32")


def _read_batches(dataset, most):
    if most is None and int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`images` must be a data set that ends. Received: an endless one.")
    batches, count = [], 0
    for batch in dataset:
        batches.append(np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch))
        count += len(batches[-1])
        if most is not None and count >= most:
            break
    return batches


def load_features(
    network: keras.Model, images: np.ndarray, cache_dir: str | os.PathLike | None = None
) -> np.ndarray:
    """Returns a network's features of images, from a file if they were computed before.

    The file's name is a hash of the images, in their order, and of the network. If the file cannot
    be read, or holds another hash, the features are computed again and replace it.

    Args:
        network: Keras model, images to features `[batch, width]`.
        images: Float32 array `[n, height, width, channels]`.
        cache_dir: Folder of such files, made if missing; `None` stores nothing.

    Returns:
        A float32 array `[n, width]`.
    """
    if cache_dir is None:
        return image_evaluator.extract_features(network, images)
    key = compute_fingerprint(network, images)
    path = pathlib.Path(cache_dir) / f"features-{key[:16]}.npz"
    found = _read_features(path, key, len(images))
    if found is None:
        found = image_evaluator.extract_features(network, images)
        with atomic_files.atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, key=key, features=found)
    return found


def compute_fingerprint(network: keras.Model, images: np.ndarray) -> str:
    """Returns the SHA-256 of images, and of a network's weights and features of the first images.

    These features replace the network's configuration, in which Keras numbers layers in the order
    of a program. If another machine rounds them differently, it computes the features again.
    """
    digest = hashlib.sha256()
    probe = image_evaluator.extract_features(network, images[:NUM_PROBED])
    for array in (images, *network.get_weights(), probe):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _read_features(path, key, num_images):
    """Returns the features in a file, or `None` if it does not hold all those of the key."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            found, features = str(arrays["key"]), arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features if found == key and len(features) == num_images else None
