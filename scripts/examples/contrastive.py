"""Contrastive learning without labels: two views of an image against all others of the batch.

Mode: one of those below; "fused" by default. Data: 1,024 images of Fashion-MNIST, in the package.
Run: python scripts/examples/contrastive.py [eager|graph|xla|fused]
Prints: a line an epoch, then how often unseen, changed images have the class of the nearest known.
"""

import sys

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import tensorflow as tf
from keras.layers import Dense, Flatten, UnitNormalization


def gather(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns all replicas' rows, and the places of this replica's own among them."""
    replica, places = tf.distribute.get_replica_context(), tf.range(tf.shape(rows)[0])
    if replica is None or replica.num_replicas_in_sync == 1:
        return rows, places
    return replica.all_gather(rows, 0), places + replica.replica_id_in_sync_group * tf.size(places)


class SimCLR(km.Model):
    """Learns features of images in [-1, 1] (Chen et al. 2020, algorithm 1)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        inputs, hidden = keras.Input((28, 28, 1)), (Dense(256, "relu"), Dense(64, "relu"))
        self.encoder = keras.Sequential([inputs, Flatten(), *hidden])
        self.head = keras.Sequential([keras.Input((64,)), Dense(32), UnitNormalization()])
        self.augment = km.augmentation.DiffAugment(("color", "translation"))
        self.seeds = km.random.SeedGenerator(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.built = True

    def make_view(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the images, each recoloured and moved in its own way."""
        shape = (tf.shape(images)[0], self.augment.num_draws)
        return self.augment([images], km.random.uniform(shape, seed=self.seeds))[0]

    def train_step(self, images):
        with tf.GradientTape() as tape:
            views = self.make_view(images), self.make_view(images)  # a draw for each
            first, second = (self.head(self.encoder(view)) for view in views)
            losses = self._compute_losses(first, second) + self._compute_losses(second, first)
            loss = km.average_loss(losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.loss_tracker.update_state(losses)
        return {"loss": self.loss_tracker.result()}

    def _compute_losses(self, queries, keys):
        """Returns how badly each query finds its key in the global batch (equation 1)."""
        (same_view, places), (other_view, _) = gather(queries), gather(keys)
        itself = tf.one_hot(places, tf.shape(same_view)[0], on_value=1e9)
        cosines = [queries @ tf.transpose(other_view), queries @ tf.transpose(same_view) - itself]
        logits = tf.concat(cosines, axis=1) / 0.2  # the temperature
        return keras.losses.sparse_categorical_crossentropy(places, logits, from_logits=True) / 2


def main(mode: str = "fused", epochs: int = 60) -> tuple[list[float], dict[str, float]]:
    """Returns the losses, and the shares of right classes by features and by pixels."""
    keras.utils.set_random_seed(0)
    images, labels = next(iter(km.data.images(batch_size=1_024, with_labels=True, seed=0)))
    tests, test_labels = next(iter(km.data.images(split="test", batch_size=256, with_labels=True)))
    model, shares = SimCLR(), {}
    model.compile("adam", mode=mode)
    losses = model.fit(images, batch_size=128, epochs=epochs, verbose=2).history["loss"]
    tests = model.make_view(tests)
    for name, describe in (("features", model.encoder), ("pixels", Flatten())):
        known, found = (tf.math.l2_normalize(describe(x), axis=1) for x in (images, tests))
        nearest = tf.argmax(found @ tf.transpose(known), axis=1)
        shares[name] = float((tf.gather(labels, nearest) == test_labels).numpy().mean())
        print(f"{name}: {shares[name]:.1%}")
    return losses, shares


if __name__ == "__main__":
    main(*sys.argv[1:2])
