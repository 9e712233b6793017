"""The tutorial's generator and discriminator, layer by layer, for any number of scales.

Losses, optimizers and the training step are not here: see `msg_gan.py`. The multi-scale
connections are those of Karnewar and Wang 2019 (arXiv 1903.06048), section 2.
"""

import keras

from kerasmodes import random
from kerasmodes.models import layers

LEAKY_RELU_SLOPE = 0.3


def scale_sizes(image_shape, num_scales):
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


def make_generator(image_shape, num_scales, latent_dim, filters=128):
    """Returns the generator: latents `[batch, latent_dim]` to images of all scales.

    Args:
        image_shape: (height, width, channels) of the largest scale.
        num_scales: Number of scales.
        latent_dim: Width of the latents.
        filters: Width of every block; the first dense layer has twice as many channels.

    Returns:
        A functional model with `num_scales` outputs in [-1, 1], smallest first.
    """
    (height, width), channels = scale_sizes(image_shape, num_scales)[0], image_shape[-1]
    latents = keras.Input((latent_dim,), name="latents")
    x = keras.layers.Dense(height * width * 2 * filters)(latents)
    x = _normalised(x)
    x = keras.layers.Reshape((height, width, 2 * filters))(x)
    images = []
    for scale in range(num_scales):
        strides = 1 if scale == 0 else 2
        x = keras.layers.Conv2DTranspose(filters, 5, strides=strides, padding="same")(x)
        x = _normalised(x)
        x = _normalised(keras.layers.Conv2D(filters, 5, padding="same")(x))
        head = layers.Conv2DTranspose(
            channels,
            5,
            padding="same",
            activation="tanh",
            dtype="float32",
            autocast=False,
            name=f"image_{scale}",
        )
        images.append(head(x))
    return keras.Model(latents, images, name="generator")


def make_discriminator(image_shape, num_scales, filters=64, dropout=0.3, seed=None):
    """Returns the discriminator: images of all scales, smallest first, to one logit an example.

    Args:
        image_shape: (height, width, channels) of the largest scale.
        num_scales: Number of scales.
        filters: Width of the strided convolutions; those between have twice as many.
        dropout: Rate of every dropout layer, in `[0, 1)`.
        seed: Int from which each dropout layer's own seed follows, or `None`.

    Returns:
        A functional model with an output `[batch, 1]`.
    """
    num_dropouts = 3 * num_scales
    seeds = iter(
        [None] * num_dropouts if seed is None else range(seed + 1, seed + 1 + num_dropouts)
    )

    def activated(x, width, kernel_size, strides):
        x = keras.layers.Conv2D(width, kernel_size, strides=strides, padding="same")(x)
        x = keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x)
        return random.Dropout(dropout, seed=next(seeds))(x)

    images = [
        keras.Input((*size, image_shape[-1]), name=f"image_{scale}")
        for scale, size in enumerate(scale_sizes(image_shape, num_scales))
    ]
    features = None
    for image in reversed(images):
        x = activated(image, filters, 5, strides=2)
        if features is not None:
            x = keras.layers.Concatenate()([x, features])
        x = activated(x, 2 * filters, 3, strides=1)
        features = activated(x, filters, 5, strides=2)
    x = keras.layers.Flatten()(features)
    logits = keras.layers.Dense(1, dtype="float32", name="logit")(x)
    return keras.Model(images, logits, name="discriminator")


def _normalised(x):
    """Batch norm over the global batch, then leaky ReLU.

    Momentum 0.9 lets the statistics used for samples follow within tens of steps; training itself
    does not depend on it.
    """
    x = layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    return keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x)
