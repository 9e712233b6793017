"""The default generator and discriminator, layer by layer, for any number of scales.

The tutorial's and the paper's are in `tutorial.py` and `paper.py`; which
networks, losses and optimizers belong together is in `presets.py`. The multi-scale connections are
those of Karnewar and Wang 2019 (arXiv 1903.06048), section 2.
"""

from collections.abc import Callable
from typing import Any

import keras

from kerasmodes.models.msg_gan.layers import convolutions

LEAKY_RELU_SLOPE = 0.2
LEAST_WIDTH = 8


def scale_sizes(image_shape: tuple[int, int, int], num_scales: int):
    """Returns (height, width) of every scale, smallest first; each doubles the one before.

    Raises:
        ValueError: If the image does not halve evenly that often.
    """
    height, width, _ = image_shape
    factor = 2 ** (num_scales - 1)
    if height % factor or width % factor:
        nearest = (max(1, round(height / factor)) * factor, max(1, round(width / factor)) * factor)
        raise ValueError(
            f"`image_shape` must have height and width divisible by {factor} for "
            f"num_scales={num_scales}. Received: image_shape={tuple(image_shape)}. "
            f"{(*nearest, image_shape[-1])} works."
        )
    return [(height >> s, width >> s) for s in reversed(range(num_scales))]


def scale_inputs(image_shape: tuple[int, int, int], num_scales: int):
    """Returns a Keras input for the image of every scale, smallest first."""
    return [
        keras.Input((*size, image_shape[-1]), name=f"image_{scale}")
        for scale, size in enumerate(scale_sizes(image_shape, num_scales))
    ]


def embed_classes(latents: Any, num_classes: int | None):
    """Returns the generator's inputs, and what its first layer sees of them.

    Of `num_classes` classes, an embedding as wide as the latents stands beside these (Mirza and
    Osindero 2014, arXiv 1411.1784, section 3).

    Args:
        latents: Keras input `[batch, latent_dim]`.
        num_classes: Int or `None`.
    """
    if num_classes is None:
        return latents, latents
    classes = keras.Input((num_classes,), name="classes")
    embedding = keras.layers.Dense(latents.shape[-1], use_bias=False, name="embedding")(classes)
    return [latents, classes], keras.layers.Concatenate()([latents, embedding])


def add_logit_head(
    images: Any, features: Any, num_classes: int | None, dense: Callable = keras.layers.Dense
):
    """Returns the discriminator that ends in one logit an example.

    With classes, the logit has a second part: the product of the features with an embedding of the
    class (Miyato and Koyama 2018, "cGANs with projection discriminator", equation 4).

    Args:
        images: List of Keras inputs.
        features: Tensor `[batch, width]`.
        num_classes: Int or `None`; with it, the last input is `[batch, num_classes]`, one-hot.
        dense: Layer that makes the logit.
    """
    logits = dense(1, dtype="float32", name="logit")(features)
    if num_classes is None:
        return keras.Model(images, logits, name="discriminator")
    classes = keras.Input((num_classes,), name="classes")
    options = {"use_bias": False, "dtype": "float32", "name": "projection"}
    projection = dense(features.shape[-1], **options)(classes)
    product = keras.layers.Dot(axes=1, dtype="float32")([projection, features])
    logits = keras.layers.Add(dtype="float32")([logits, product])
    return keras.Model([*images, classes], logits, name="discriminator")


def scale_widths(filters: int, num_scales: int):
    """Returns the width of each scale's convolutions, smallest scale first.

    The second scale has three quarters of the first one's, each after that half of the one before.
    """
    widths = [filters, *(3 * filters // 4 >> scale for scale in range(num_scales - 1))]
    return [max(LEAST_WIDTH, width) for width in widths]


def make_generator(
    image_shape: tuple[int, int, int],
    num_scales: int,
    latent_dim: int,
    num_classes: int | None = None,
    filters: int = 64,
):
    """Returns the generator: latents `[batch, latent_dim]` to images of all scales.

    Args:
        image_shape: (height, width, channels) of the largest scale.
        num_scales: Number of scales.
        latent_dim: Width of the latents.
        num_classes: Number of classes, for a second input `[batch, num_classes]`, one-hot; `None`
            for none.
        filters: Width at the smallest scale; see `scale_widths`.

    Returns:
        A functional model with `num_scales` outputs in [-1, 1], smallest first.
    """
    (height, width), channels = scale_sizes(image_shape, num_scales)[0], image_shape[-1]
    inputs, x = embed_classes(keras.Input((latent_dim,), name="latents"), num_classes)
    x = normalise_and_activate(keras.layers.Dense(height * width * filters, use_bias=False)(x))
    x = keras.layers.Reshape((height, width, filters))(x)
    images = []
    for scale, width in enumerate(scale_widths(filters, num_scales)):
        if scale:
            x = convolutions.UpSamplingConv2D(width, use_bias=False)(x)
        else:
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = normalise_and_activate(x)
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = normalise_and_activate(x)
        head = keras.layers.Conv2D(
            channels, 1, activation="tanh", dtype="float32", name=f"image_{scale}"
        )
        images.append(head(x))
    return keras.Model(inputs, images, name="generator")


def make_discriminator(
    image_shape: tuple[int, int, int],
    num_scales: int,
    num_classes: int | None = None,
    filters: int = 64,
):
    """Returns the discriminator: images of all scales, smallest first, to one logit an example.

    Args:
        image_shape: (height, width, channels) of the largest scale.
        num_scales: Number of scales.
        num_classes: Number of classes, for a last input `[batch, num_classes]`, one-hot; `None` for
            none.
        filters: Width at the smallest scale; each larger one has half.

    Returns:
        A functional model with an output `[batch, 1]`.
    """
    images = scale_inputs(image_shape, num_scales)
    features = None
    for scale in reversed(range(num_scales)):
        width = max(LEAST_WIDTH, filters >> scale)
        x = _convolve(images[scale], max(LEAST_WIDTH, filters // 4), 3)
        if features is not None:
            x = keras.layers.Concatenate()([x, features])
        if features is not None or scale == 0:
            x = _convolve(x, width, 3)
        features = _convolve(x, 2 * width, 4, strides=2) if scale else x
    return add_logit_head(images, keras.layers.Flatten()(features), num_classes)


def normalise_and_activate(x: Any, slope: float = LEAKY_RELU_SLOPE):
    """Returns it after batch norm over the global batch and leaky ReLU.

    Momentum 0.9 lets the statistics used for samples follow within tens of steps; training itself
    does not depend on it.
    """
    x = convolutions.BatchNormalization(momentum=0.9, synchronized=True)(x)
    return keras.layers.LeakyReLU(slope)(x)


def _convolve(x, filters, kernel_size, strides=1):
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same")(x)
    return keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x)
