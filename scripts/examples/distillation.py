"""A small student learns from 200 images, helped by a frozen teacher that has seen 1,024.

Mode: one of those below; "fused" by default. Data: 1,024 images of Fashion-MNIST, in the package.
Run: python scripts/examples/distillation.py [eager|graph|xla|fused]
Prints: a line an epoch of the student, then the share of 256 unseen images that teacher, student
and a student without a teacher name correctly.
"""

import sys

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import tensorflow as tf


def make_classifier(units: int) -> keras.Model:
    """Returns a dense network of images `[batch, 28, 28, 1]` that has modes, not compiled yet."""
    images = keras.Input((28, 28, 1))
    features = keras.layers.Dense(units, "relu")(keras.layers.Flatten()(images))
    return km.Model(images, keras.layers.Dense(10)(features))


class Distiller(km.Model):
    """Trains a student, to be saved itself, with a teacher's logits (Hinton et al. 2015, 2)."""

    def __init__(self, student, teacher, **kwargs):
        super().__init__(**kwargs)
        teacher.trainable = False
        self.student, self.teacher = student, teacher
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.built = True

    def compile(self, optimizer, alpha=0.1, temperature=2.0, **kwargs):
        """As Keras's `compile`; `alpha` in [0, 1] is the weight of the labels."""
        super().compile(optimizer, **kwargs)
        self.alpha, self.temperature = alpha, temperature

    def train_step(self, data):
        images, labels = data
        targets = tf.nn.softmax(self.teacher(images, training=False) / self.temperature)
        with tf.GradientTape() as tape:
            logits = self.student(images, training=True)
            hard = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            softened = logits / self.temperature
            soft = keras.losses.categorical_crossentropy(targets, softened, from_logits=True)
            losses = self.alpha * hard + (1 - self.alpha) * self.temperature**2 * soft
            loss = km.average_loss(losses)
        gradients = tape.gradient(loss, self.student.trainable_variables)
        self.optimizer.apply(gradients, self.student.trainable_variables)
        self.loss_tracker.update_state(losses)
        self.accuracy.update_state(labels, logits)
        return {"loss": self.loss_tracker.result(), "accuracy": self.accuracy.result()}


def main(mode: str = "fused", epochs: int = 60) -> dict[str, float]:
    """Trains a teacher, then both students; returns their accuracies on the test images."""
    keras.utils.set_random_seed(0)
    train = next(iter(km.data.images(batch_size=1_024, with_labels=True, seed=0)))
    test = next(iter(km.data.images(split="test", batch_size=256, with_labels=True)))
    few = [part[:200] for part in train]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher, student, alone = (make_classifier(units) for units in (256, 32, 32))
    alone.set_weights(student.get_weights())
    for model in (teacher, student, alone):
        model.compile("adam", loss, metrics=["accuracy"], mode=mode)
    teacher.fit(*train, batch_size=32, epochs=epochs // 3, verbose=0)
    alone.fit(*few, batch_size=25, epochs=epochs, verbose=0)
    distiller = Distiller(student, teacher)
    distiller.compile("adam", mode=mode)
    distiller.fit(*few, batch_size=25, epochs=epochs, verbose=2)
    models = {"teacher": teacher, "student": student, "student without a teacher": alone}
    accuracies = {name: model.evaluate(*test, verbose=0)[1] for name, model in models.items()}
    print(", ".join(f"{name}: {accuracy:.1%}" for name, accuracy in accuracies.items()))
    return accuracies


if __name__ == "__main__":
    main(*sys.argv[1:2])
