"""Tests of the adversarial losses: values by hand, gradients by differences, in every mode."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan import losses
from kerasmodes.models.msg_gan.losses import LEAST_SLOPE, LOSSES

REAL = tf.constant([[-2.0], [0.0], [1.5]])
FAKE = tf.constant([[1.75], [0.25], [-1.75]])


class Returning(losses.AdversarialLoss):
    """Losses made by a function of the logits of fakes."""

    def __init__(self, make):
        self.make = make

    def losses(self, real_logits, fake_logits):
        return self.make(fake_logits)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda fake: (-fake, tf.reduce_mean(fake)), r"the discriminator's with shape=\(\)"),
        (
            lambda fake: (tf.reduce_mean(fake, axis=0, keepdims=True), fake),
            r"the generator's with shape=\(1, 1\)",
        ),
        (lambda fake: None, "a NoneType"),
        (lambda fake: fake, "a .*Tensor"),
    ],
)
def test_a_loss_without_a_value_an_example_is_refused(make, received):
    with pytest.raises(ValueError, match=f"must return two tensors .batch, 1.*ed: {received}$"):
        Returning(make)(REAL, FAKE)


def test_what_was_said_of_other_losses_is_not_inherited():
    class Flipped(losses.Hinge):
        def losses(self, real_logits, fake_logits):
            return super().losses(-real_logits, -fake_logits)

    assert (Flipped.is_signed, Flipped.shares_backward_pass) == (False, False)
    assert (losses.Hinge.is_signed, losses.Hinge.shares_backward_pass) == (True, True)


def column(*values):
    return tf.constant(values, shape=(len(values), 1))


def softplus(x):
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("name", "g_loss", "d_loss"),
    [
        # D(real) = 2, D(fake) = -0.5
        ("non_saturating", softplus(0.5), softplus(-2.0) + softplus(-0.5)),
        ("least_squares", 1.125, 0.5 + 0.125),
        ("hinge", 0.5, 0.0 + 0.5),
        ("wasserstein", 0.5, -2.5),
        ("relativistic_average_hinge", 3.5 + 3.5, 0.0),
        ("relativistic_pairing", softplus(2.5), softplus(-2.5)),
    ],
)
def test_values_by_hand(name, g_loss, d_loss):
    g_losses, d_losses = LOSSES[name]()(column(2.0), column(-0.5))
    assert g_losses.numpy() == pytest.approx([g_loss])
    assert d_losses.numpy() == pytest.approx([d_loss])


def test_the_average_of_the_others_is_what_counts():
    g_losses, d_losses = LOSSES["relativistic_average_hinge"]()(column(1.0, 0.0), column(0.5, -0.5))
    # real - mean(fake) = (1, 0); fake - mean(real) = (0, -1)
    np.testing.assert_allclose(d_losses, [0 + 1, 1 + 0])
    np.testing.assert_allclose(g_losses, [2 + 1, 1 + 2])


def test_non_saturating_losses_are_cross_entropies():
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    ones, zeros = tf.ones_like(REAL), tf.zeros_like(REAL)
    g_losses, d_losses = LOSSES["non_saturating"]()(REAL, FAKE)
    np.testing.assert_allclose(g_losses, entropy(ones, FAKE)[:, 0], rtol=1e-6)
    expected = entropy(ones, REAL) + entropy(zeros, FAKE)
    np.testing.assert_allclose(d_losses, expected[:, 0], rtol=1e-6)


def test_extreme_logits_stay_finite():
    extreme = column(-1e4, 1e4)
    g_losses, d_losses = LOSSES["non_saturating"]()(extreme, -extreme)
    np.testing.assert_allclose(g_losses, [0, 1e4])
    np.testing.assert_allclose(d_losses, [2e4, 0])


# A loss of each example, and one of the mean over all; the contract has the others as graphs.
IN_MODES = ("non_saturating", "relativistic_average_hinge")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in IN_MODES else pytest.mark.sweep) for name in LOSSES],
)
def test_every_mode_gives_one_value_an_example(name):
    loss = LOSSES[name]()
    eager = loss(REAL, FAKE)
    assert [one.shape for one in eager] == [(3,), (3,)]
    for options in ({}, {"jit_compile": True}):
        for one, other in zip(tf.function(loss, **options)(REAL, FAKE), eager, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("player", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("side", [0, 1], ids=["real", "fake"])
def test_gradients_equal_differences(name, player, side):
    logits = [tf.cast(one, tf.float64) for one in (REAL, FAKE)]

    def loss(own):
        sides = [own, logits[1]] if side == 0 else [logits[0], own]
        return LOSSES[name]().losses(*sides)[player]

    analytic, numeric = tf.test.compute_gradient(loss, [logits[side]])
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-6)


def test_the_least_slope_adds_nothing_to_a_loss_but_is_there():
    logits = column(-500.0, -40.0, 0.0, 40.0)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        _, d_losses = LOSSES["hinge"]()(tf.zeros((4, 1)), logits)
    np.testing.assert_array_equal(d_losses, [1, 1, 2, 42])
    np.testing.assert_allclose(tape.gradient(d_losses, logits)[:, 0], [LEAST_SLOPE] * 2 + [1, 1])


def test_a_loss_of_ones_own_gets_no_slope():
    class Own(losses.Hinge):
        def losses(self, real_logits, fake_logits):
            return super().losses(real_logits, fake_logits)

    logits = column(-500.0)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        _, d_losses = Own()(tf.zeros((1, 1)), logits)
    assert not np.any(tape.gradient(d_losses, logits))
    assert not Own.shares_backward_pass


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_found_by_name_and_saved(name):
    loss = losses.get(name)
    assert type(loss) is LOSSES[name]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is LOSSES[name]


@pytest.mark.parametrize("loss", ["hinged", None, 3, LOSSES["hinge"]])
def test_an_unknown_loss_names_those_there_are(loss):
    with pytest.raises(ValueError, match="must be one of 'non_saturating', .*Received: loss="):
        losses.get(loss)


def test_a_loss_of_ones_own_must_say_what_it_is():
    with pytest.raises(NotImplementedError, match="must define `losses`"):
        losses.AdversarialLoss()(REAL, FAKE)
