"""Passes of the discriminator in a training step: two of them, or one that serves both losses.

What is done with the logits and gradients is in `model.py`.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasmodes.models.msg_gan import losses


class SeparatePasses:
    """One pass for the real and one for the fake images; a backward pass for each loss."""

    def find_logits(
        self,
        discriminate: Callable,
        real_images: list[tf.Tensor],
        fake_images: list[tf.Tensor],
        labels: tf.Tensor | None,
    ) -> list[tf.Tensor]:
        """Returns the logits of the real images and those of the fake ones, `[batch, 1]` each.

        Args:
            discriminate: Function of a pyramid and its labels that returns logits.
            real_images, fake_images: Pyramids, lists of tensors `[batch, height, width, channels]`.
            labels: One-hot tensor `[batch, num_classes]`, or `None`.
        """
        return [discriminate(images, labels) for images in (real_images, fake_images)]

    def find_gradients(
        self,
        tape: tf.GradientTape,
        losses: tuple[tf.Tensor, tf.Tensor],
        variables: list,
        fake_images: list[tf.Tensor],
        fake_logits: tf.Tensor,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns the discriminator loss's gradients, and the generator loss's at the fakes.

        Args:
            tape: Persistent tape that has recorded the pass and the losses.
            losses: Generator's and discriminator's losses, scalars.
            variables: The discriminator's.
            fake_images, fake_logits: As in `find_logits`.
        """
        g_loss, d_loss = losses
        return tape.gradient(d_loss, variables), tape.gradient(g_loss, fake_images)


class SharedForwardPass(SeparatePasses):
    """One pass for real and fake images, if each logit depends on its own image alone.

    Each real image lies beside a fake one, so that replicas, whose shards of a batch are
    contiguous, drop what one device would.
    """

    def find_logits(self, discriminate, real_images, fake_images, labels):
        pairs = [
            tf.stack((tf.cast(real, fake.dtype), fake), axis=1)
            for real, fake in zip(real_images, fake_images, strict=True)
        ]
        images = [tf.reshape(pair, [-1, *pair.shape[2:]]) for pair in pairs]
        labels = None if labels is None else tf.repeat(labels, 2, axis=0)
        logits = discriminate(images, labels)
        return tf.unstack(tf.reshape(logits, [-1, 2, logits.shape[-1]]), axis=1)


class SharedPass(SharedForwardPass):
    """One pass and one backward pass for both losses.

    If the logit of an example depends on that example alone, then the gradient of one loss at a
    fake image is that of the other times the ratio of their slopes at its logit. The slope of the
    discriminator's loss must not be zero there: see `AdversarialLoss.shares_backward_pass`.
    """

    def find_gradients(self, tape, losses, variables, fake_images, fake_logits):
        g_loss, d_loss = losses
        d_gradients, gradients = tape.gradient(d_loss, (variables, fake_images))
        g_slopes, d_slopes = (tape.gradient(loss, fake_logits) for loss in (g_loss, d_loss))
        ratios = (g_slopes / d_slopes)[:, :, tf.newaxis, tf.newaxis]
        return d_gradients, [ratios * gradient for gradient in gradients]


def choose_passes(
    has_per_example_logits: bool, loss: losses.AdversarialLoss, compute_dtype: str
) -> SeparatePasses:
    """Returns the passes that a discriminator and a loss allow, the fewest there can be.

    Args:
        has_per_example_logits: Whether each logit depends on its own image alone.
        loss: The adversarial loss.
        compute_dtype: Name of the discriminator's dtype; float16 has too few exponents for ratios.
    """
    if not has_per_example_logits:
        return SeparatePasses()
    if not loss.shares_backward_pass or compute_dtype == "float16":
        return SharedForwardPass()
    return SharedPass()
