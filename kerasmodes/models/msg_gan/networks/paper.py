"""The paper's generator and discriminator, layer by layer, for any number of scales.

MSG-ProGAN of Karnewar and Wang 2019 (arXiv 1903.06048), section 2 and its appendix: the layers of
Karras et al. 2018, with an image at every scale. The default networks, and what all networks share,
are in `networks.default.py`.
"""

import functools

import keras

from kerasmodes.models.msg_gan.layers import progressive
from kerasmodes.models.msg_gan.networks.default import (
    add_logit_head,
    embed_classes,
    scale_inputs,
    scale_sizes,
)

LEAKY_RELU_SLOPE = 0.2
# How a scale's image (its 1x1 convolution: "lin") joins the features of the larger scales.
COMBINATIONS = ("simple", "lin_cat", "cat_lin")


def make_generator(
    image_shape: tuple[int, int, int],
    num_scales: int,
    latent_dim: int,
    num_classes: int | None = None,
    filters: int = 128,
):
    """Returns the generator: latents `[batch, latent_dim]` to images of all scales.

    The heads are linear: images may leave [-1, 1].

    Args:
        image_shape, num_scales, latent_dim, num_classes: As in `networks.default.make_generator`.
        filters: Width of all convolutions.

    Returns:
        A functional model with `num_scales` outputs, smallest first.
    """
    (height, width), channels = scale_sizes(image_shape, num_scales)[0], image_shape[-1]
    inputs, x = embed_classes(keras.Input((latent_dim,), name="latents"), num_classes)
    x = progressive.PixelNormalization()(x)
    x = progressive.EqualizedDense(height * width * filters)(x)
    x = keras.layers.Reshape((height, width, filters))(x)
    x = progressive.PixelNormalization()(keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x))
    images = []
    for scale in range(num_scales):
        if scale:
            x = keras.layers.UpSampling2D()(x)
            x = progressive.PixelNormalization()(_convolve(x, filters, 3))
        x = progressive.PixelNormalization()(_convolve(x, filters, 3))
        head = progressive.EqualizedConv2D(
            channels, 1, gain=1.0, dtype="float32", name=f"image_{scale}"
        )
        images.append(head(x))
    return keras.Model(inputs, images, name="generator")


def make_discriminator(
    image_shape: tuple[int, int, int],
    num_scales: int,
    num_classes: int | None = None,
    filters: int = 128,
    combination="simple",
):
    """Returns the discriminator: images of all scales, smallest first, to one logit an example.

    Args:
        image_shape, num_scales, num_classes: As in `networks.default.make_discriminator`.
        filters: Width of all convolutions.
        combination: `"simple"`, `"lin_cat"` or `"cat_lin"`: the paper's combine functions.

    Returns:
        A functional model with an output `[batch, 1]`.
    """
    images = scale_inputs(image_shape, num_scales)
    x = None
    for scale in reversed(range(num_scales)):
        if x is None:
            x = _convolve(images[scale], filters, 1)
        else:
            x = _combine(combination, images[scale], x, filters)
        x = progressive.MinibatchStandardDeviation()(x)
        x = _convolve(x, filters, 3)
        if scale:
            x = keras.layers.AveragePooling2D(2)(_convolve(x, filters, 3))
    x = progressive.EqualizedDense(filters)(keras.layers.Flatten()(x))
    x = keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x)
    dense = functools.partial(progressive.EqualizedDense, gain=1.0)
    return add_logit_head(images, x, num_classes, dense)


def _combine(combination, image, features, filters):
    concatenate = keras.layers.Concatenate()
    if combination == "simple":
        return concatenate([image, features])
    if combination == "lin_cat":
        lin = progressive.EqualizedConv2D(filters // 2 or 1, 1, gain=1.0)
        return concatenate([lin(image), features])
    lin = progressive.EqualizedConv2D(filters, 1, gain=1.0)
    return lin(concatenate([image, features]))


def _convolve(x, filters, kernel_size):
    x = progressive.EqualizedConv2D(filters, kernel_size, padding="same")(x)
    return keras.layers.LeakyReLU(LEAKY_RELU_SLOPE)(x)
