"""The real images that generated ones are compared with, and their features, kept on disk.

What is done with them is in `generation_metrics.py` and `health.py`.
"""

import hashlib
import pathlib
import zipfile

import numpy as np
import tensorflow as tf

from kerasmodes import atomic_files
from kerasmodes.metrics import image_evaluator

NUM_PROBED = 16


def as_array(images, most=None):
    """Returns images as a float32 array `[n, height, width, channels]`.

    Args:
        images: Float array in [-1, 1], or a finite `tf.data.Dataset` of batches of such or of
            tuples that begin with them.
        most: The most images to take, the first ones; `None` for all.

    Raises:
        TypeError: If it is neither.
        ValueError: If the values or the shape are others, or nothing ends the data set.
    """
    if isinstance(images, tf.data.Dataset):
        images = np.concatenate(_batches(images, most) or [np.zeros(0)])
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


def _batches(dataset, most):
    if most is None and int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`images` must be a data set that ends. Received: an endless one.")
    batches, count = [], 0
    for batch in dataset:
        batches.append(np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch))
        count += len(batches[-1])
        if most is not None and count >= most:
            break
    return batches


def features(network, images, cache_dir=None):
    """Returns a network's features of images, from a file if they were computed before.

    The file is named by a hash of the images, in their order, and of the network. It is written
    whole or not at all. One that cannot be read, or holds another hash, is computed anew and
    replaced.

    Args:
        network: Keras model, images to features `[batch, width]`.
        images: Float32 array `[n, height, width, channels]`.
        cache_dir: Folder of such files, made if missing; `None` for none.

    Returns:
        A float32 array `[n, width]`.
    """
    if cache_dir is None:
        return image_evaluator.extract_features(network, images)
    key = fingerprint(network, images)
    path = pathlib.Path(cache_dir) / f"features-{key[:16]}.npz"
    found = _read(path, key, len(images))
    if found is None:
        found = image_evaluator.extract_features(network, images)
        with atomic_files.atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, key=key, features=found)
    return found


def fingerprint(network, images):
    """Returns the SHA-256 of images, and of a network's weights and features of the first images.

    These features stand for the network's configuration, in which Keras numbers the layers as they
    come in a program. If they are rounded otherwise elsewhere, features are computed once more.
    """
    digest = hashlib.sha256()
    probe = image_evaluator.extract_features(network, images[:NUM_PROBED])
    for array in (images, *network.get_weights(), probe):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _read(path, key, num_images):
    """Returns the features in a file, or `None` if it does not hold those of the key, whole."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            found, features = str(arrays["key"]), arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return features if found == key and len(features) == num_images else None
