"""Losses of the generator and the discriminator, per example, from the discriminator's logits.

Averaging over the global batch is not done here: that is `averaging.average_loss`.
"""

import tensorflow as tf


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
    return tf.squeeze(loss, axis=-1)
