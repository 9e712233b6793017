"""DCGAN in plain Keras, for 28×28 grey images, and for others of about their size.

The training step follows the keras.io example "DCGAN to generate face images"; the networks and
settings are one of two `RECIPES`. This file has no data and no comparison, and does not use
kerasmodes.

Cost of `python -m gans.dcgan_keras`, from the folder above: 20 steps, half a minute on 2 cores.
"""

import functools
import time

import keras
import numpy as np
import tensorflow as tf

# Measured with a draft whose last layers had biases, on 2 busy cores, 180 CPU seconds each, one
# seed. The Fréchet distance of 5,000 samples in 64 features of a small classifier was 58 for
# "paper" with batches of 64, 285 with the paper's 128 (a third fewer steps), and 135 for "guide"
# with its own 32. With 64, "guide" trained on no more images per second than with 32.
BATCH_SIZE = 64
IMAGE_SHAPE = (28, 28, 1)
GENERATE_BATCH_SIZE = 256

# "paper": Radford et al. 2016, arXiv 1511.06434, sections 3 and 4, in the sizes that the authors'
# code has for 28×28 digits (github.com/Newmu/dcgan_code, mnist/train_cond_dcgan.py), classes left
# out. "guide": the example's, made for 64×64 faces, but with one downsampling less.
RECIPES = {
    "paper": {
        "latent_dim": 100,
        "draw": functools.partial(keras.random.uniform, minval=-1.0, maxval=1.0),
        "learning_rate": 2e-4,
        "beta_1": 0.5,
        "label_noise": 0.0,
    },
    "guide": {
        "latent_dim": 128,
        "draw": keras.random.normal,
        "learning_rate": 1e-4,
        "beta_1": 0.9,
        "label_noise": 0.05,
    },
}


class DCGAN(keras.Model):
    """Two networks, each trained once on a batch: first the discriminator, then the generator.

    Args:
        recipe: `"paper"` or `"guide"`, a key of `RECIPES`.
        image_shape: (height, width, channels); height and width divisible by 4. Defaults to
            `(28, 28, 1)`.

    Example:

    ```python
    gan = DCGAN()
    gan.compile()
    gan.fit(images.batch(BATCH_SIZE), epochs=20)  # float images [28, 28, 1] in [-1, 1]
    samples = gan.generate(16, seed=0)
    ```
    """

    def __init__(self, recipe="paper", image_shape=IMAGE_SHAPE):
        if recipe not in RECIPES:
            raise ValueError(
                f"`recipe` must be one of {sorted(RECIPES)}. Received: recipe={recipe!r}"
            )
        super().__init__()
        self.recipe = recipe
        self.latent_dim = RECIPES[recipe]["latent_dim"]
        make_networks = {"paper": make_paper_networks, "guide": make_guide_networks}[recipe]
        self.generator, self.discriminator = make_networks(self.latent_dim, image_shape)
        self.seed_generator = keras.random.SeedGenerator()
        self.means = [keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss")]
        self.built = True

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, jit_compile=False):
        """Configures training.

        Args:
            generator_optimizer: A Keras optimizer; `None` is Adam with the recipe's settings.
            discriminator_optimizer: The same for the discriminator; an instance of its own.
            jit_compile: As in Keras, but off: XLA's convolutions are slow on a CPU.
        """
        super().compile(optimizer=None, jit_compile=jit_compile)
        self.generator_optimizer = generator_optimizer or self._make_adam()
        self.discriminator_optimizer = discriminator_optimizer or self._make_adam()

    def call(self, latents, training=False):
        return self.generator(latents, training=training)

    def train_step(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        losses = [self._train_discriminator(images), self._train_generator(tf.shape(images)[0])]
        for mean, loss in zip(self.means, losses, strict=True):
            mean.update_state(loss)
        return {mean.name: mean.result() for mean in self.means}

    def generate(self, num_images, seed=None):
        """Returns new images, a float32 NumPy array `[num_images, *image_shape]` in [-1, 1].

        Args:
            num_images: Positive int.
            seed: Int for the same latents each time, or `None`.
        """
        return self.predict(self._draw_latents(num_images, seed), GENERATE_BATCH_SIZE, verbose=0)

    def _train_discriminator(self, images):
        """Trains it to output 1 for a fake and 0 for a real image, each plus the recipe's noise."""
        fakes = self.generator(
            self._draw_latents(tf.shape(images)[0], self.seed_generator), training=True
        )
        noise = RECIPES[self.recipe]["label_noise"]
        with tf.GradientTape() as tape:
            fake_loss = self._compute_cross_entropy(
                1.0, self.discriminator(fakes, training=True), noise
            )
            real_loss = self._compute_cross_entropy(
                0.0, self.discriminator(images, training=True), noise
            )
            loss = (fake_loss + real_loss) / 2
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _train_generator(self, num_images):
        """Trains it to look real: Goodfellow et al. 2014, section 3, the second loss."""
        latents = self._draw_latents(num_images, self.seed_generator)
        with tf.GradientTape() as tape:
            fakes = self.generator(latents, training=True)
            loss = self._compute_cross_entropy(0.0, self.discriminator(fakes, training=True))
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _compute_cross_entropy(self, label, logits, noise=0.0):
        labels = tf.fill(tf.shape(logits), label)
        if noise:
            labels += noise * keras.random.uniform(tf.shape(logits), seed=self.seed_generator)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))

    def _draw_latents(self, num_images, seed):
        return RECIPES[self.recipe]["draw"]((num_images, self.latent_dim), seed=seed)

    def _make_adam(self):
        recipe = RECIPES[self.recipe]
        return keras.optimizers.Adam(recipe["learning_rate"], beta_1=recipe["beta_1"])


def make_paper_networks(latent_dim, image_shape=IMAGE_SHAPE):
    """Returns generator and discriminator: batch norm in both, weights from N(0, 0.02).

    The authors normalise samples with the statistics of their own batch. Here inference uses moving
    statistics, as usual in Keras.
    """
    height, width, channels = image_shape
    layers = keras.layers
    weights = {"use_bias": False, "kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02)}
    strided = {"kernel_size": 5, "strides": 2, "padding": "same", **weights}

    def normalise(activation):
        return layers.BatchNormalization(), activation

    generator = [
        *(layers.Dense(1024, **weights), *normalise(layers.ReLU())),
        *(layers.Dense(height // 4 * (width // 4) * 128, **weights), *normalise(layers.ReLU())),
        layers.Reshape((height // 4, width // 4, 128)),
        *(layers.Conv2DTranspose(64, **strided), *normalise(layers.ReLU())),
        layers.Conv2DTranspose(channels, activation="tanh", **strided),
    ]
    discriminator = [
        *(layers.Conv2D(64, **strided), _make_leaky_relu()),
        *(layers.Conv2D(128, **strided), *normalise(_make_leaky_relu())),
        layers.Flatten(),
        *(layers.Dense(1024, **weights), *normalise(_make_leaky_relu())),
        layers.Dense(1, **weights),
    ]
    return _join_networks(latent_dim, image_shape, generator, discriminator)


def make_guide_networks(latent_dim, image_shape=IMAGE_SHAPE):
    """Returns the example's networks between 7×7 and 28×28; tanh since images are in [-1, 1]."""
    height, width, channels = image_shape
    layers = keras.layers
    strided = {"kernel_size": 4, "strides": 2, "padding": "same"}
    generator = [
        layers.Dense(height // 4 * (width // 4) * 128),
        layers.Reshape((height // 4, width // 4, 128)),
        *(layers.Conv2DTranspose(128, **strided), _make_leaky_relu()),
        *(layers.Conv2DTranspose(256, **strided), _make_leaky_relu()),
        layers.Conv2D(channels, 5, padding="same", activation="tanh"),
    ]
    discriminator = [
        *(layers.Conv2D(64, **strided), _make_leaky_relu()),
        *(layers.Conv2D(128, **strided), _make_leaky_relu()),
        *(layers.Flatten(), layers.Dropout(0.2), layers.Dense(1)),
    ]
    return _join_networks(latent_dim, image_shape, generator, discriminator)


def print_speed(gan, batch_size, num_steps=20):
    """Trains on random images and prints the milliseconds per step, without tracing."""
    shape = (num_steps * batch_size, *IMAGE_SHAPE)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    gan.compile()
    gan.fit(tf.data.Dataset.from_tensors(images[:batch_size]), shuffle=False, verbose=0)
    times = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: times.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: times.append(time.perf_counter()),
    )
    batches = tf.data.Dataset.from_tensor_slices(images).batch(batch_size)
    gan.fit(batches, shuffle=False, verbose=0, callbacks=[clock])
    seconds = (times[1] - times[0]) / num_steps
    print(f"{1e3 * seconds:.0f} ms a step, {batch_size / seconds:.0f} images a second")


def _join_networks(latent_dim, image_shape, generator, discriminator):
    return (
        keras.Sequential([keras.Input((latent_dim,)), *generator], name="generator"),
        keras.Sequential([keras.Input(image_shape), *discriminator], name="discriminator"),
    )


def _make_leaky_relu():
    return keras.layers.LeakyReLU(negative_slope=0.2)


if __name__ == "__main__":
    print_speed(DCGAN(), BATCH_SIZE)
