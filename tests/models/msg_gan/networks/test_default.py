"""Tests of the default networks, of what all networks share, and of the paper's."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan.layers import progressive
from kerasmodes.models.msg_gan.networks import default, paper, tutorial

NETWORKS = {"default": default, "tutorial": tutorial, "paper": paper}
SWEEP = pytest.mark.sweep
SHAPES = [((4, 4, 3), 1), ((8, 4, 1), 2), ((8, 8, 2), 4), ((6, 10, 4), 2)]
DEFAULT = ["default", *(pytest.param(n, marks=SWEEP) for n in ("tutorial", "paper"))]


def pair_networks(values):
    """Returns each of the networks with each value; by default each value is tested once."""
    return [
        pytest.param(network, value, marks=[] if row % len(NETWORKS) == column else SWEEP)
        for column, network in enumerate(NETWORKS)
        for row, value in enumerate(values)
    ]


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


@pytest.fixture(params=NETWORKS)
def networks(request):
    return NETWORKS[request.param]


@pytest.mark.slow
@pytest.mark.parametrize(("networks", "shape"), pair_networks(SHAPES), indirect=["networks"])
def test_any_size_number_of_scales_and_channels(networks, shape):
    image_shape, num_scales = shape
    generator = networks.make_generator(image_shape, num_scales, latent_dim=5, filters=4)
    discriminator = networks.make_discriminator(image_shape, num_scales, filters=4)
    images = generator(tf.zeros((3, 5)))
    images = images if isinstance(images, list) else [images]
    sizes = default.scale_sizes(image_shape, num_scales)
    assert [image.shape for image in images] == [(3, *size, image_shape[-1]) for size in sizes]
    assert discriminator(images).shape == (3, 1)


@functools.cache
def make_discriminator(networks):
    return networks.make_discriminator((8, 8, 1), num_scales=3, filters=8)


@pytest.mark.parametrize(("networks", "scale"), pair_networks([0, 1, 2]), indirect=["networks"])
def test_the_discriminator_sees_every_scale(networks, scale):
    discriminator = make_discriminator(networks)
    images = [np.zeros((1, size, size, 1), "float32") for size in (2, 4, 8)]
    before = discriminator(images)
    images[scale] += 1
    assert np.any(discriminator(images) != before)


@pytest.mark.slow
@pytest.mark.parametrize("networks", DEFAULT, indirect=True)
def test_a_class_changes_the_images_and_the_logit(networks):
    generator = networks.make_generator((4, 4, 1), 2, latent_dim=3, num_classes=2, filters=4)
    discriminator = networks.make_discriminator((4, 4, 1), 2, num_classes=2, filters=4)
    classes = tf.eye(2)
    images = generator([tf.ones((2, 3)), classes])
    assert np.any(images[-1][0] != images[-1][1])
    same = [tf.repeat(image[:1], 2, axis=0) for image in images]
    logits = discriminator([*same, classes])
    assert logits.shape == (2, 1)
    assert logits[0] != logits[1]


def test_the_class_is_projected_on_the_features():
    """The logits of two classes differ by the product of features and embeddings' difference."""
    images = [keras.Input((4,))]
    network = default.add_logit_head(images, images[0], num_classes=2)
    features = tf.constant([[0.0, 1.0, 2.0, 3.0]])
    first, second = (network([features, classes]) for classes in tf.split(tf.eye(2), 2))
    kernel = network.get_layer("projection").kernel.numpy()
    assert (first - second).numpy().item() == pytest.approx(
        float(features.numpy()[0] @ (kernel[0] - kernel[1]))
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("networks", "policy"),
    pair_networks(["mixed_bfloat16", "mixed_float16"]),
    indirect=["networks"],
)
def test_in_mixed_precision_images_and_logits_stay_float32(networks, policy):
    keras.config.set_dtype_policy(policy)
    try:
        generator = networks.make_generator((4, 4, 1), 2, latent_dim=3, filters=4)
        discriminator = networks.make_discriminator((4, 4, 1), 2, filters=4)
    finally:
        keras.config.set_dtype_policy("float32")
    images = generator(tf.zeros((1, 3)))
    assert {image.dtype for image in images} == {tf.float32}
    assert discriminator(images).dtype == tf.float32
    assert layers_of(discriminator, keras.layers.Conv2D)[0].compute_dtype == policy[6:]


def test_the_default_is_small():
    generator = default.make_generator((28, 28, 1), 3, latent_dim=64)
    discriminator = default.make_discriminator((28, 28, 1), 3)
    assert (generator.count_params(), discriminator.count_params()) == (352_139, 104_673)
    assert layers_of(discriminator, keras.layers.BatchNormalization) == []
    normalisations = layers_of(generator, keras.layers.BatchNormalization)
    assert len(normalisations) == 1 + 2 * 3
    assert all(layer.synchronized for layer in normalisations)


@pytest.mark.parametrize(
    ("filters", "num_scales", "widths"),
    [(128, 3, [128, 96, 48]), (128, 1, [128]), (64, 4, [64, 48, 24, 12]), (8, 3, [8, 8, 8])],
)
def test_widths_fall_with_the_size(filters, num_scales, widths):
    assert default.scale_widths(filters, num_scales) == widths


def test_the_discriminator_is_widest_where_the_image_is_smallest():
    discriminator = default.make_discriminator((16, 16, 1), 3, filters=64)
    convolutions = layers_of(discriminator, keras.layers.Conv2D)
    shapes = [layer.output.shape[1:] for layer in convolutions if layer.input.shape[-1] > 1]
    assert shapes == [(8, 8, 32), (8, 8, 32), (4, 4, 64), (4, 4, 64)]


def test_the_paper_norms_pixels_and_looks_at_the_batch():
    generator = paper.make_generator((8, 8, 1), 3, latent_dim=4, filters=4)
    discriminator = paper.make_discriminator((8, 8, 1), 3, filters=4)
    norms = layers_of(generator, progressive.PixelNormalization)
    assert len(norms) == 2 + 1 + 2 * 2  # latents, dense, then each convolution
    batch = layers_of(discriminator, progressive.MinibatchStandardDeviation)
    assert len(batch) == 3
    heads = [generator.get_layer(f"image_{scale}") for scale in range(3)]
    assert all(head.activation is keras.activations.linear for head in heads)
    latents = np.ones((1, 4), "float32")
    np.testing.assert_allclose(generator(latents)[-1], generator(3 * latents)[-1], atol=1e-5)


@pytest.mark.parametrize(
    ("combination", "widths"),
    # Inputs of the convolution after each combination: with the channel of the deviations.
    [("simple", [1 + 4 + 1] * 2), ("lin_cat", [2 + 4 + 1] * 2), ("cat_lin", [4 + 1] * 2)],
)
def test_the_papers_combinations(combination, widths):
    network = paper.make_discriminator((8, 8, 1), 3, filters=4, combination=combination)
    batch = layers_of(network, progressive.MinibatchStandardDeviation)
    assert [layer.output.shape[-1] for layer in batch[1:]] == widths


@pytest.mark.parametrize(
    ("image_shape", "num_scales", "sizes"),
    [
        ((28, 28, 1), 3, [(7, 7), (14, 14), (28, 28)]),
        ((28, 28, 1), 1, [(28, 28)]),
        ((32, 16, 3), 5, [(2, 1), (4, 2), (8, 4), (16, 8), (32, 16)]),
        ((6, 10, 1), 2, [(3, 5), (6, 10)]),
    ],
)
def test_each_scale_doubles_the_one_before(image_shape, num_scales, sizes):
    assert default.scale_sizes(image_shape, num_scales) == sizes


@pytest.mark.parametrize(
    ("image_shape", "num_scales", "nearest"),
    [((30, 28, 1), 3, "(32, 28, 1)"), ((28, 28, 3), 4, "(32, 32, 3)"), ((1, 1, 1), 2, "(2, 2, 1)")],
)
def test_images_that_do_not_halve_evenly_are_refused(image_shape, num_scales, nearest):
    with pytest.raises(ValueError, match="must have height and width divisible by") as caught:
        default.scale_sizes(image_shape, num_scales)
    assert f"Received: image_shape={image_shape}. {nearest} works." in str(caught.value)
    default.scale_sizes(eval(nearest), num_scales)
