"""`MSGGAN`: a generative adversarial network that learns images at several scales at once.

The layers are in `msg_gan_networks.py`, the losses in `adversarial_losses.py`; how a step is run
is in `model.py`.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import averaging, random
from kerasmodes.model import Model
from kerasmodes.models import adversarial_losses, msg_gan_networks

GENERATE_BATCH_SIZE = 64


@keras.saving.register_keras_serializable(package="kerasmodes")
class MSGGAN(Model):
    """Multi-scale-gradient GAN: the discriminator sees every scale of an image together.

    `fit` takes batches of full-size images `[batch, height, width, channels]`, float in [-1, 1], or
    tuples that start with them (labels are ignored), and makes the smaller scales itself. Calling
    the model on latents `[batch, latent_dim]` returns the images of all scales, smallest first.
    The logs hold the means of `g_loss`, `d_loss` and of the discriminator's `real_accuracy` and
    `fake_accuracy`. Source: Karnewar and Wang 2019 (arXiv 1903.06048).

    Args:
        image_shape: (height, width, channels); height and width divisible by 2**(num_scales - 1).
        num_scales: Number of scales, at least 1.
        latent_dim: Width of the latents.
        generator_filters: Width of the generator's convolutions.
        discriminator_filters: Width of the discriminator's strided convolutions.
        dropout: Rate of the discriminator's dropout, in `[0, 1)`.
        seed: Int from which latents and dropout masks follow, or `None`.

    Example:

    ```python
    gan = km.MSGGAN(image_shape=(28, 28, 1), num_scales=3)
    gan.compile(mode="graph")
    gan.fit(km.data.images("fashion_mnist_sample", batch_size=64), epochs=1)
    smallest, middle, largest = gan.generate(16, seed=0)
    ```
    """

    def __init__(
        self,
        image_shape=(28, 28, 1),
        num_scales=3,
        latent_dim=100,
        generator_filters=128,
        discriminator_filters=64,
        dropout=0.3,
        seed=None,
        **kwargs,
    ):
        _check_sizes(image_shape, num_scales, latent_dim, generator_filters, discriminator_filters)
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.num_scales = num_scales
        self.latent_dim = latent_dim
        self.generator_filters = generator_filters
        self.discriminator_filters = discriminator_filters
        self.dropout = dropout
        self.seed = seed
        self.generator = msg_gan_networks.make_generator(
            self.image_shape, num_scales, latent_dim, generator_filters
        )
        self.discriminator = msg_gan_networks.make_discriminator(
            self.image_shape, num_scales, discriminator_filters, dropout, seed
        )
        self.seed_generator = random.SeedGenerator(seed)
        # Validation has its own stream: it must not change what training draws next.
        self.test_seed_generator = random.SeedGenerator(seed)
        self.means = [
            keras.metrics.Mean(name=name)
            for name in ("g_loss", "d_loss", "real_accuracy", "fake_accuracy")
        ]
        self.built = True

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, **kwargs):
        """Configures training.

        Args:
            generator_optimizer: Any Keras optimizer; `None` is Adam with learning rate 1e-3. Made
                under the policy "mixed_float16", the model scales its losses, each by its own
                `keras.optimizers.LossScaleOptimizer`.
            discriminator_optimizer: The same for the discriminator; an instance of its own.
            **kwargs: `mode`, `run_eagerly`, `steps_per_execution`, `jit_compile`.

        Raises:
            ValueError: If both optimizers are one object, or another argument is wrong.
        """
        if generator_optimizer is not None and generator_optimizer is discriminator_optimizer:
            raise ValueError(
                "`discriminator_optimizer` must be another object than `generator_optimizer`. "
                f"Received: {discriminator_optimizer!r} for both"
            )
        with self.distribute_strategy.scope():
            generator_optimizer = _optimizer(generator_optimizer, self.generator)
            discriminator_optimizer = _optimizer(discriminator_optimizer, self.discriminator)
        super().compile(optimizer=None, **kwargs)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer

    def fit(self, x=None, *args, **kwargs):
        """As Keras's `fit`; images in an array are checked to lie in [-1, 1] first."""
        if isinstance(x, np.ndarray) and x.size and not -1 <= x.min() <= x.max() <= 1:
            raise ValueError(
                f"Images must be in [-1, 1]. Received: values from {x.min()} to {x.max()}. "
                "Scale bytes with x / 127.5 - 1."
            )
        return super().fit(x, *args, **kwargs)

    def call(self, latents, training=False):
        images = self.generator(latents, training=training)
        return images if isinstance(images, list) else [images]  # Keras unpacks a single output

    def pyramid(self, images):
        """Returns the images at every scale, smallest first, resized bilinearly.

        Args:
            images: Float tensor `[batch, height, width, channels]`.

        Returns:
            A list of `num_scales` tensors; the last is `images`.
        """
        sizes = msg_gan_networks.scale_sizes(self.image_shape, self.num_scales)
        return [tf.image.resize(images, size) for size in sizes[:-1]] + [images]

    def train_step(self, data):
        real_images = self.pyramid(self._images(data))
        latents = self._latents(tf.shape(real_images[-1])[0], self.seed_generator)
        with tf.GradientTape() as g_tape:
            fake_images = self(latents, training=True)
        with tf.GradientTape(persistent=True) as d_tape:
            d_tape.watch(fake_images)
            real_logits, fake_logits = self._judge(real_images, fake_images)
            g_losses = adversarial_losses.generator_loss(fake_logits)
            d_losses = adversarial_losses.discriminator_loss(real_logits, fake_logits)
            g_loss = self.generator_optimizer.scale_loss(averaging.average_loss(g_losses))
            d_loss = self.discriminator_optimizer.scale_loss(averaging.average_loss(d_losses))
        d_variables = self.discriminator.trainable_variables
        d_gradients, fake_gradients = d_tape.gradient(d_loss, (d_variables, fake_images))
        if self.discriminator.compute_dtype == "float16":  # too few exponents for the turn
            fake_gradients = d_tape.gradient(g_loss, fake_images)
        else:
            fake_gradients = self._turned(fake_gradients, fake_logits)
        g_variables = self.generator.trainable_variables
        g_gradients = g_tape.gradient(fake_images, g_variables, output_gradients=fake_gradients)
        self.generator_optimizer.apply(g_gradients, g_variables)
        self.discriminator_optimizer.apply(d_gradients, d_variables)
        return self._update_means(g_losses, d_losses, real_logits, fake_logits)

    def test_step(self, data):
        real_images = self.pyramid(self._images(data))
        latents = self._latents(tf.shape(real_images[-1])[0], self.test_seed_generator)
        real_logits = self.discriminator(real_images, training=False)
        fake_logits = self.discriminator(self.generator(latents, training=False), training=False)
        g_losses = adversarial_losses.generator_loss(fake_logits)
        d_losses = adversarial_losses.discriminator_loss(real_logits, fake_logits)
        return self._update_means(g_losses, d_losses, real_logits, fake_logits)

    def generate(self, num_images=16, seed=None):
        """Returns new images at every scale.

        Args:
            num_images: Positive int.
            seed: Int for the same images each time; `None` draws a new seed. Neither touches the
                random state of training.

        Returns:
            A list of float32 NumPy arrays `[num_images, height, width, channels]` in [-1, 1],
            smallest scale first.

        Raises:
            ValueError: If `num_images` is not a positive integer.
        """
        if isinstance(num_images, bool) or not isinstance(num_images, int) or num_images < 1:
            raise ValueError(
                f"`num_images` must be a positive integer. Received: num_images={num_images!r}"
            )
        latents = self._latents(num_images, random.SeedGenerator(seed))
        starts = range(0, num_images, GENERATE_BATCH_SIZE)
        batches = [self(latents[start : start + GENERATE_BATCH_SIZE]) for start in starts]
        return [tf.concat(scale, axis=0).numpy() for scale in zip(*batches, strict=True)]

    def get_config(self):
        names = ("image_shape", "num_scales", "latent_dim", "generator_filters")
        names += ("discriminator_filters", "dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _judge(self, real_images, fake_images):
        """Returns the logits of the real and of the fake images, from one pass in training.

        Each real image lies beside a fake one, so that replicas, whose parts of a batch are
        contiguous, drop what one device would.
        """
        pairs = [
            tf.stack((tf.cast(real, fake.dtype), fake), axis=1)
            for real, fake in zip(real_images, fake_images, strict=True)
        ]
        images = [tf.reshape(pair, [-1, *pair.shape[2:]]) for pair in pairs]
        logits = self.discriminator(images, training=True)
        return tf.unstack(tf.reshape(logits, [-1, 2, logits.shape[-1]]), axis=1)

    def _turned(self, fake_gradients, fake_logits):
        """Returns the generator loss's gradients at the fakes, from the discriminator loss's."""
        slopes = self.generator_optimizer.scale_loss(adversarial_losses.slope_ratio(fake_logits))
        slopes /= self.discriminator_optimizer.scale_loss(tf.ones(()))
        return [slopes[:, :, tf.newaxis, tf.newaxis] * gradient for gradient in fake_gradients]

    def _latents(self, num_images, seed_generator):
        return random.normal((num_images, self.latent_dim), seed=seed_generator)

    def _images(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        if not images.dtype.is_floating or images.shape[1:] != self.image_shape:
            raise ValueError(
                f"Images must be float in [-1, 1] with shape [batch, *{self.image_shape}]. "
                f"Received: dtype={images.dtype.name} with shape={tuple(images.shape)}. "
                "km.data.images makes such batches."
            )
        return images

    def _update_means(self, g_losses, d_losses, real_logits, fake_logits):
        values = (g_losses, d_losses, real_logits > 0, fake_logits < 0)
        for mean, value in zip(self.means, values, strict=True):
            mean.update_state(tf.cast(value, tf.float32))
        return {mean.name: mean.result() for mean in self.means}


def _optimizer(optimizer, network):
    """Returns the optimizer, built: unbuilt, it could neither be restored nor run on replicas."""
    if optimizer is None:
        optimizer = keras.optimizers.Adam(1e-3)
    optimizer = keras.optimizers.get(optimizer)
    is_scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if network.compute_dtype == "float16" and not is_scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if not optimizer.built:
        optimizer.build(network.trainable_variables)
    return optimizer


def _check_sizes(image_shape, num_scales, latent_dim, generator_filters, discriminator_filters):
    numbers = {
        "num_scales": num_scales,
        "latent_dim": latent_dim,
        "generator_filters": generator_filters,
        "discriminator_filters": discriminator_filters,
    }
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    is_shape = isinstance(image_shape, (tuple, list)) and len(image_shape) == 3
    if not is_shape or not all(isinstance(n, int) and n > 0 for n in image_shape):
        raise ValueError(
            "`image_shape` must be (height, width, channels). "
            f"Received: image_shape={image_shape!r}"
        )
