"""A small trained network whose features serve to compare sets of 28×28 grey images.

`scripts/train_feature_network.py` trains it. The metrics compare sets of its features.
"""

import hashlib
import importlib.resources
import importlib.resources.abc
import io
from collections.abc import Callable, Mapping

import keras
import numpy as np

WEIGHTS_FILE = importlib.resources.files("kerasmodes") / "metrics" / "fashion_mnist_features.npz"
WEIGHTS_SHA256 = "c65c2d20471f6b65667748bd1f7523d311e85ba93d0e1c218206181b95a8fd82"
IMAGE_SHAPE = (28, 28, 1)
NUM_FEATURES = 64
NUM_CLASSES = 10


def feature_network(with_classes: bool = False) -> keras.Model:
    """Returns a network that maps Fashion-MNIST-like images to features.

    A residual network (He et al. 2016, arXiv 1512.03385, section 3) of 252,554 parameters. It was
    trained to classify Fashion-MNIST and is right for 93.8 % of the test images. Batch norm is
    folded into its convolutions. Its features are the channels of the last convolution after the
    ReLU, averaged over the image, so none is below 0. Heusel et al. 2017 (arXiv 1706.08500, section
    3) use the same kind of layer of Inception; numbers from the two networks cannot be compared.
    The weights ship with this package and do not train. The network computes in float32 under any
    dtype policy.

    Args:
        with_classes: Whether the network also returns the probabilities of the ten classes.
            Defaults to `False`.

    Returns:
        A Keras model: float images `[batch, 28, 28, 1]` in [-1, 1] to float32 features
        `[batch, 64]`; `with_classes`, to the pair of features and probabilities `[batch, 10]`.

    Raises:
        ValueError: If `with_classes` is not a bool.
        RuntimeError: If the file of weights is missing or not the published one.

    Example:

    ```python
    network = feature_network(with_classes=True)
    images = km.data.images("fashion_mnist_sample", split="test", batch_size=256)
    features, probabilities = network.predict(images)
    ```
    """
    network = FeatureNetwork(with_classes)
    network.build((None, *IMAGE_SHAPE))
    return network


@keras.saving.register_keras_serializable(package="kerasmodes")
class FeatureNetwork(keras.Model):
    """The model that `feature_network` returns; `build` reads its weights, its config has none.

    Args:
        with_classes: As in `feature_network`.
        **kwargs: As in `keras.Model`; by default not trainable, and in float32.

    Example:

    ```python
    network = FeatureNetwork.from_config(feature_network().get_config())
    ```
    """

    def __init__(self, with_classes: bool = False, **kwargs):
        if not isinstance(with_classes, bool):
            raise ValueError(
                f"`with_classes` must be True or False. Received: with_classes={with_classes!r}"
            )
        super().__init__(**{"trainable": False, "dtype": "float32", **kwargs})
        self.with_classes = with_classes
        self._network = make_network()

    def build(self, input_shape):
        _check_shape(input_shape)
        set_weights(self._network, read_weights(WEIGHTS_FILE))

    def call(self, images):
        _check_shape(images.shape)
        if not keras.backend.is_float_dtype(images.dtype):
            raise TypeError(
                "`images` must be floats in [-1, 1]. "
                f"Received: images with dtype={keras.backend.standardize_dtype(images.dtype)!r}. "
                "For bytes: `images / 127.5 - 1`."
            )
        features, probabilities = self._network(images)
        return (features, probabilities) if self.with_classes else features

    def get_config(self):
        return {**super().get_config(), "with_classes": self.with_classes}


def convolution(x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
    """Returns the ReLU of a 3×3 convolution of `x` with a bias, in float32.

    Args:
        x: Symbolic tensor `[batch, height, width, channels]`.
        filters: Number of channels of the result.
        strides: Factor by which height and width shrink.
        name: Name of the layer.
    """
    return keras.layers.Conv2D(
        filters, 3, strides, "same", activation="relu", dtype="float32", name=name
    )(x)


def make_network(convolve: Callable[..., keras.KerasTensor] = convolution) -> keras.Model:
    """Returns the network without its trained weights.

    Args:
        convolve: Function with the arguments of `convolution`, which is the default; training uses
            batch norm instead of the bias.

    Returns:
        A functional model: images `[batch, 28, 28, 1]` in [-1, 1] to features `[batch, 64]` and
        probabilities `[batch, 10]`.
    """

    def add_residual(x, name):
        width = x.shape[-1]
        return x + convolve(convolve(x, width, 1, f"{name}_1"), width, 1, f"{name}_2")

    images = keras.Input(IMAGE_SHAPE, name="images")
    x = 0.5 * images + 0.5  # Black is 0, like the padding of the convolutions.
    x = convolve(x, 32, 1, "full")
    x = add_residual(convolve(x, 48, 2, "half"), "half")
    x = add_residual(convolve(x, 80, 2, "quarter"), "quarter")
    x = convolve(x, NUM_FEATURES, 1, "last")
    features = keras.layers.GlobalAveragePooling2D(dtype="float32", name="features")(x)
    head = keras.layers.Dense(NUM_CLASSES, activation="softmax", dtype="float32", name="classes")
    return keras.Model(images, [features, head(features)])


def read_weights(file: importlib.resources.abc.Traversable) -> dict[str, np.ndarray]:
    """Returns the published weights: a dict of float32 arrays named `<layer>_<weight>`.

    Args:
        file: Path of an npz file of float16 arrays, such as a `pathlib.Path`.

    Raises:
        RuntimeError: If the file is missing or its SHA-256 is not the published file's.
    """
    if not file.is_file():
        raise RuntimeError(
            "The weights of the feature network must come with the package. "
            f"Received: no file {str(file)!r}; install the package again."
        )
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise RuntimeError(
            f"The weights of the feature network must have the SHA-256 {WEIGHTS_SHA256}. "
            f"Received: {str(file)!r} with {digest}. Numbers from other weights cannot be "
            "compared; install the package again."
        )
    with np.load(io.BytesIO(content)) as arrays:
        return {name: arrays[name].astype("float32") for name in arrays.files}


def set_weights(network: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Sets the weights of each layer to the arrays named `<layer>_<weight>`."""
    for layer in network.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}_{w.name}"] for w in layer.weights])


def _check_shape(shape):
    if tuple(shape)[1:] != IMAGE_SHAPE:
        raise ValueError(
            f"`images` must have shape [batch, 28, 28, 1]. Received: images with "
            f"shape={tuple(shape)}. For others use any Keras model that maps images to features "
            "`[batch, width]`, such as one of `keras.applications` with `pooling='avg'`."
        )
