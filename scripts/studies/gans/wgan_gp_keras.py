"""A Wasserstein GAN with gradient penalty in plain Keras, for Fashion-MNIST.

Networks, optimizers and the three critic steps follow the keras.io example "WGAN-GP overriding
Model.train_step", which was made for this data set. The loss follows Gulrajani et al. 2017, arXiv
1704.00028. This file has no data and no comparison, and does not use kerasmodes.

Cost of `python -m gans.wgan_gp_keras`, from the folder above: 20 steps, a minute on 2 cores.
"""

import keras
import tensorflow as tf

from gans import dcgan_keras

# The example uses 512, for 20 epochs on a GPU: 2,360 generator steps. In a limited time on a CPU
# 64 gives eight times the updates for the same images. The authors' code uses a similar 50 for
# 28×28 digits (github.com/igul222/improved_wgan_training, gan_mnist.py).
BATCH_SIZE = 64
LATENT_DIM = 128
IMAGE_SHAPE = (28, 28, 1)
GENERATE_BATCH_SIZE = 256


class WGANGP(keras.Model):
    """Two networks; the critic, here `discriminator`, is trained several times per generator step.

    Args:
        latent_dim: Width of the latents, positive int.
        discriminator_steps: Positive int; 3 in the example, 5 in the paper.
        gp_weight: Weight of the gradient penalty, the paper's lambda.

    Example:

    ```python
    gan = WGANGP()
    gan.compile()
    gan.fit(images.batch(BATCH_SIZE), epochs=20)  # float images [28, 28, 1] in [-1, 1]
    samples = gan.generate(16, seed=0)
    ```
    """

    def __init__(self, latent_dim=LATENT_DIM, discriminator_steps=3, gp_weight=10.0):
        super().__init__()
        self.latent_dim = latent_dim
        self.discriminator_steps = discriminator_steps
        self.gp_weight = gp_weight
        self.generator = make_generator(latent_dim)
        self.discriminator = make_discriminator()
        self.seed_generator = keras.random.SeedGenerator()
        self.means = [keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss")]
        self.built = True

    def compile(self, generator_optimizer=None, discriminator_optimizer=None, jit_compile=False):
        """Configures training.

        Args:
            generator_optimizer: A Keras optimizer; `None` is the example's, Adam with learning rate
                2e-4, beta_1 0.5 and beta_2 0.9.
            discriminator_optimizer: The same for the critic; an instance of its own.
            jit_compile: As in Keras, but off: XLA's convolutions are slow on a CPU.
        """
        super().compile(optimizer=None, jit_compile=jit_compile)
        self.generator_optimizer = generator_optimizer or keras.optimizers.Adam(2e-4, 0.5, 0.9)
        self.discriminator_optimizer = discriminator_optimizer or keras.optimizers.Adam(
            2e-4, 0.5, 0.9
        )

    def call(self, latents, training=False):
        return self.generator(latents, training=training)

    def train_step(self, data):
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        d_losses = [self._train_discriminator(images) for _ in range(self.discriminator_steps)]
        losses = [tf.reduce_mean(d_losses), self._train_generator(tf.shape(images)[0])]
        for mean, loss in zip(self.means, losses, strict=True):
            mean.update_state(loss)
        return {mean.name: mean.result() for mean in self.means}

    def compute_gradient_penalty(self, images, fakes):
        """Returns the mean of (norm of the critic's gradient - 1)^2 between real and fake images.

        Each real image is paired with a fake one; the points are uniform on the line between them.
        Source: Gulrajani et al. 2017, equation 3 and algorithm 1, lines 4 to 7.

        Args:
            images: Float tensor `[batch, 28, 28, 1]`.
            fakes: The same, from the generator.
        """
        share = keras.random.uniform((tf.shape(images)[0], 1, 1, 1), seed=self.seed_generator)
        between = images + share * (fakes - images)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.discriminator(between, training=True)
        squares = tf.reduce_sum(tf.square(tape.gradient(scores, between)), axis=(1, 2, 3))
        norms = tf.sqrt(squares + 1e-12)  # the gradient of a root is infinite at 0
        return tf.reduce_mean(tf.square(norms - 1.0))

    def generate(self, num_images, seed=None):
        """Returns new images, a float32 NumPy array `[num_images, 28, 28, 1]` in [-1, 1].

        Args:
            num_images: Positive int.
            seed: Int for the same latents each time, or `None`.
        """
        return self.predict(self._draw_latents(num_images, seed), GENERATE_BATCH_SIZE, verbose=0)

    def _train_discriminator(self, images):
        fakes = self.generator(
            self._draw_latents(tf.shape(images)[0], self.seed_generator), training=True
        )
        with tf.GradientTape() as tape:
            fake_score = tf.reduce_mean(self.discriminator(fakes, training=True))
            real_score = tf.reduce_mean(self.discriminator(images, training=True))
            penalty = self.compute_gradient_penalty(images, fakes)
            loss = fake_score - real_score + self.gp_weight * penalty
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _train_generator(self, num_images):
        latents = self._draw_latents(num_images, self.seed_generator)
        with tf.GradientTape() as tape:
            fakes = self.generator(latents, training=True)
            loss = -tf.reduce_mean(self.discriminator(fakes, training=True))
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _draw_latents(self, num_images, seed):
        return keras.random.normal((num_images, self.latent_dim), seed=seed)


def make_generator(latent_dim):
    """Returns the example's generator: latents to images, from 32×32 cropped at the end."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(4 * 4 * 256, use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Reshape((4, 4, 256)),
            *_make_upsampling(128, layers.LeakyReLU(negative_slope=0.2)),
            *_make_upsampling(64, layers.LeakyReLU(negative_slope=0.2)),
            *_make_upsampling(1, layers.Activation("tanh")),
            layers.Cropping2D(2),
        ],
        name="generator",
    )


def make_discriminator():
    """Returns the example's critic: images, padded to 32×32, to a score."""
    layers = keras.layers
    stack = [keras.Input(IMAGE_SHAPE), layers.ZeroPadding2D(2)]
    for filters, dropout in ((64, 0.0), (128, 0.3), (256, 0.3), (512, 0.0)):
        stack += [
            layers.Conv2D(filters, 5, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
        ]
        if dropout:
            stack.append(layers.Dropout(dropout))
    return keras.Sequential(
        [*stack, layers.Flatten(), layers.Dropout(0.2), layers.Dense(1)], name="discriminator"
    )


def _make_upsampling(filters, activation):
    return (
        keras.layers.UpSampling2D(),
        keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(),
        activation,
    )


if __name__ == "__main__":
    dcgan_keras.print_speed(WGANGP(), BATCH_SIZE)
