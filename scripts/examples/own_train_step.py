"""A classifier that writes out its own training step: forward, loss, gradients, update, logs.

Mode: one of those below; "fused" by default. Data: 1,024 images of Fashion-MNIST, in the package.
Run: python scripts/examples/own_train_step.py [eager|graph|xla|fused]
Prints: a line an epoch, then the share of 256 unseen images that the saved and loaded model names.
"""

import sys
import tempfile

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="examples")
class Classifier(km.Model):
    """A dense network that takes images `[batch, height, width, channels]` and returns logits."""

    def __init__(self, units=64, num_classes=10, **kwargs):
        super().__init__(**kwargs)
        self.units, self.num_classes = units, num_classes
        self.flatten = keras.layers.Flatten()
        self.hidden = keras.layers.Dense(units, "relu")
        self.dropout = km.random.Dropout(0.2, seed=1)  # the same masks in every mode
        self.logits = keras.layers.Dense(num_classes)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")

    def build(self, input_shape):
        self.call(keras.Input(input_shape[1:]))  # so that a file restores the optimizer's state
        self.built = True

    def call(self, images, training=False):
        features = self.hidden(self.flatten(images))
        return self.logits(self.dropout(features, training=training))

    def train_step(self, data):
        images, labels = data
        with tf.GradientTape() as tape:
            logits = self(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = km.average_loss(losses)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_logs(losses, labels, logits)

    def test_step(self, data):
        images, labels = data
        logits = self(images, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return self._update_logs(losses, labels, logits)

    def _update_logs(self, losses, labels, logits):
        self.loss_tracker.update_state(losses)
        self.accuracy.update_state(labels, logits)
        return {"loss": self.loss_tracker.result(), "accuracy": self.accuracy.result()}

    def get_config(self):
        return {**super().get_config(), "units": self.units, "num_classes": self.num_classes}


def main(mode: str = "fused", epochs: int = 10) -> tuple[dict[str, list[float]], float]:
    """Trains, saves, loads and evaluates; returns the history and the loaded model's accuracy."""
    keras.utils.set_random_seed(0)
    images, labels = next(iter(km.data.images(batch_size=1_024, with_labels=True, seed=0)))
    test = next(iter(km.data.images(split="test", batch_size=256, with_labels=True)))
    model = Classifier()
    model.compile("adam", mode=mode)
    history = model.fit(images, labels, 32, epochs, validation_data=test, verbose=2).history
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/classifier.keras")
        loaded = keras.models.load_model(f"{folder}/classifier.keras")
    accuracy = loaded.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
    print(f"{loaded.mode}: {accuracy:.1%} of the test images are named correctly")
    return history, accuracy


if __name__ == "__main__":
    main(*sys.argv[1:2])
