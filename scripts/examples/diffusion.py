"""Denoising diffusion of points: a network learns to find the noise, and sampling removes it.

Mode: one of those below; "fused" by default. Data: a spiral of points, made on the spot.
Run: python scripts/examples/diffusion.py [eager|graph|xla|fused]
Prints: the loss of each epoch, then how far samples and pure noise lie from the spiral.
"""

import sys

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import numpy as np
import tensorflow as tf
from keras.layers import Dense


class Diffusion(km.Model):
    """A diffusion model of points `[batch, 2]` at T times (Ho et al. 2020, algorithms 1 and 2)."""

    def __init__(self, num_times=50, **kwargs):
        super().__init__(**kwargs)
        self.num_times = num_times
        self.betas = np.linspace(0.001, 0.2, num_times, dtype="float32")
        self.signals = np.cumprod(1.0 - self.betas)  # what is left of the variance of the points
        hidden = [Dense(64, "silu") for _ in range(3)]
        self.network = keras.Sequential([keras.Input((6,)), *hidden, Dense(2)])
        self.seeds = km.random.SeedGenerator(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.built = True

    def call(self, points, times):
        """Returns the noise that the network finds in points at times `[batch]`, from 0 to T-1."""
        angles = tf.cast(times[:, None], tf.float32) * np.pi / self.num_times
        waves = [function(k * angles) for function in (tf.sin, tf.cos) for k in (0.5, 4.0)]
        return self.network(tf.concat([points, *waves], axis=1))

    def train_step(self, points):
        shares = km.random.uniform((tf.shape(points)[0],), seed=self.seeds)
        times = tf.cast(self.num_times * shares, tf.int32)
        noise = km.random.normal(tf.shape(points), seed=self.seeds)
        signal = tf.gather(self.signals, times)[:, None]
        noisy = tf.sqrt(signal) * points + tf.sqrt(1.0 - signal) * noise
        with tf.GradientTape() as tape:
            losses = keras.losses.mean_squared_error(noise, self(noisy, times))
            loss = km.average_loss(losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.loss_tracker.update_state(losses)
        return {"loss": self.loss_tracker.result()}

    def sample(self, num_points: int) -> tf.Tensor:
        """Returns points `[num_points, 2]` made of noise."""
        points = km.random.normal((num_points, 2), seed=self.seeds)
        for time in reversed(range(self.num_times)):
            beta, signal = self.betas[time], self.signals[time]
            noise = self(points, tf.fill([num_points], time))
            points = (points - beta / np.sqrt(1.0 - signal) * noise) / np.sqrt(1.0 - beta)
            if time > 0:
                points += np.sqrt(beta) * km.random.normal((num_points, 2), seed=self.seeds)
        return points


def main(mode: str = "fused", epochs: int = 80) -> tuple[list[float], float, float]:
    """Returns the losses, and mean distances from the spiral: of samples and of pure noise."""
    keras.utils.set_random_seed(0)
    turns = np.sqrt(np.linspace(0.1, 1, 4_096, dtype="float32"))[:, None]
    spiral = 2 * turns * np.concatenate([np.cos(10 * turns), np.sin(10 * turns)], axis=1)
    model = Diffusion()
    model.compile(keras.optimizers.Adam(2e-3), mode=mode)
    losses = model.fit(spiral, batch_size=64, epochs=epochs, verbose=2).history["loss"]
    distances = [
        np.linalg.norm(points[:, None] - spiral[None, ::4], axis=2).min(axis=1).mean()
        for points in (model.sample(512).numpy(), np.random.normal(size=(512, 2)))
    ]
    print(f"from the spiral: samples {distances[0]:.3f}, pure noise {distances[1]:.3f}")
    return losses, *distances


if __name__ == "__main__":
    main(*sys.argv[1:2])
