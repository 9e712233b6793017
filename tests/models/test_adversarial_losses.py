"""Tests of the adversarial losses: values by hand, gradients by differences."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.adversarial_losses import (
    discriminator_loss,
    generator_loss,
    slope_ratio,
)

LOGITS = tf.constant([[-2.0], [0.0], [1.5]])


def column(*values):
    return tf.constant(values, shape=(len(values), 1))


def test_an_undecided_discriminator_costs_ln_2_an_answer():
    assert generator_loss(column(0.0)).numpy() == pytest.approx([math.log(2)])
    assert discriminator_loss(column(0.0), column(0.0)).numpy() == pytest.approx([2 * math.log(2)])


def test_values_by_hand():
    # sigmoid(ln 3) = 3/4 and sigmoid(-ln 3) = 1/4
    real, fake = column(math.log(3)), column(-math.log(3))
    assert generator_loss(fake).numpy() == pytest.approx([-math.log(1 / 4)])
    assert discriminator_loss(real, fake).numpy() == pytest.approx([-2 * math.log(3 / 4)])
    assert discriminator_loss(fake, real).numpy() == pytest.approx([-2 * math.log(1 / 4)])


def test_they_are_cross_entropies():
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    ones, zeros, fakes = tf.ones_like(LOGITS), tf.zeros_like(LOGITS), LOGITS[::-1] + 0.25
    np.testing.assert_allclose(generator_loss(fakes), entropy(ones, fakes)[:, 0], rtol=1e-6)
    expected = entropy(ones, LOGITS) + entropy(zeros, fakes)
    np.testing.assert_allclose(discriminator_loss(LOGITS, fakes), expected[:, 0], rtol=1e-6)


def test_they_have_one_value_an_example():
    assert generator_loss(LOGITS).shape == (3,)
    assert discriminator_loss(LOGITS, LOGITS).shape == (3,)


def test_extreme_logits_stay_finite():
    extreme = column(-1e4, 1e4)
    np.testing.assert_allclose(generator_loss(extreme), [1e4, 0])
    np.testing.assert_allclose(discriminator_loss(extreme, -extreme), [2e4, 0])


@pytest.mark.parametrize(
    "loss",
    [
        generator_loss,
        lambda logits: discriminator_loss(logits, tf.ones_like(logits)),
        lambda logits: discriminator_loss(tf.ones_like(logits), logits),
    ],
    ids=["generator", "discriminator, real", "discriminator, fake"],
)
def test_gradients_equal_differences(loss):
    analytic, numeric = tf.test.compute_gradient(loss, [tf.cast(LOGITS, tf.float64)])
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-6)


def test_the_generator_learns_fastest_where_it_fools_nobody():
    with tf.GradientTape() as tape:
        tape.watch(LOGITS)
        loss = generator_loss(LOGITS)
    slopes = np.abs(tape.gradient(loss, LOGITS)[:, 0])
    assert slopes[0] > 0.8 > slopes[1] > slopes[2]


def test_the_ratio_turns_one_slope_into_the_other():
    logits = tf.constant(np.linspace(-500, 500, 1001, dtype="float32")[:, np.newaxis])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        g_loss = generator_loss(logits)
        d_loss = discriminator_loss(tf.zeros_like(logits), logits)
    g_slopes, d_slopes = (tape.gradient(loss, logits).numpy() for loss in (g_loss, d_loss))
    ratios = slope_ratio(logits).numpy()
    assert np.all(np.isfinite(ratios))
    np.testing.assert_allclose(ratios * d_slopes, g_slopes, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(d_slopes, tf.sigmoid(logits), rtol=1e-6, atol=2e-16)


def test_the_least_slope_adds_nothing_to_the_loss():
    logits = tf.constant([[-500.0], [-40.0], [0.0], [40.0]])
    expected = np.logaddexp(0, -3.0) + np.logaddexp(0, logits[:, 0].numpy().astype("float64"))
    np.testing.assert_allclose(discriminator_loss(tf.fill((4, 1), 3.0), logits), expected, 1e-6)
