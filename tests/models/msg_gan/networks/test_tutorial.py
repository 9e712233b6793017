"""Tests of the networks, layer by layer against the tutorial."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes import random
from kerasmodes.models.msg_gan.layers import convolutions
from kerasmodes.models.msg_gan.networks import tutorial as networks


@pytest.fixture(scope="module")
def generator():
    return networks.make_generator((28, 28, 1), num_scales=3, latent_dim=100)


@pytest.fixture(scope="module")
def discriminator():
    return networks.make_discriminator((28, 28, 1), num_scales=3, seed=0)


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def facts(layers):
    """Returns kernel shape, stride and padding of convolutions."""
    return [(tuple(layer.kernel.shape), layer.strides[0], layer.padding) for layer in layers]


def test_the_generator_starts_from_a_dense_layer(generator):
    (dense,) = layers_of(generator, keras.layers.Dense)
    assert dense.kernel.shape == (100, 7 * 7 * 256)
    assert dense.activation is keras.activations.linear
    (reshape,) = layers_of(generator, keras.layers.Reshape)
    assert reshape.target_shape == (7, 7, 256)


def test_the_generators_convolutions(generator):
    transposed = layers_of(generator, keras.layers.Conv2DTranspose)
    blocks = [layer for layer in transposed if not isinstance(layer, convolutions.Conv2DTranspose)]
    assert facts(blocks) == [  # transposed kernels are height, width, out, in
        ((5, 5, 128, 256), 1, "same"),
        ((5, 5, 128, 128), 2, "same"),
        ((5, 5, 128, 128), 2, "same"),
    ]
    plain = [n for n in layers_of(generator, keras.layers.Conv2D) if n not in transposed]
    assert facts(plain) == [((5, 5, 128, 128), 1, "same")] * 3
    for layer in (*blocks, *plain):
        assert layer.activation is keras.activations.linear


def test_the_generators_heads(generator):
    heads = [generator.get_layer(f"image_{scale}") for scale in range(3)]
    assert facts(heads) == [((5, 5, 1, 128), 1, "same")] * 3
    assert all(head.activation is keras.activations.tanh for head in heads)
    assert generator.output_names == ["image_0", "image_1", "image_2"]


def test_batch_norm_and_leaky_relu_follow_all_but_the_heads(generator):
    normalisations = layers_of(generator, keras.layers.BatchNormalization)
    leaky = layers_of(generator, keras.layers.LeakyReLU)
    assert len(normalisations) == len(leaky) == 1 + 2 * 3
    assert {layer.negative_slope for layer in leaky} == {0.3}
    assert all(layer.synchronized for layer in normalisations)


def test_the_discriminators_convolutions(discriminator):
    first, middle, last = ((5, 5, 1, 64), 2), ((3, 3, 128, 128), 1), ((5, 5, 128, 64), 2)
    expected = [first, ((3, 3, 64, 128), 1), last] + 2 * [first, middle, last]
    convolutions = layers_of(discriminator, keras.layers.Conv2D)
    assert sorted(facts(convolutions)) == sorted((*fact, "same") for fact in expected)
    assert len(layers_of(discriminator, keras.layers.Concatenate)) == 2


def test_leaky_relu_and_dropout_follow_each_convolution(discriminator):
    leaky = layers_of(discriminator, keras.layers.LeakyReLU)
    dropouts = layers_of(discriminator, random.Dropout)
    assert len(leaky) == len(dropouts) == 3 * 3
    assert {layer.negative_slope for layer in leaky} == {0.3}
    assert {layer.rate for layer in dropouts} == {0.3}
    assert len({layer.seed_generator.seed for layer in dropouts}) == 9


def test_the_discriminator_ends_in_one_logit(discriminator):
    (dense,) = layers_of(discriminator, keras.layers.Dense)
    assert dense.kernel.shape == (2 * 2 * 64, 1)
    assert dense.activation is keras.activations.linear
    assert len(layers_of(discriminator, keras.layers.Flatten)) == 1


@pytest.mark.slow
def test_gradients_of_the_logit_reach_every_scale_of_the_generator():
    generator = networks.make_generator((8, 8, 1), 3, latent_dim=4, filters=2)
    discriminator = networks.make_discriminator((8, 8, 1), 3, filters=2)
    with tf.GradientTape() as tape:
        images = generator(tf.ones((2, 4)), training=True)
        logits = discriminator(images)
    for gradient in tape.gradient(logits, images):
        assert np.any(gradient.numpy() != 0)
