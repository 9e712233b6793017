"""Tests of the passes of a discriminator: shared ones find what separate ones do."""

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan import discriminator_passes, losses

SHARED = discriminator_passes.SharedPass()
FORWARD = discriminator_passes.SharedForwardPass()
SEPARATE = discriminator_passes.SeparatePasses()


class Own(losses.AdversarialLoss):
    """Has no slope at fakes with a logit above 1."""

    def losses(self, real_logits, fake_logits):
        return tf.square(fake_logits), tf.minimum(fake_logits, 1.0) - real_logits


def find_gradients(passes, loss):
    """Returns logits and gradients of a discriminator with one weight: logit = weight * sum."""
    shape = (9, 2, 2, 1)
    real = [tf.reshape(tf.linspace(-1.0, 3.0, 36), shape)]
    fake = [tf.reshape(tf.linspace(-2.0, 2.0, 36), shape)]
    weight = tf.Variable(0.7)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(fake)
        logits = passes.find_logits(
            lambda images, _: weight * tf.reduce_sum(images[0], axis=(1, 2)), real, fake, None
        )
        pair = [tf.reduce_mean(one) for one in loss(*logits)]
    (d_gradient,), (g_gradients,) = passes.find_gradients(tape, pair, [weight], fake, logits[1])
    return [*logits, d_gradient, g_gradients]


@pytest.mark.parametrize("passes", [FORWARD, SHARED])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_shared_passes_find_what_separate_ones_do(name, passes):
    found = find_gradients(passes, losses.LOSSES[name]())
    for one, expected in zip(found, find_gradients(SEPARATE, losses.LOSSES[name]()), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ((True, losses.Hinge(), "float32"), discriminator_passes.SharedPass),
        ((True, losses.Hinge(), "float16"), discriminator_passes.SharedForwardPass),
        ((True, Own(), "float32"), discriminator_passes.SharedForwardPass),
        ((False, losses.Hinge(), "float32"), discriminator_passes.SeparatePasses),
    ],
)
def test_as_few_passes_as_networks_and_loss_allow(arguments, kind):
    assert type(discriminator_passes.choose_passes(*arguments)) is kind


def test_a_loss_without_a_slope_has_its_own_gradients():
    passes = discriminator_passes.choose_passes(True, Own(), "float32")
    found, expected = find_gradients(passes, Own()), find_gradients(SEPARATE, Own())
    assert np.isfinite(found[-1]).all()
    np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-5)
