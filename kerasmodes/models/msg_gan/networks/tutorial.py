"""The founding tutorial's generator and discriminator, layer by layer, for any number of scales.

The default networks, and what all networks share, are in `networks.default.py`.
"""

from typing import Any

import keras

from kerasmodes import random
from kerasmodes.models.msg_gan.layers import convolutions
from kerasmodes.models.msg_gan.networks.default import (
    add_logit_head,
    embed_classes,
    normalise_and_activate,
    scale_inputs,
    scale_sizes,
)

LEAKY_RELU_SLOPE = 0.3


def make_generator(
    image_shape: tuple[int, int, int],
    num_scales: int,
    latent_dim: int,
    num_classes: int | None = None,
    filters: int = 128,
):
    """Returns the generator: latents `[batch, latent_dim]` to images of all scales.

    Args:
        image_shape, num_scales, latent_dim, num_classes: As in `networks.default.make_generator`.
        filters: Width of every block; the first dense layer has twice as many channels.

    Returns:
        A functional model with `num_scales` outputs in [-1, 1], smallest first.
    """
    (height, width), channels = scale_sizes(image_shape, num_scales)[0], image_shape[-1]
    inputs, x = embed_classes(keras.Input((latent_dim,), name="latents"), num_classes)
    x = keras.layers.Dense(height * width * 2 * filters)(x)
    x = normalise_and_activate(x, LEAKY_RELU_SLOPE)
    x = keras.layers.Reshape((height, width, 2 * filters))(x)
    images = []
    for scale in range(num_scales):
        strides = 1 if scale == 0 else 2
        x = keras.layers.Conv2DTranspose(filters, 5, strides=strides, padding="same")(x)
        x = normalise_and_activate(x, LEAKY_RELU_SLOPE)
        x = normalise_and_activate(
            keras.layers.Conv2D(filters, 5, padding="same")(x), LEAKY_RELU_SLOPE
        )
        head = convolutions.Conv2DTranspose(
            channels,
            5,
            padding="same",
            activation="tanh",
            dtype="float32",
            autocast=False,
            name=f"image_{scale}",
        )
        images.append(head(x))
    return keras.Model(inputs, images, name="generator")


def make_discriminator(
    image_shape: tuple[int, int, int],
    num_scales: int,
    num_classes: int | None = None,
    filters: int = 64,
    dropout=0.3,
    seed: Any = None,
):
    """Returns the discriminator: images of all scales, smallest first, to one logit an example.

    Args:
        image_shape, num_scales, num_classes: As in `networks.default.make_discriminator`.
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

    def activate(x, width, kernel_size, strides):
        x = keras.layers.Conv2D(width, kernel_size, strides=strides, padding="same")(x)
        x = keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x)
        return random.Dropout(dropout, seed=next(seeds))(x)

    images = scale_inputs(image_shape, num_scales)
    features = None
    for image in reversed(images):
        x = activate(image, filters, 5, strides=2)
        if features is not None:
            x = keras.layers.Concatenate()([x, features])
        x = activate(x, 2 * filters, 3, strides=1)
        features = activate(x, filters, 5, strides=2)
    return add_logit_head(images, keras.layers.Flatten()(features), num_classes)
