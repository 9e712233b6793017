"""Two processes that train one model together, with the numbers of a single process.

Mode: "graph"; also "xla" or "eager". Data: made on the spot, by each process.
Run: python scripts/examples/two_workers.py
Prints: the lines of both workers, then the losses of their model and of one process's alone.
"""

import os
import sys
import tempfile

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="examples")
class Regressor(km.Model):
    """Dense layers whose step knows nothing of workers."""

    def __init__(self, units=16, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden, self.linear = keras.layers.Dense(units, "relu"), keras.layers.Dense(1)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def build(self, input_shape):
        self.hidden.build(input_shape)
        self.linear.build((None, self.units))
        self.built = True

    def call(self, x):
        return self.linear(self.hidden(x))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            losses = keras.losses.mean_squared_error(y, self(x, training=True))
            loss = km.average_loss(losses)  # this worker's share: gradients are added up
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.loss_tracker.update_state(losses)  # not the share: the metric sees all workers
        return {"loss": self.loss_tracker.result()}

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def train(path: str, epochs: int) -> None:
    """Trains with all workers that `TF_CONFIG` names, or alone, and saves the model."""
    strategy = km.get_strategy("auto")  # before TensorFlow runs anything
    keras.utils.set_random_seed(0)
    x, y = km.data.sums(num_samples=1_000, seed=0)  # the same on each worker
    with strategy.scope():
        model = Regressor()
        model.build(x.shape)
        model.compile(km.build_optimizer(keras.optimizers.Adam(1e-2), model), mode="graph")
    model.fit(x, y, batch_size=50, epochs=epochs, verbose=2)  # of two workers, each takes 25
    model.save(path)  # the chief's


def main(epochs: int = 5) -> dict[str, float]:
    """Trains with two workers, then alone; returns both models' losses on new examples."""
    (x, y), losses = km.data.sums(num_samples=500, seed=1), {}
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"{folder}/two workers.keras", str(epochs)]
        km.launching.launch([sys.executable, __file__, *arguments], num_workers=2)
        train(f"{folder}/one process.keras", epochs)
        for name in ("two workers", "one process"):
            predicted = keras.models.load_model(f"{folder}/{name}.keras").predict(x, verbose=0)
            losses[name] = float(((predicted - y) ** 2).mean())
            print(f"{name}: {losses[name]:.6f}")
    return losses


if __name__ == "__main__":
    if "TF_CONFIG" in os.environ:
        train(sys.argv[1], int(sys.argv[2]))
    else:
        main()
