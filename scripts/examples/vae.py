"""A variational autoencoder of images, with random numbers that are the same in every mode.

Mode: one of those below; "fused" by default. Data: 1,024 images of Fashion-MNIST, in the package.
Run: python scripts/examples/vae.py [eager|graph|xla|fused]
Prints: a line an epoch with the two parts of the loss and their sum, in nats an image.
Writes: vae.png, with test images above, what the model makes of them, and images of pure noise.
"""

import sys

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import tensorflow as tf
from keras.layers import Dense, Flatten, Reshape


@keras.saving.register_keras_serializable(package="examples")
class VAE(km.Model):
    """Autoencoder of images in [0, 1] with normal latents (Kingma and Welling 2013, appendix B)."""

    def __init__(self, latent_dim=8, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim, shape = latent_dim, (28, 28, 1)
        encoder = [Flatten(), Dense(256, "relu"), Dense(2 * latent_dim)]
        decoder = [Dense(256, "relu"), Dense(28 * 28), Reshape(shape)]
        self.encoder = keras.Sequential([keras.Input(shape), *encoder])
        self.decoder = keras.Sequential([keras.Input((latent_dim,)), *decoder])
        self.seeds = km.random.SeedGenerator(1)  # its state is saved with the model
        names = ("loss", "reconstruction", "divergence")
        self.trackers = [keras.metrics.Mean(name=name) for name in names]
        self.built = True

    def call(self, images):
        return tf.sigmoid(self.decoder(tf.split(self.encoder(images), 2, axis=1)[0]))

    def train_step(self, images):
        with tf.GradientTape() as tape:
            reconstruction, divergence = self._compute_losses(images, training=True)
            loss = km.average_loss(reconstruction + divergence)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_logs(reconstruction, divergence)

    def test_step(self, images):
        return self._update_logs(*self._compute_losses(images, training=False))

    def _compute_losses(self, images, training):
        """Returns both losses, one value an image."""
        mean, log_variance = tf.split(self.encoder(images, training=training), 2, axis=1)
        noise = km.random.normal(tf.shape(mean), seed=self.seeds)
        logits = self.decoder(mean + tf.exp(0.5 * log_variance) * noise, training=training)
        errors = tf.nn.sigmoid_cross_entropy_with_logits(images, logits)
        divergences = 0.5 * (tf.square(mean) + tf.exp(log_variance) - log_variance - 1.0)
        return tf.reduce_sum(errors, axis=(1, 2, 3)), tf.reduce_sum(divergences, axis=1)

    def _update_logs(self, reconstruction, divergence):
        self.trackers[0].update_state(reconstruction + divergence)
        self.trackers[1].update_state(reconstruction)
        self.trackers[2].update_state(divergence)
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


def main(mode: str = "fused", epochs: int = 30, path: str = "vae.png") -> dict[str, list[float]]:
    """Trains on the images and draws a picture; returns the history of the training."""
    keras.utils.set_random_seed(0)
    train = 0.5 + 0.5 * next(iter(km.data.images(batch_size=1_024, seed=0)))
    test = 0.5 + 0.5 * next(iter(km.data.images(split="test", batch_size=256)))
    vae = VAE()
    vae.compile("adam", mode=mode)
    history = vae.fit(train, None, 32, epochs, 2, validation_data=(test,)).history
    drawn = tf.sigmoid(vae.decoder(km.random.normal((8, vae.latent_dim), seed=2)))
    km.data.plot_batch([2.0 * row - 1.0 for row in (test[:8], vae(test[:8]), drawn)], path=path)
    return history


if __name__ == "__main__":
    main(*sys.argv[1:2])
