"""A GAN of points with two optimizers, saved and loaded with the state of both.

Its loss compares each point with the mean of the others over the global batch (`km.global_mean`).
Mode: one of those below; "fused" by default. Data: points around a circle, made on the spot.
Run: python scripts/examples/two_optimizers.py [eager|graph|xla|fused]
Prints: a line an epoch, then one more epoch of the model and of its loaded copy.
"""

import sys
import tempfile

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import numpy as np
import tensorflow as tf
from keras.layers import Dense


@keras.saving.register_keras_serializable(package="examples")
class PointGAN(km.Model):
    """A relativistic average GAN of points `[batch, 2]` (Jolicoeur-Martineau 2018, section 4.2)."""

    def __init__(self, latent_dim=4, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.generator = keras.Sequential([keras.Input((latent_dim,)), Dense(64, "relu"), Dense(2)])
        self.discriminator = keras.Sequential([keras.Input((2,)), Dense(64, "relu"), Dense(1)])
        self.seeds = km.random.SeedGenerator(1)  # its state is saved, too
        self.g_loss, self.d_loss = keras.metrics.Mean("g_loss"), keras.metrics.Mean("d_loss")
        self.built = True

    def compile(self, g_optimizer, d_optimizer, **kwargs):
        super().compile(optimizer=None, **kwargs)  # these two are saved without a line of yours
        with self.distribute_strategy.scope():
            self.g_optimizer = km.build_optimizer(g_optimizer, self.generator)
            self.d_optimizer = km.build_optimizer(d_optimizer, self.discriminator)

    def train_step(self, real):
        latents = km.random.normal((tf.shape(real)[0], self.latent_dim), seed=self.seeds)
        with tf.GradientTape(persistent=True) as tape:
            real_logits = self.discriminator(real, training=True)
            fake_logits = self.discriminator(self.generator(latents, training=True), training=True)
            real_lead = real_logits - km.global_mean(fake_logits)
            fake_lead = fake_logits - km.global_mean(real_logits)
            d_losses = tf.nn.softplus(-real_lead) + tf.nn.softplus(fake_lead)
            g_losses = tf.nn.softplus(real_lead) + tf.nn.softplus(-fake_lead)
            d_loss, g_loss = km.average_loss(d_losses), km.average_loss(g_losses)
        d_weights = self.discriminator.trainable_variables
        g_weights = self.generator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, d_weights), d_weights)
        self.g_optimizer.apply(tape.gradient(g_loss, g_weights), g_weights)
        self.d_loss.update_state(d_losses)
        self.g_loss.update_state(g_losses)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


def main(mode: str = "fused", epochs: int = 30) -> tuple[dict, dict[str, np.ndarray]]:
    """Returns the history, and points of the model and of its copy after one more epoch."""
    keras.utils.set_random_seed(0)
    angles = np.random.uniform(0, 2 * np.pi, (3_200, 1)).astype("float32")
    real = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    gan, points = PointGAN(), {}
    gan.compile(*(keras.optimizers.Adam(rate, beta_1=0.0) for rate in (5e-4, 1e-3)), mode=mode)
    history = gan.fit(real, batch_size=32, epochs=epochs, verbose=2, shuffle=False).history
    with tempfile.TemporaryDirectory() as folder:
        gan.save(f"{folder}/gan.keras")
        loaded = keras.models.load_model(f"{folder}/gan.keras")
    for name, model in {"kept": gan, "loaded": loaded}.items():
        model.fit(real, batch_size=32, verbose=2, shuffle=False)
        points[name] = model.generator(km.random.normal((500, 4), seed=2)).numpy()
        radii = np.linalg.norm(points[name], axis=1)
        print(f"{name}: points at {radii.mean():.2f} ± {radii.std():.2f} from the centre")
    return history, points


if __name__ == "__main__":
    main(*sys.argv[1:2])
