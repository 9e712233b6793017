"""Differentiable augmentation of image pyramids, so that a discriminator overfits less.

Nothing is drawn here: the caller brings uniform numbers, one row an image. Which images are
augmented, and how the answers to them are averaged, is the business of the model's `train_step`.
"""

import typing
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments

__all__ = ["AdaptiveAugment", "DiffAugment", "get"]

TIE = 1e-5  # A mean so near the target is at the target: modes round it differently.


@keras.saving.register_keras_serializable(package="kerasmodes")
class DiffAugment(keras.layers.Layer):
    """Recolours, moves and cuts images, alike at each scale, and lets gradients through.

    Give it the real images and the fakes, in the discriminator's and the generator's loss. Each
    image has its own transform:

    - "color": brightness plus [-1/2, 1/2), saturation (distance from the mean of the channels; not
      for one channel) times [0, 2), then contrast (distance from the mean of the image, which is
      that of the largest scale) times [1/2, 3/2);
    - "translation": a move by up to an eighth of the height and of the width; zeros come in;
    - "cutout": zeros in a rectangle half as high and half as wide, that may stick out.

    Lengths are whole pixels of the smallest scale, rounded, so that scales stay aligned: a smallest
    scale below 4 pixels does not move, and of one pixel nothing is cut. Source: Zhao et al. 2020
    (arXiv 2006.10738), section 3 and the code published with it, for one scale.

    Args:
        policies: Names of the transforms, in the order in which they are applied.

    Call arguments:
        pyramid: List of float tensors `[batch, height, width, channels]`, smallest scale first,
            each twice as high and wide as the one before.
        numbers: Float32 `[batch, num_draws]`, uniform in [0, 1), from `km.random.uniform`.

    Returns:
        A list of tensors of the same shapes and dtypes (the colours are computed in float32).

    Example:

    ```python
    augment = km.augmentation.DiffAugment(("color", "translation"))
    numbers = km.random.uniform((8, augment.num_draws), seed=0)
    small, large = augment([tf.ones((8, 8, 8, 3)), tf.ones((8, 16, 16, 3))], numbers)
    ```
    """

    def __init__(self, policies=("color", "translation", "cutout"), **kwargs):
        _check_policies(policies)
        super().__init__(autocast=False, **kwargs)
        self.policies = tuple(policies)
        self.built = True

    @property
    def num_draws(self):
        """How many numbers an image takes, an int."""
        return sum(POLICIES[name].num_draws for name in self.policies)

    def call(self, pyramid, numbers):
        _check_pyramid(pyramid)
        _check_numbers(numbers, self.num_draws)
        for name, draws in zip(self.policies, self._draws(numbers), strict=True):
            pyramid = POLICIES[name].transform(pyramid, *tf.unstack(draws, axis=1))
        return list(pyramid)

    def _draws(self, numbers):
        """Returns each policy's numbers, `[batch, num_draws of the policy]`."""
        return tf.split(numbers, [POLICIES[name].num_draws for name in self.policies], axis=1)

    def get_config(self):
        return {**super().get_config(), "policies": list(self.policies)}


@keras.saving.register_keras_serializable(package="kerasmodes")
class AdaptiveAugment(DiffAugment):
    """`DiffAugment` with a probability that follows how far the discriminator overfits.

    Each policy is applied to an image with the probability `strength`, a weight that starts at 0
    and that `adapt` moves: up if the discriminator is too sure of the real images, else down. Below
    about 0.8 the fakes are unlikely to show the transforms themselves (section 2.2). Source: Karras
    et al. 2020 (arXiv 2006.06676), section 3, heuristic r_t, which moves once in four batches.

    Args:
        policies: As in `DiffAugment`. The draws of the policies come first, then one for each
            policy that decides whether an image gets it.
        target: Mean of sign(D(real)), in (-1, 1), at which the strength stays.
        ramp_images: Number of images that take the strength from 0 to 1, or back.

    Example:

    ```python
    augment = km.augmentation.AdaptiveAugment()
    numbers = km.random.uniform((8, augment.num_draws), seed=0)
    (images,) = augment([tf.ones((8, 16, 16, 3))], numbers)
    augment.adapt(tf.reduce_mean(tf.sign(tf.ones((8, 1)))), num_images=8)
    ```
    """

    def __init__(
        self, policies=("color", "translation", "cutout"), target=0.6, ramp_images=500_000, **kwargs
    ):
        _check_control(target, ramp_images)
        super().__init__(policies, **kwargs)
        self.target = target
        self.ramp_images = ramp_images
        self.strength = self.add_weight(
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="strength",
        )

    @property
    def num_draws(self):
        """How many numbers an image takes, an int."""
        return super().num_draws + len(self.policies)

    def adapt(self, real_accuracy_mean, num_images):
        """Moves the strength by one step: p += sign(r - target) * num_images / ramp_images.

        Args:
            real_accuracy_mean: The mean r of sign(D(real)) over the global batch, in [-1, 1]: the
                same number on each replica. (Of a share of right answers, twice it minus 1.)
            num_images: Number of real images in the global batch.
        """
        excess = tf.cast(real_accuracy_mean, tf.float32) - self.target
        step = tf.sign(tf.round(excess / TIE)) * tf.cast(num_images, tf.float32) / self.ramp_images
        self.strength.assign(tf.clip_by_value(self.strength + step, 0.0, 1.0))

    def _draws(self, numbers):
        num_policies = len(self.policies)
        draws = super()._draws(numbers[:, :-num_policies])
        is_applied = tf.split(numbers[:, -num_policies:] < self.strength, num_policies, axis=1)
        return [
            tf.where(applied, draw, POLICIES[name].neutral)
            for name, draw, applied in zip(self.policies, draws, is_applied, strict=True)
        ]

    def get_config(self):
        return {**super().get_config(), "target": self.target, "ramp_images": self.ramp_images}


def _recolour(pyramid, brightness, saturation, contrast):
    """Returns the pyramid in other colours; numbers of 1/2 leave it as it is."""
    # Brightness moves the means too: added first or, as here, last, it gives the same.
    offset, saturation, contrast = (
        number[:, tf.newaxis, tf.newaxis, tf.newaxis]
        for number in (brightness - 0.5, 2.0 * saturation, contrast + 0.5)
    )
    mean = tf.reduce_mean(tf.cast(pyramid[-1], tf.float32), axis=(1, 2, 3), keepdims=True)

    def recolour(images):
        x = tf.cast(images, tf.float32)
        if images.shape[-1] > 1:
            grey = tf.reduce_mean(x, axis=-1, keepdims=True)
            x = saturation * x + (1.0 - saturation) * grey
        return tf.cast(contrast * x + (1.0 - contrast) * mean + offset, images.dtype)

    return [recolour(images) for images in pyramid]


def _translate(pyramid, down, right):
    """Returns the pyramid moved; numbers of 1/2 leave it where it is."""
    _, height, width, _ = pyramid[0].shape
    rows, columns = _shifts(down, height), _shifts(right, width)
    return [
        _moved(images, rows * 2**scale, columns * 2**scale) for scale, images in enumerate(pyramid)
    ]


def _shifts(numbers, length):
    farthest = (length + 4) // 8
    return tf.cast(tf.floor(numbers * (2 * farthest + 1)), tf.int32) - farthest


@tf.custom_gradient
def _moved(images, rows, columns):
    """Returns each image moved down and right by its whole pixels; zeros come in.

    The gradient is the move back. Left to itself, a gather would have a sum of scattered pieces,
    which is slow and, on some devices, not the same in each run.
    """
    moved = _move_along(2, _move_along(1, images, rows), columns)
    return moved, lambda upstream: (_moved(upstream, -rows, -columns), None, None)


def _move_along(axis, images, shifts):
    length = images.shape[axis]
    sources = tf.clip_by_value(tf.range(1, length + 1) - shifts[:, tf.newaxis], 0, length + 1)
    padding = [[int(axis == place)] * 2 for place in range(4)]
    return tf.gather(tf.pad(images, padding), sources, axis=axis, batch_dims=1)


def _cut(pyramid, down, right):
    """Returns the pyramid with a rectangle of zeros; numbers of -1 keep it out of sight."""
    cut = []
    for scale, images in enumerate(pyramid):
        _, height, width, _ = images.shape
        rows, columns = _hidden(down, height, 2**scale), _hidden(right, width, 2**scale)
        hidden = (rows[:, :, tf.newaxis] & columns[:, tf.newaxis])[..., tf.newaxis]
        cut.append(tf.where(hidden, tf.zeros((), images.dtype), images))
    return cut


def _hidden(numbers, length, factor):
    """Returns booleans `[batch, length]`: hidden rows, `factor` of them to a smallest one."""
    smallest = length // factor
    size = min((smallest + 1) // 2, smallest - 1)
    num_centres = smallest + 1 - size % 2
    first = tf.cast(tf.floor(numbers * num_centres), tf.int32)[:, tf.newaxis] - size // 2
    places = tf.range(length) // factor
    return (places >= first) & (places < first + size)


class Policy(typing.NamedTuple):
    """A transform of a pyramid: how many numbers an image takes, and which change nothing."""

    transform: typing.Callable
    num_draws: int
    neutral: float


POLICIES = {
    "color": Policy(_recolour, num_draws=3, neutral=0.5),
    "translation": Policy(_translate, num_draws=2, neutral=0.5),
    "cutout": Policy(_cut, num_draws=2, neutral=-1.0),
}


def _check_policies(policies):
    names = policies if isinstance(policies, (tuple, list)) else ()
    is_known = all(name in tuple(POLICIES) for name in names)
    if not names or not is_known or len(set(names)) < len(names):
        raise ValueError(
            f"`policies` must be different names out of {tuple(POLICIES)}, in a tuple or list. "
            f"Received: policies={policies!r}"
        )


def _check_control(target, ramp_images):
    if not arguments.is_number(target) or not -1 < target < 1:
        raise ValueError(f"`target` must be a number in (-1, 1). Received: target={target!r}")
    arguments.check_positive_integers(ramp_images=ramp_images)


def _check_pyramid(pyramid):
    if not _is_pyramid(pyramid):
        received = [f"{scale.dtype.name} {scale.shape}" for scale in tf.nest.flatten(pyramid)]
        raise ValueError(
            "`pyramid` must be a list of float tensors [batch, height, width, channels], each "
            "twice as high and wide as the one before. "
            f"Received: {type(pyramid).__name__} of {', '.join(received) or 'nothing'}"
        )


def _is_pyramid(scales):
    if not isinstance(scales, (tuple, list)) or not scales or scales[0].shape.rank != 4:
        return False
    _, height, width, channels = scales[0].shape
    return None not in (height, width, channels) and all(
        images.dtype.is_floating and images.shape[1:] == (height << s, width << s, channels)
        for s, images in enumerate(scales)
    )


def _check_numbers(numbers, num_draws):
    if numbers.dtype != tf.float32 or numbers.shape.rank != 2 or numbers.shape[1] != num_draws:
        raise ValueError(
            f"`numbers` must be float32 with shape [batch, {num_draws}]. "
            f"Received: dtype={numbers.dtype.name} with shape={tuple(numbers.shape)}"
        )


NAMES = {"diff_augment": DiffAugment, "adaptive": AdaptiveAugment}


def get(augmentation: Any):
    """Returns the augmentation of that name with its defaults, one that is given, or `None`.

    Raises:
        ValueError: If it is none of them.
    """
    if augmentation is None or isinstance(augmentation, DiffAugment):
        return augmentation
    others = ", a layer of km.augmentation, or None"
    arguments.check_choice("augmentation", augmentation, NAMES, others)
    return NAMES[augmentation]()
