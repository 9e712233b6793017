"""Images as a `tf.data.Dataset` for `fit`: cached, shuffled, batched, scaled to [-1, 1].

Resizing is not here: a model makes its own scales. Nor are strategies: they split the batches.
"""

import importlib.resources
import os
import urllib.parse

import numpy as np
import tensorflow as tf

from kerasmodes import arguments
from kerasmodes.data import fashion_mnist, shapes

SAMPLE = "fashion_mnist_sample"
PROBE_SECONDS = 10
WAYS = """any one of these three ways works:
1. `data_dir`: a folder of TFDS data sets in which fashion_mnist is prepared;
2. `idx_dir`: a folder with its four IDX files, as Debian's package `dataset-fashion-mnist` has;
3. a network connection, over which TFDS downloads 30 MB.
The bundled sample, name='fashion_mnist_sample', needs none of them."""


def images(
    name: str = SAMPLE,
    split: str = "train",
    batch_size: int = 64,
    *,
    with_labels: bool = False,
    seed: int | None = None,
    data_dir: str | os.PathLike | None = None,
    idx_dir: str | os.PathLike | None = None,
) -> tf.data.Dataset:
    """Returns a data set of image batches with a known number of batches.

    The uint8 images are cached in memory (Fashion-MNIST: 47 MB). A split whose name starts with
    "train" is shuffled as a whole, again in each epoch, and its last incomplete batch is dropped.
    Any other split keeps its order and its last batch.

    Fashion-MNIST is read from `data_dir` if TFDS has prepared it there. Otherwise it is prepared
    once, in 10 to 30 seconds, from `idx_dir` or from Debian's package `dataset-fashion-mnist`.
    Without these files TFDS downloads it. An `idx_dir` without the files is an error, unless the
    set is prepared already.

    Args:
        name: `"fashion_mnist_sample"`, the 1,024 training and 256 test images that come with this
            package; `"fashion_mnist"`, all 70,000; `"colour_shapes"`, 6,912 and 1,728 rendered
            images of 32x32x3, as of `km.data.colour_shapes`, whose labels are the shapes; or any
            TFDS data set whose uint8 `image` has one size. Defaults to `"fashion_mnist_sample"`.
        split: `"train"`, `"test"` or another of the set's, also a part in TFDS's notation, such as
            `"train[:1000]"`. Defaults to `"train"`.
        batch_size: Integer, at least 1: images a batch, under a strategy the global batch.
            Defaults to `64`.
        with_labels: Whether each element is a pair with the labels. Defaults to `False`.
        seed: Integer or `None`. The same seed gives the same batches in the same order, epoch by
            epoch; with `None`, `keras.utils.set_random_seed` decides. Defaults to `None`.
        data_dir: Folder of TFDS's data sets. `None` means TFDS's own. Defaults to `None`.
        idx_dir: Folder with Fashion-MNIST's IDX files, see `prepare`. Defaults to `None`.

    Returns:
        A `tf.data.Dataset` of float32 images `[B, H, W, C]` in [-1, 1], or of pairs of them and
        int64 labels `[B]`.

    Raises:
        ValueError: if an argument is not as above, if the images differ in size or are not uint8,
            or if the training split is smaller than one batch.
        RuntimeError: if the set is not prepared, not in local files and cannot be downloaded.

    Example:
        >>> import kerasmodes as km
        >>> dataset = km.data.images("fashion_mnist_sample", batch_size=32, seed=0)
        >>> next(iter(dataset)).shape
        TensorShape([32, 28, 28, 1])
    """
    _check_arguments(name, split, batch_size, seed)
    if name in OWN_SETS:
        dataset = _read_own(name, split, with_labels, data_dir, idx_dir)
    else:
        dataset = _read_tfds(
            _open_builder(name, with_labels, data_dir, idx_dir), split, with_labels
        )
    training = split.startswith("train")
    count = int(dataset.cardinality())
    if training and batch_size > count:
        raise ValueError(
            f"`batch_size` must be at most {count}, the number of images in split={split!r}. "
            f"Received: batch_size={batch_size!r}. Training drops the incomplete last batch, so "
            "nothing would be left."
        )
    dataset = dataset.cache()
    if training:
        dataset = dataset.shuffle(count, seed=seed)
    return dataset.batch(batch_size, drop_remainder=training).map(_scale).prefetch(tf.data.AUTOTUNE)


def _check_arguments(name, split, batch_size, seed):
    for key, value in (("name", name), ("split", split)):
        if not isinstance(value, str) or not value:
            raise ValueError(f"`{key}` must be a string. Received: {key}={value!r}")
    arguments.check_positive_integers(batch_size=batch_size)
    arguments.check_seed(seed, can_be_none=True, can_be_negative=True)


# As it is: of what TensorFlow converts, it writes files, which a killed program leaves.
@tf.autograph.experimental.do_not_convert
def _scale(image, *label):
    image = tf.cast(image, tf.float32) / 127.5 - 1
    return (image, *label) if label else image


def _read_own(name, split, with_labels, data_dir, idx_dir):
    """Returns the split of a set that comes with this package, unbatched."""
    import tensorflow_datasets as tfds

    for key, value in (("data_dir", data_dir), ("idx_dir", idx_dir)):
        if value is not None:
            raise ValueError(
                f"`{key}` must be None for {name!r}, which is in the package. "
                f"Received: {key}={value!r}. Use name='fashion_mnist' to read a set from a folder."
            )
    read, lengths = OWN_SETS[name]
    splits = tfds.core.SplitDict(
        tfds.core.SplitInfo(key, [length], 0) for key, length in lengths.items()
    )
    parts = _parse(split, splits)
    arrays = {key: read(key) for key in {part.splitname for part in parts}}
    image, label = (
        np.concatenate([arrays[part.splitname][place][part.from_ : part.to] for part in parts])
        for place in (0, 1)
    )
    tensors = (image, label.astype("int64")) if with_labels else image
    return tf.data.Dataset.from_tensor_slices(tensors)


def _read_sample(split):
    """Returns the images and labels of a split of the bundled sample."""
    file = importlib.resources.files("kerasmodes.data") / f"{SAMPLE}.npz"
    with file.open("rb") as stream, np.load(stream) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"]


def _render_shapes(split):
    """Returns the images of a split of the colour shapes, and their shapes as labels."""
    rendered, factors = shapes.read_split(split)
    return rendered, factors[:, list(shapes.FACTORS).index("shape")]


# Sets in the package: a function that returns images and labels of a split, and their numbers.
OWN_SETS = {
    SAMPLE: (_read_sample, {"train": 1_024, "test": 256}),
    "colour_shapes": (_render_shapes, shapes.NUM_EXAMPLES),
}


def _parse(split, splits):
    """Returns the parts that a split in TFDS's notation stands for."""
    import tensorflow_datasets as tfds

    try:
        return tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    except (ValueError, NotImplementedError) as error:
        raise ValueError(
            f"`split` must be one of {list(splits)} or a part of one, such as "
            f"'{next(iter(splits))}[:1000]'. Received: split={split!r}"
        ) from error


def _read_tfds(builder, split, with_labels):
    """Returns a prepared TFDS set's split, unbatched, in the order in which it is stored."""
    import tensorflow_datasets as tfds

    _parse(split, builder.info.splits)
    keys = ("image", "label") if with_labels else ("image",)
    dataset = builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        read_config=tfds.ReadConfig(try_autocache=False),  # `images` caches by itself.
    )
    pick = tf.autograph.experimental.do_not_convert(lambda one: tuple(one[key] for key in keys))
    return dataset.map(pick)


def _open_builder(name, with_labels, data_dir, idx_dir):
    """Returns the TFDS builder of a set, prepared first if it is not."""
    import tensorflow_datasets as tfds

    is_fashion_mnist = name == "fashion_mnist"
    if idx_dir is not None and not is_fashion_mnist:
        raise ValueError(
            f"`idx_dir` must be None unless name='fashion_mnist'. Received: idx_dir={idx_dir!r}"
        )
    if data_dir is not None:
        arguments.check_no_file("data_dir", data_dir)
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError) as error:
        raise ValueError(
            f"`name` must be one of {list(OWN_SETS)} or a TFDS image data set. "
            f"Received: name={name!r}. TFDS says: {str(error).splitlines()[0]}"
        ) from None  # TFDS's own text lists more than a thousand names.
    _check_features(name, builder.info.features, with_labels)
    if fashion_mnist.is_prepared(builder):
        return builder
    if is_fashion_mnist and (idx_dir is not None or fashion_mnist.DEBIAN_DIR.is_dir()):
        fashion_mnist.prepare(idx_dir, data_dir)
        return tfds.builder(name, data_dir=data_dir)
    _download(builder, WAYS if is_fashion_mnist else "it needs a network connection.")
    return builder


def _check_features(name, features, with_labels):
    import tensorflow_datasets as tfds

    features = dict(features.items())
    image = features.get("image")
    is_image = isinstance(image, tfds.features.Image)
    if not is_image or None in image.shape or image.np_dtype != np.uint8:
        raise ValueError(
            "`name` must be a data set of uint8 images of one size. "
            f"Received: name={name!r} with image={image}. "
            "For other images build a `tf.data` pipeline of your own and pass it to `fit`."
        )
    if with_labels and getattr(features.get("label"), "np_dtype", None) != np.int64:
        raise ValueError(
            "`with_labels` must be False for a data set without integer labels. "
            f"Received: with_labels={with_labels!r}, name={name!r}"
        )


def _download(builder, ways):
    try:
        _check_connection(builder.url_infos or {})
        builder.download_and_prepare()
    except Exception as error:  # Whatever failed in TFDS, the remedies are the same.
        raise RuntimeError(
            "`name` must be a data set that TFDS has prepared or can download. "
            f"Received: name={builder.name!r}, {type(error).__name__} on its way to "
            f"{str(builder.data_dir)!r}; {ways}"
        ) from error


def _check_connection(urls):
    """Raises at once if no host answers: TFDS alone tries for more than three minutes."""
    import requests

    hosts = {urllib.parse.urlsplit(url).netloc: url for url in urls if url.startswith("http")}
    failure = None
    for url in hosts.values():
        try:
            requests.head(url, timeout=PROBE_SECONDS)
            return
        except (requests.ConnectionError, requests.Timeout) as error:
            failure = error
    if failure is not None:
        raise failure
