"""Losses of the generator and the discriminator, per example, from the discriminator's logits.

Averaging over the global batch is not done here: that is `averaging.average_loss`.
"""

import tensorflow as tf

# What the discriminator's loss always rises by at a fake, however well it is known: far below
# rounding, yet enough to tell the generator's loss from it (see `slope_ratio`).
LEAST_SLOPE = 1e-16


def generator_loss(fake_logits):
    """Returns the non-saturating generator loss, the cross-entropy of "these fakes are real".

    -log sigmoid(D(fake)) = softplus(-D(fake)); Goodfellow et al. 2014 (arXiv 1406.2661), section 3.

    Args:
        fake_logits: Float tensor `[batch, 1]`.

    Returns:
        A tensor `[batch]`.
    """
    return tf.squeeze(tf.math.softplus(-fake_logits), axis=-1)


def discriminator_loss(real_logits, fake_logits):
    """Returns the discriminator's cross-entropy, real images against 1 plus fakes against 0.

    -log sigmoid(D(real)) - log(1 - sigmoid(D(fake))); Goodfellow et al. 2014, equation 1.

    Args:
        real_logits: Float tensor `[batch, 1]`.
        fake_logits: Float tensor `[batch, 1]`.

    Returns:
        A tensor `[batch]`.
    """
    loss = tf.math.softplus(-real_logits) + tf.math.softplus(fake_logits)
    loss += LEAST_SLOPE * (fake_logits - tf.stop_gradient(fake_logits))  # a slope, no height
    return tf.squeeze(loss, axis=-1)


def slope_ratio(fake_logits):
    """Returns the slope of `generator_loss` over that of `discriminator_loss` at each fake logit.

    The logit of an example depends on that example alone. So the gradient of the one loss at a fake
    image is that of the other times this ratio, and a single pass back through the discriminator
    serves both. It is -exp(-D(fake)), of size at most 1 / `LEAST_SLOPE`.

    Args:
        fake_logits: Float tensor `[batch, 1]`.

    Returns:
        A tensor of that shape.
    """
    return -tf.sigmoid(-fake_logits) / (tf.sigmoid(fake_logits) + LEAST_SLOPE)
