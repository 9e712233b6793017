"""A Wasserstein GAN with gradient penalty: several updates of the critic in one training step.

Mode: one of those below; "fused" by default. Data: 1,024 images of Fashion-MNIST, in the package.
Run: python scripts/examples/wgan_gp.py [eager|graph|xla|fused]
Prints: a line an epoch with the critic's distance. Writes: wgan_gp.png, images above fakes.
"""

import sys

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import tensorflow as tf
from keras.layers import Dense, Flatten, Reshape


class WGANGP(km.Model):
    """A GAN of images in [-1, 1] (Gulrajani et al. 2017, algorithm 1)."""

    def __init__(self, latent_dim=16, critic_steps=3, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim, self.critic_steps = latent_dim, critic_steps
        generator = [Dense(128, "relu"), Dense(28 * 28, "tanh"), Reshape((28, 28, 1))]
        self.generator = keras.Sequential([keras.Input((latent_dim,)), *generator])
        critic = [Flatten(), Dense(128, "leaky_relu"), Dense(1)]
        self.critic = keras.Sequential([keras.Input((28, 28, 1)), *critic])
        self.seeds = km.random.SeedGenerator(1)
        self.distance = keras.metrics.Mean("distance")
        self.built = True

    def compile(self, g_optimizer, critic_optimizer, **kwargs):
        super().compile(optimizer=None, **kwargs)
        with self.distribute_strategy.scope():
            self.g_optimizer = km.build_optimizer(g_optimizer, self.generator)
            self.critic_optimizer = km.build_optimizer(critic_optimizer, self.critic)

    def generate(self, num_images: int) -> tf.Tensor:
        """Returns images `[num_images, 28, 28, 1]` of new latents."""
        return self.generator(km.random.normal((num_images, self.latent_dim), seed=self.seeds))

    def train_step(self, real):
        for _ in range(self.critic_steps):
            self._train_critic(real)
        with tf.GradientTape() as tape:
            loss = -km.average_loss(self.critic(self.generate(tf.shape(real)[0]), training=True))
        weights = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(loss, weights), weights)
        return {"distance": self.distance.result()}

    def _train_critic(self, real):
        fake = self.generate(tf.shape(real)[0])
        with tf.GradientTape() as tape:
            distances = self.critic(real, training=True) - self.critic(fake, training=True)
            penalties = self._compute_penalties(real, fake)
            loss = km.average_loss(10.0 * penalties - distances[:, 0])
        weights = self.critic.trainable_variables
        self.critic_optimizer.apply(tape.gradient(loss, weights), weights)
        self.distance.update_state(distances)

    def _compute_penalties(self, real, fake):
        share = km.random.uniform((tf.shape(real)[0], 1, 1, 1), seed=self.seeds)
        between = real + share * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.critic(between, training=True)
        return tf.square(tf.norm(tape.gradient(scores, between), axis=(1, 2))[:, 0] - 1.0)


def main(mode: str = "fused", epochs: int = 60, path: str = "wgan_gp.png") -> tuple[dict, WGANGP]:
    """Trains on the images and draws a picture; returns the history and the model."""
    keras.utils.set_random_seed(0)
    images = next(iter(km.data.images(batch_size=1_024, seed=0)))
    gan = WGANGP()
    gan.compile(*(keras.optimizers.Adam(5e-4, beta_1=0.5) for _ in range(2)), mode=mode)
    history = gan.fit(images, batch_size=32, epochs=epochs, verbose=2).history
    km.data.plot_batch([images[:8], gan.generate(8)], path=path)
    return history, gan


if __name__ == "__main__":
    main(*sys.argv[1:2])
