"""Penalties on the discriminator's gradients at images, per example, and what they add to a step.

The losses themselves are in `losses.py`.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments, averaging
from kerasmodes.models.msg_gan import saved_arguments

__all__ = ["GradientPenalty", "Penalty", "R1", "R2", "get"]

# Under a root, so that its slope at zero is finite; far below what changes a penalty.
LEAST_SQUARE = 1e-12
SCHEDULE = keras.optimizers.schedules.LearningRateSchedule


class Penalty(saved_arguments.SavedArguments):
    """What is added to the discriminator's loss, averaged over the scales of an image.

    A penalty of your own overrides `images`, and `penalize_scales` unless it is half the squares.
    It is taken at images that are not augmented, with the discriminator's dropout off. A file keeps
    the arguments of its constructor, if each is an attribute of that name.

    Args:
        gamma: Positive float, the weight; or a `keras.optimizers.schedules.LearningRateSchedule`
            of it, by the discriminator's steps.
        every: Positive int; in one step of so many it is added, times so many ("lazy": Karras et
            al. 2020, arXiv 1912.04958, appendix B). The first step has it. With the paper's
            networks on several replicas, the steps between are no faster.

    Raises:
        ValueError: If `gamma` or `every` is not positive.

    Example:

    ```python
    @keras.saving.register_keras_serializable()
    class R1OfTheLargest(km.penalties.Penalty):
        def images(self, real_images, fake_images, alpha):
            return real_images

        def penalize_scales(self, squares):
            return squares[:, -1:] / 2


    gan = km.MSGGAN()
    gan.compile(penalties=R1OfTheLargest(gamma=0.5, every=4))
    ```
    """

    def __init__(self, gamma=1.0, every=1):
        is_number = arguments.is_number(gamma)
        if not isinstance(gamma, SCHEDULE) and not (is_number and gamma > 0):
            raise ValueError(
                "`gamma` must be a positive number, or a schedule of keras.optimizers.schedules. "
                f"Received: gamma={gamma!r}"
            )
        arguments.check_positive_integers(every=every)
        self.gamma = gamma
        self.every = every

    def images(self, real_images: Any, fake_images: Any, alpha: Any):
        """Returns the pyramid at which the gradients are taken."""
        raise NotImplementedError(f"{type(self).__name__} must define `images`.")

    def penalize_scales(self, squares: tf.Tensor):
        """Returns the penalty at each scale, `[batch, scales]`, before `gamma`.

        Args:
            squares: Squared norms of the gradients, `[batch, scales]`.
        """
        return squares / 2

    def __call__(self, discriminator, real_images, fake_images, alpha, step=0):
        """Returns the penalty of each example, a tensor `[batch]`.

        Args:
            discriminator: Function of a pyramid, the logits `[batch, 1]`.
            real_images, fake_images: Lists of tensors `[batch, height, width, channels]`.
            alpha: Uniform numbers `[batch, 1, 1, 1]` in [0, 1).
            step: The discriminator's steps so far.
        """
        images = self.images(real_images, fake_images, alpha)
        is_list = isinstance(images, (list, tuple))
        if not is_list or len(images) != len(real_images):
            received = f"a {type(images).__name__}" + (f" of {len(images)}" if is_list else "")
            raise ValueError(
                f"`images` of {type(self).__name__} must return a list of {len(real_images)} "
                f"tensors, one a scale. Received: {received}"
            )
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = discriminator(images)
        gradients = tape.gradient(logits, images)
        squares = [tf.reduce_sum(tf.square(one), axis=(1, 2, 3)) for one in gradients]
        values = self.penalize_scales(tf.stack(squares, axis=1))
        if values.shape.rank != 2 or not values.shape[:1].is_compatible_with(squares[0].shape):
            raise ValueError(
                f"`penalize_scales` of {type(self).__name__} must return a tensor [batch, scales]. "
                f"Received: a tensor with shape={tuple(values.shape)}"
            )
        means = tf.reduce_mean(values, axis=1)
        gamma = self.gamma(step) if isinstance(self.gamma, SCHEDULE) else self.gamma
        return tf.cast(gamma, means.dtype) * means


@keras.saving.register_keras_serializable(package="kerasmodes")
class R1(Penalty):
    """gamma / 2 times the squared norm of the gradient at real images.

    Source: Mescheder et al. 2018 (arXiv 1801.04406), equation 9.

    Args:
        gamma, every: As in `Penalty`.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile(loss="non_saturating", penalties=[km.penalties.R1(1.0, every=4)])
    ```
    """

    def images(self, real_images: Any, fake_images: Any, alpha: Any):
        return real_images


@keras.saving.register_keras_serializable(package="kerasmodes")
class R2(Penalty):
    """gamma / 2 times the squared norm of the gradient at fake images.

    Source: Mescheder et al. 2018 (arXiv 1801.04406), section 4.1.

    Args:
        gamma, every: As in `Penalty`.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile(penalties=[km.penalties.R1(0.5), km.penalties.R2(0.5)])
    ```
    """

    def images(self, real_images: Any, fake_images: Any, alpha: Any):
        return fake_images


@keras.saving.register_keras_serializable(package="kerasmodes")
class GradientPenalty(Penalty):
    """gamma times the squared distance of the gradient's norm from 1, between real and fake.

    At alpha * real + (1 - alpha) * fake, one uniform alpha an example, the same at each scale.
    Source: Gulrajani et al. 2017 (arXiv 1704.00028), equation 3; averaged over the scales as in
    Karnewar and Wang 2019 (arXiv 1903.06048), section 2.

    Args:
        gamma: Positive float; the paper's lambda, 10 there.
        every: As in `Penalty`.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile(loss="wasserstein", penalties=km.penalties.GradientPenalty(10.0))
    ```
    """

    def __init__(self, gamma=10.0, every=1):
        super().__init__(gamma, every)

    def images(self, real_images: Any, fake_images: Any, alpha: Any):
        return [
            fake + alpha * (real - fake)
            for real, fake in zip(real_images, fake_images, strict=True)
        ]

    def penalize_scales(self, squares: tf.Tensor):
        return tf.square(tf.sqrt(squares + LEAST_SQUARE) - 1)


PENALTIES = {"r1": R1, "r2": R2, "gradient_penalty": GradientPenalty}


def get(penalties: Any):
    """Returns a list of penalties, from one, several or `None`.

    Args:
        penalties: `None`, a `Penalty`, a name, or a list or tuple of them.

    Raises:
        ValueError: If one is neither a `Penalty` nor a name.
    """
    penalties = [] if penalties is None else penalties
    penalties = penalties if isinstance(penalties, (list, tuple)) else [penalties]
    return [_get_one(penalty) for penalty in penalties]


def _get_one(penalty):
    if isinstance(penalty, Penalty):
        return penalty
    if not isinstance(penalty, str) or penalty not in PENALTIES:
        names = ", ".join(repr(name) for name in PENALTIES)
        raise ValueError(
            f"`penalties` must be {names}, a km.penalties.Penalty, or a list of these. "
            f"Received: penalties={penalty!r}"
        )
    return PENALTIES[penalty]()


def add_penalty_gradients(
    penalties: Any,
    gradients: list,
    discriminator: Callable,
    images: Any,
    variables: list,
    optimizer: Any,
    may_branch: bool = True,
):
    """Returns the discriminator's gradients with those of the penalties that are due.

    Args:
        penalties: List of penalties.
        gradients: List of the gradients without them.
        discriminator: Function of a pyramid, the logits `[batch, 1]`.
        images: Real images, fake images and alpha, as in `Penalty.__call__`.
        variables: The discriminator's.
        optimizer: Its optimizer, which counts the steps and scales the loss.
        may_branch: Whether a step without a penalty may leave it out; replicas that talk to each
            other in it cannot, and compute it in vain.
    """
    for penalty in penalties:

        def find_gradients(penalty=penalty):
            with tf.GradientTape() as tape:
                step = optimizer.iterations.value
                loss = averaging.average_loss(penalty.every * penalty(discriminator, *images, step))
                loss = optimizer.scale_loss(loss)
            found = tape.gradient(loss, variables)
            return [
                tf.zeros_like(v) if g is None else g for g, v in zip(found, variables, strict=True)
            ]

        is_due = optimizer.iterations.value % penalty.every == 0
        if penalty.every == 1:
            extra = find_gradients()
        elif may_branch:
            extra = tf.cond(is_due, find_gradients, lambda: [tf.zeros_like(v) for v in variables])
        else:
            extra = [tf.where(is_due, one, tf.zeros_like(one)) for one in find_gradients()]
        gradients = [one + other for one, other in zip(gradients, extra, strict=True)]
    return gradients
