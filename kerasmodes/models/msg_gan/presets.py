"""What belongs together for `MSGGAN`: networks, pyramid, losses, optimizers and average.

The layers are in `networks/`, the training step in `model.py`.
"""

import inspect
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments
from kerasmodes.models.msg_gan import losses, penalties, saved_arguments
from kerasmodes.models.msg_gan.networks import default, paper, tutorial

__all__ = ["Default", "Paper", "Preset", "Tutorial", "get"]


class Preset(saved_arguments.SavedArguments):
    """What a preset has; one of your own is a subclass, registered for saving as any Keras object.

    A file keeps the arguments of its constructor, if each is an attribute of that name.

    Attributes:
        latent_dim: Width of the latents where `MSGGAN` is given none.
        half_life: Images after which a weight counts half in the average; `None` for no average.
        has_per_example_logits: Whether a logit depends on its own image alone (no batch norm, say):
            one pass of the discriminator then serves real and fake images. A subclass with a
            `make_discriminator` of its own has to say so.

    Example:

    ```python
    @keras.saving.register_keras_serializable()
    class Slow(km.presets.Default):
        def optimizer(self):
            return keras.optimizers.Adam(1e-4)

    gan = km.MSGGAN(preset=Slow(generator_filters=8))
    ```
    """

    latent_dim = 64
    half_life = None
    has_per_example_logits = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if "make_discriminator" in own and "has_per_example_logits" not in own:
            cls.has_per_example_logits = False  # Not known of another's discriminator.

    def make_generator(
        self,
        image_shape: tuple[int, int, int],
        num_scales: int,
        latent_dim: int,
        num_classes: int | None,
    ) -> keras.Model:
        """Returns the generator, a functional model.

        Args:
            image_shape: (height, width, channels) of the largest scale.
            num_scales: Number of scales; each is twice as high and wide as the one before.
            latent_dim: Width of the latents.
            num_classes: Number of classes, or `None`.

        Returns:
            A model of latents `[batch, latent_dim]`; with classes, of these and one-hot labels
            `[batch, num_classes]`. Its outputs are a list of float32 images, smallest first.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `make_generator`.")

    def make_discriminator(
        self,
        image_shape: tuple[int, int, int],
        num_scales: int,
        num_classes: int | None,
        seed: int | None,
    ) -> keras.Model:
        """Returns the discriminator, a functional model.

        Args:
            image_shape, num_scales, num_classes: As in `make_generator`.
            seed: Int from which its dropout masks follow, or `None`.

        Returns:
            A model of a list of images, smallest first; with classes, the last input is one-hot
            labels `[batch, num_classes]`. Its output is a float32 logit `[batch, 1]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `make_discriminator`.")

    def shrink(self, images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
        """Returns the images at a smaller size: here, the mean of each block.

        Args:
            images: Float tensor `[batch, height, width, channels]`.
            size: (height, width), each of which divides that of the images.
        """
        factor = images.shape[1] // size[0]
        return tf.nn.avg_pool2d(images, factor, factor, "VALID")

    def loss(self) -> losses.AdversarialLoss:
        """Returns the adversarial loss."""
        return losses.NonSaturating()

    def penalties(self) -> list[penalties.Penalty]:
        """Returns the penalties on the discriminator."""
        return []

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Returns a new optimizer, for either network."""
        return keras.optimizers.Adam(1e-3)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Default(Preset):
    """Small networks for good images soon.

    A generator of nearest-neighbour up-sampling, 3x3 convolutions and batch norm against a small
    discriminator without norm or dropout; cross-entropies with a lazy R1; Adam without momentum,
    at rates that fall, so `learning_rate` cannot be set: give `compile` optimizers for that; the
    generator's weights averaged. For peers see `scripts/studies/study_gan.py`.

    Args:
        generator_filters: Positive int, width of the generator at the smallest scale; where the
            image is larger, and in the discriminator, widths fall to 8 at the least.
        discriminator_filters: Positive int, width of the discriminator at the smallest scale.
        half_life: Images after which a weight counts half in the average; `None` for no average.

    Example:

    ```python
    gan = km.MSGGAN(preset=km.presets.Default(generator_filters=128))
    ```
    """

    has_per_example_logits = True

    def __init__(
        self,
        generator_filters: int = 64,
        discriminator_filters: int = 64,
        half_life: float | None = 20_000,
    ):
        _check_settings(generator_filters, discriminator_filters, half_life)
        self.generator_filters = generator_filters
        self.discriminator_filters = discriminator_filters
        self.half_life = half_life

    def make_generator(self, image_shape, num_scales, latent_dim, num_classes):
        return default.make_generator(
            image_shape, num_scales, latent_dim, num_classes, self.generator_filters
        )

    def make_discriminator(self, image_shape, num_scales, num_classes, seed):
        return default.make_discriminator(
            image_shape, num_scales, num_classes, self.discriminator_filters
        )

    def penalties(self):
        # Strong at first, when the discriminator is ahead of the generator.
        return [penalties.R1(_make_falling_schedule(3.0, 10_000), every=4)]

    def optimizer(self):
        rate = _make_falling_schedule(2e-3, 2_500)
        return keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.99)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Tutorial(Preset):
    """The founding tutorial's recipe, exactly: large kernels, dropout, two plain Adams, no average.

    Its pyramid is resized bilinearly: a quarter of the size is the mean of the middle 2x2 pixels of
    each 4x4 block, where average pooling takes all 16.

    Args:
        generator_filters: Positive int, width of the generator's convolutions.
        discriminator_filters: Positive int, width of the discriminator's strided convolutions.
        dropout: Rate of the discriminator's dropout, in `[0, 1)`.

    Example:

    ```python
    gan = km.MSGGAN(preset=km.presets.Tutorial(dropout=0.0))
    ```
    """

    latent_dim = 100
    has_per_example_logits = True

    def __init__(
        self,
        generator_filters: int = 128,
        discriminator_filters: int = 64,
        dropout: float = 0.3,
    ):
        _check_settings(generator_filters, discriminator_filters)
        self.generator_filters = generator_filters
        self.discriminator_filters = discriminator_filters
        self.dropout = dropout

    def make_generator(self, image_shape, num_scales, latent_dim, num_classes):
        return tutorial.make_generator(
            image_shape, num_scales, latent_dim, num_classes, self.generator_filters
        )

    def make_discriminator(self, image_shape, num_scales, num_classes, seed):
        widths = (self.discriminator_filters, self.dropout)
        return tutorial.make_discriminator(image_shape, num_scales, num_classes, *widths, seed)

    def shrink(self, images, size):
        return tf.image.resize(images, size)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Paper(Preset):
    """MSG-ProGAN as published: Karnewar and Wang 2019 (arXiv 1903.06048).

    Latents on the hypersphere, equalised learning rates, pixel norm, minibatch standard deviation,
    linear heads, the Wasserstein loss with a gradient penalty at every scale, RMSprop at 0.003. The
    paper's widths are 512, for images of up to 1024x1024 pixels.

    Args:
        generator_filters: Positive int, width of all the generator's convolutions.
        discriminator_filters: Positive int, width of all the discriminator's convolutions.
        combination: How a scale's image joins the discriminator's features: `"simple"`, `"lin_cat"`
            or `"cat_lin"` (section 2.1).
        half_life: As in `Default`. A decay of 0.999 in batches of 64 is 44,000 images.

    Example:

    ```python
    gan = km.MSGGAN((32, 32, 3), num_scales=4, preset=km.presets.Paper(64, 64, "lin_cat"))
    ```
    """

    latent_dim = 128

    def __init__(
        self,
        generator_filters: int = 128,
        discriminator_filters: int = 128,
        combination: str = "simple",
        half_life: float | None = 44_000,
    ):
        _check_settings(generator_filters, discriminator_filters, half_life)
        arguments.check_choice("combination", combination, paper.COMBINATIONS)
        self.generator_filters = generator_filters
        self.discriminator_filters = discriminator_filters
        self.combination = combination
        self.half_life = half_life

    def make_generator(self, image_shape, num_scales, latent_dim, num_classes):
        return paper.make_generator(
            image_shape, num_scales, latent_dim, num_classes, self.generator_filters
        )

    def make_discriminator(self, image_shape, num_scales, num_classes, seed):
        widths = (self.discriminator_filters, self.combination)
        return paper.make_discriminator(image_shape, num_scales, num_classes, *widths)

    def loss(self):
        return losses.Wasserstein()

    def penalties(self):
        return [penalties.GradientPenalty(10.0)]

    def optimizer(self):
        return keras.optimizers.RMSprop(3e-3, rho=0.99, epsilon=1e-8)


def _check_settings(generator_filters, discriminator_filters, half_life=None):
    arguments.check_positive_integers(
        generator_filters=generator_filters, discriminator_filters=discriminator_filters
    )
    if half_life is not None and not (arguments.is_number(half_life) and half_life > 0):
        raise ValueError(
            "`half_life` must be a positive number of images, or None. "
            f"Received: half_life={half_life!r}"
        )


def _make_falling_schedule(first, steps):
    """Returns a schedule with no end: half of the first value after so many steps."""
    return keras.optimizers.schedules.InverseTimeDecay(first, steps, decay_rate=1.0)


PRESETS = {"default": Default, "tutorial": Tutorial, "paper": Paper}


def get(preset: Any):
    """Returns the preset of that name with its defaults, or the preset itself.

    Raises:
        ValueError: If it is neither a name nor a preset.
    """
    if isinstance(preset, Preset):
        return preset
    arguments.check_choice("preset", preset, PRESETS, ", or a preset of km.presets")
    return PRESETS[preset]()


def check_not_misplaced(preset: Preset, given: dict[str, Any]) -> None:
    """Raises a `ValueError` if a model was given arguments, by name, that its preset takes."""
    cls = type(preset)
    room = "km.presets." if cls in PRESETS.values() else ""
    for name in given.keys() & inspect.signature(cls).parameters.keys():
        raise ValueError(
            f"`{name}` must be given to the preset, not to the model. Received: "
            f"{name}={given[name]!r}. Use preset={room}{cls.__name__}({name}={given[name]!r})."
        )
