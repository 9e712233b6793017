"""Losses of the generator and the discriminator, per example, from the discriminator's logits.

Averaging over the global batch is not done here: that is `averaging.average_loss`. Penalties on the
discriminator's gradients are in `penalties.py`.
"""

from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments, averaging
from kerasmodes.models.msg_gan import saved_arguments

__all__ = [
    "AdversarialLoss",
    "Hinge",
    "LeastSquares",
    "NonSaturating",
    "RelativisticAverageHinge",
    "RelativisticPairing",
    "Wasserstein",
    "get",
]

# What the discriminator's loss rises by at a fake, however well it is known, if one backward pass
# serves both losses: far below rounding, yet enough to find the generator's gradients from it.
LEAST_SLOPE = 1e-16


class AdversarialLoss(saved_arguments.SavedArguments):
    """Both players' losses. A loss of your own overrides `losses`.

    `is_signed` says whether a positive logit means "real": if not, the accuracies in the logs mean
    nothing, and an augmentation cannot adapt to them. `shares_backward_pass` says whether one
    backward pass may serve both losses, where the networks allow it. It needs a slope of the
    discriminator's loss at each fake, so 1e-16 is added to that slope. A loss of your own is taken
    as it is, with two backward passes, unless its class sets this itself. A file keeps the
    arguments of its constructor, if each is an attribute of that name.

    Calling it on two float tensors of logits `[batch, 1]`, those of real and of fake images,
    returns two tensors `[batch]`: the generator's loss of each example and the discriminator's.

    Example:

    ```python
    @keras.saving.register_keras_serializable()
    class Cautious(km.losses.AdversarialLoss):
        def losses(self, real_logits, fake_logits):
            return -fake_logits, tf.square(fake_logits + 1) + tf.square(real_logits - 1)


    gan = km.MSGGAN()
    gan.compile(loss=Cautious())
    ```
    """

    is_signed = False
    shares_backward_pass = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        for name in ("is_signed", "shares_backward_pass"):
            if "losses" in own and name not in own:
                setattr(cls, name, False)  # It holds of the `losses` it was said of.

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        """Returns the generator's and the discriminator's losses, tensors `[batch, 1]`."""
        raise NotImplementedError(f"{type(self).__name__} must define `losses`.")

    def __call__(self, real_logits, fake_logits):
        found = self.losses(real_logits, fake_logits)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            self._raise_wrong_losses(f"a {type(found).__name__}")
        for player, losses in zip(("generator", "discriminator"), found, strict=True):
            shape = tf.TensorShape(getattr(losses, "shape", ()))
            if not shape.is_compatible_with(fake_logits.shape):
                self._raise_wrong_losses(f"the {player}'s with shape={tuple(shape)}")
        g_losses, d_losses = found
        if self.shares_backward_pass:
            d_losses += LEAST_SLOPE * (fake_logits - tf.stop_gradient(fake_logits))  # no height
        return tf.squeeze(g_losses, axis=-1), tf.squeeze(d_losses, axis=-1)

    def _raise_wrong_losses(self, received):
        raise ValueError(
            f"`losses` of {type(self).__name__} must return two tensors [batch, 1], one value an "
            f"example: the generator's and the discriminator's. Received: {received}"
        )


@keras.saving.register_keras_serializable(package="kerasmodes")
class NonSaturating(AdversarialLoss):
    """Cross-entropies: real against fake; for the generator, that of "these fakes are real".

    Generator: softplus(-D(fake)). Discriminator: softplus(-D(real)) + softplus(D(fake)). Source:
    Goodfellow et al. 2014 (arXiv 1406.2661), equation 1 and section 3.

    Example, of one real and one fake image:

    ```python
    loss = km.losses.NonSaturating()
    g_losses, d_losses = loss(tf.constant([[2.0]]), tf.constant([[-3.0]]))
    # [3.049], [0.1755]
    ```
    """

    is_signed = True
    shares_backward_pass = True

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        d_losses = tf.math.softplus(-real_logits) + tf.math.softplus(fake_logits)
        return tf.math.softplus(-fake_logits), d_losses


@keras.saving.register_keras_serializable(package="kerasmodes")
class LeastSquares(AdversarialLoss):
    """Squared distances of the logits from 1 (real) and 0 (fake), halved.

    Source: Mao et al. 2017 (arXiv 1611.04076), equation 9.

    Example, of one real and one fake image:

    ```python
    loss = km.losses.LeastSquares()
    g_losses, d_losses = loss(tf.constant([[2.0]]), tf.constant([[-3.0]]))
    # [8], [5]
    ```
    """

    shares_backward_pass = True

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        d_losses = (tf.square(real_logits - 1) + tf.square(fake_logits)) / 2
        return tf.square(fake_logits - 1) / 2, d_losses


@keras.saving.register_keras_serializable(package="kerasmodes")
class Hinge(AdversarialLoss):
    """The discriminator learns only from logits within the margins -1 and 1.

    Generator: -D(fake). Discriminator: relu(1 - D(real)) + relu(1 + D(fake)). Source: Lim and Ye
    2017 (arXiv 1705.02894), section 3.

    Example, of one real and one fake image:

    ```python
    loss = km.losses.Hinge()
    g_losses, d_losses = loss(tf.constant([[2.0]]), tf.constant([[-3.0]]))
    # [3], [0]
    ```
    """

    is_signed = True
    shares_backward_pass = True

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        return -fake_logits, tf.nn.relu(1 - real_logits) + tf.nn.relu(1 + fake_logits)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Wasserstein(AdversarialLoss):
    """Differences of the logits themselves; needs a penalty, such as `GradientPenalty`.

    Generator: -D(fake). Discriminator: D(fake) - D(real). Source: Arjovsky et al. 2017
    (arXiv 1701.07875), section 3.

    Example, of one real and one fake image:

    ```python
    loss = km.losses.Wasserstein()
    g_losses, d_losses = loss(tf.constant([[2.0]]), tf.constant([[-3.0]]))
    # [3], [-5]
    ```
    """

    shares_backward_pass = True

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        return -fake_logits, fake_logits - real_logits


@keras.saving.register_keras_serializable(package="kerasmodes")
class RelativisticAverageHinge(AdversarialLoss):
    """The hinge of how much more real an image looks than the average one of the other kind.

    With r = D(real) - mean D(fake) and f = D(fake) - mean D(real), means over the global batch:
    generator relu(1 + r) + relu(1 - f), discriminator relu(1 - r) + relu(1 + f). Source:
    Jolicoeur-Martineau 2018 (arXiv 1807.00734), section 4.2 with the hinge of its appendix.

    Example, of one real and one fake image:

    ```python
    loss = km.losses.RelativisticAverageHinge()
    g_losses, d_losses = loss(tf.constant([[2.0]]), tf.constant([[-3.0]]))
    # [12], [0]
    ```
    """

    shares_backward_pass = True

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        real = real_logits - averaging.global_mean(fake_logits)
        fake = fake_logits - averaging.global_mean(real_logits)
        g_losses = tf.nn.relu(1 + real) + tf.nn.relu(1 - fake)
        return g_losses, tf.nn.relu(1 - real) + tf.nn.relu(1 + fake)


@keras.saving.register_keras_serializable(package="kerasmodes")
class RelativisticPairing(AdversarialLoss):
    """How much more real each real image looks than the fake one beside it.

    Generator: softplus(D(real) - D(fake)). Discriminator: softplus(D(fake) - D(real)). Source:
    Huang et al. 2024, "The GAN is dead; long live the GAN!" (arXiv 2501.05441), equation 2.

    Example, of one real and one fake image:

    ```python
    loss = km.losses.RelativisticPairing()
    g_losses, d_losses = loss(tf.constant([[2.0]]), tf.constant([[-3.0]]))
    # [5.007], [0.006715]
    ```
    """

    shares_backward_pass = True

    def losses(self, real_logits: tf.Tensor, fake_logits: tf.Tensor):
        margins = real_logits - fake_logits
        return tf.math.softplus(margins), tf.math.softplus(-margins)


LOSSES = {
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic_average_hinge": RelativisticAverageHinge,
    "relativistic_pairing": RelativisticPairing,
}


def get(loss: Any):
    """Returns the loss of that name, or the loss itself.

    Raises:
        ValueError: If it is neither a name nor an `AdversarialLoss`.
    """
    if isinstance(loss, AdversarialLoss):
        return loss
    arguments.check_choice("loss", loss, LOSSES, ", or a km.losses.AdversarialLoss")
    return LOSSES[loss]()
