"""Tests that layers of all kinds, wherever in a net, have stock Keras's numbers in every mode."""

import functools

import keras
import numpy as np
import pytest
from seeds import set_seed

import kerasmodes as km

layers = keras.layers
SEQUENCE, IMAGE = (4, 3), (4, 4, 2)


class OwnLayer(layers.Layer):
    """A layer of a user's: a weight, a state that counts, a branch."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return keras.ops.cond(self.calls > 1, lambda: x * self.scale, lambda: x + self.scale)


def attend(make_layer):
    """Returns a function that makes a layer which attends to its own input."""

    def make(shape=SEQUENCE):
        x = keras.Input(shape)
        attention = make_layer()
        takes_list = isinstance(attention, layers.Attention)  # And its subclasses.
        return keras.Model(x, attention([x, x]) if takes_list else attention(x, x))

    return make


def bin_into(*following):
    """Returns a function that makes a layer for numbers, from layers for integers."""
    return lambda: keras.Sequential([layers.Discretization([0.2, 0.5]), *(f() for f in following)])


KINDS = {
    "lstm": (SEQUENCE, [lambda: layers.LSTM(2, return_sequences=True)]),
    "gru": (SEQUENCE, [lambda: keras.Sequential([layers.Masking(), layers.GRU(2)])]),
    "bidirectional": (SEQUENCE, [lambda: layers.Bidirectional(layers.SimpleRNN(2))]),
    "attention": (
        SEQUENCE,
        [
            attend(lambda: layers.Attention(use_scale=True)),
            attend(layers.AdditiveAttention),
            attend(lambda: layers.MultiHeadAttention(2, 2)),
            attend(lambda: layers.GroupQueryAttention(2, 2, 1)),
        ],
    ),
    "normalisation": (
        SEQUENCE,
        [
            layers.BatchNormalization,
            layers.LayerNormalization,
            lambda: layers.GroupNormalization(3),
            layers.RMSNormalization,
            layers.UnitNormalization,
            lambda: layers.SpectralNormalization(layers.Dense(2)),
        ],
    ),
    "embedding": (
        (4,),
        [
            bin_into(lambda: layers.Embedding(3, 2)),
            bin_into(lambda: layers.Embedding(3, 2, mask_zero=True), lambda: layers.SimpleRNN(2)),
            bin_into(lambda: layers.CategoryEncoding(3, "one_hot")),
        ],
    ),
    "preprocessing": (
        IMAGE,
        [
            lambda: layers.Normalization(mean=0.5, variance=2.0),
            lambda: layers.Rescaling(2.0, offset=-1.0),
            lambda: layers.Resizing(3, 5),
            lambda: layers.CenterCrop(2, 3),
        ],
    ),
    "convolution_1d": (
        SEQUENCE,
        [
            lambda: layers.Conv1D(2, 2, padding="causal"),
            lambda: layers.Conv1DTranspose(2, 2, strides=2),
            lambda: layers.SeparableConv1D(2, 2),
        ],
    ),
    "convolution_2d": (
        IMAGE,
        [
            lambda: layers.Conv2D(2, 3, strides=2, padding="same"),
            lambda: layers.Conv2DTranspose(2, 3, strides=2),
            lambda: layers.DepthwiseConv2D(2),
        ],
    ),
    "convolution_3d": (
        (3, 3, 3, 1),
        [lambda: layers.Conv3D(2, 2), lambda: layers.Conv3DTranspose(2, 2)],
    ),
    "pooling": (
        IMAGE,
        [
            layers.MaxPooling2D,
            lambda: layers.AveragePooling2D(3, padding="same"),
            layers.GlobalMaxPooling2D,
            lambda: layers.UpSampling2D(2, interpolation="bilinear"),
        ],
    ),
    "others": (
        SEQUENCE,
        [
            OwnLayer,
            layers.PReLU,
            lambda: layers.TimeDistributed(layers.Dense(2)),
            lambda: layers.EinsumDense("abc,cd->abd", output_shape=(4, 2)),
        ],
    ),
    # In the middle of a net, one of several of the kinds above.
    "some": (
        SEQUENCE,
        [
            attend(lambda: layers.Attention(use_scale=True)),
            layers.BatchNormalization,
            layers.LayerNormalization,
            lambda: layers.MaxPooling1D(2),
            lambda: layers.Rescaling(2.0, offset=-1.0),
        ],
    ),
}


# Layers that come first: those for numbers that have no gradient, and some of the others.
COME_FIRST = ("embedding", "convolution_2d", "lstm", "others")
LET_NO_GRADIENT_THROUGH = ("embedding",)


def make_net(kind):
    """Returns a net whose layers come first, or have an input that needs a gradient, or both.

    All outputs of layers are in the output of the net: those behind others are in its middle and
    last as far as gradients are concerned.
    """
    shape, makers = KINDS[kind]
    x = keras.Input(shape)
    first = [make()(x) for make in makers] if kind in COME_FIRST else []
    if kind in LET_NO_GRADIENT_THROUGH:
        return keras.Model(x, join(first))
    middle = layers.Dense(int(np.prod(shape)), "tanh")(join([x, *first]))
    middle = layers.Reshape(shape)(middle)
    return keras.Model(x, join([*first, middle, *(make()(middle) for make in makers)]))


def join(parts):
    return layers.Concatenate()([layers.Flatten()(part) for part in parts])


def train(mode, kind, num_steps=2):
    set_seed(0)
    shape, net = KINDS[kind][0], make_net(kind)
    x = np.random.default_rng(0).random((2 * num_steps, *shape), dtype="float32")
    y = np.ones((2 * num_steps, *net.output_shape[1:]), "float32")
    if mode == "keras":
        net.compile("sgd", "mse", run_eagerly=True)  # Quicker than to trace two steps.
    else:
        net = km.with_modes(net)
        net.compile("sgd", "mse", mode=mode)
    losses = net.fit(x, y, batch_size=2, shuffle=False, verbose=0).history["loss"]
    return [losses, *net.get_weights()]


# Without XLA a layer is Keras's own: there, those with a state are enough. With it, some that come
# first in a net; the sweep has the others. Embeddings are in the tests of data and of masks.
WAYS = [("others", "fused"), ("normalisation", "eager")]
OTHER_WAYS = [(kind, "fused") for kind in KINDS if (kind, "fused") not in WAYS]
OTHER_WAYS += [("convolution_2d", "xla"), ("others", "graph"), ("lstm", "graph")]


@functools.cache
def keras_numbers(kind):
    return train("keras", kind)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode"), [*WAYS, *(pytest.param(*way, marks=pytest.mark.sweep) for way in OTHER_WAYS)]
)
def test_layers_give_the_numbers_of_keras_in_every_mode(kind, mode):
    for one, other in zip(train(mode, kind), keras_numbers(kind), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def encode_categories(mode, output_mode):
    set_seed(0)
    generator = np.random.default_rng(0)
    data = [generator.integers(0, 5, (6, 3), "int32")]
    inputs, given = [keras.Input((3,), dtype="int32")], {}
    if output_mode == "count":  # Keras 3.13 refuses inputs that no layer takes.
        data.append(generator.random((6, 3), "float32"))
        inputs.append(keras.Input((3,)))
        given["count_weights"] = inputs[1]
    encoded = layers.CategoryEncoding(5, output_mode)(inputs[0], **given)
    model = keras.Model(inputs, layers.Dense(1)(encoded))
    if mode != "keras":
        km.with_modes(model).compile(mode=mode)
    return model.predict(data, batch_size=2, verbose=0)


@pytest.mark.parametrize(
    ("mode", "output_mode"),
    [
        ("fused", "multi_hot"),
        pytest.param("fused", "count", marks=pytest.mark.sweep),
        pytest.param("xla", "multi_hot", marks=pytest.mark.sweep),
        pytest.param("xla", "count", marks=pytest.mark.sweep),
    ],
)
def test_categories_are_encoded_in_every_mode(mode, output_mode):
    expected = encode_categories("keras", output_mode)
    np.testing.assert_allclose(encode_categories(mode, output_mode), expected, rtol=1e-5)
