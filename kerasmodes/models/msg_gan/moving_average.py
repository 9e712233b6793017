"""A network whose weights follow another's, averaged over its training.

Which of the two generates is decided in `model.py`.
"""

import keras
import tensorflow as tf

from kerasmodes import replicas

# The average forgets faster at first: its half-life is at most this part of the images seen, as in
# Karras et al. 2020 (arXiv 2006.06676), appendix C.
WARM_UP = 0.05


@keras.saving.register_keras_serializable(package="kerasmodes")
class MovingAverage(keras.layers.Layer):
    """A copy of a network that follows all its weights, statistics of batch norm included.

    Args:
        network: The copy, a model with the layers of the other.
        half_life: Positive number: images after which a weight counts half.

    Example:

    ```python
    average = MovingAverage(keras.models.clone_model(generator), half_life=20_000)
    average.follow(generator, num_images=64)
    ```
    """

    def __init__(self, network, half_life, **kwargs):
        super().__init__(**{**kwargs, "trainable": False})
        self.network = network
        self.network.trainable = False
        self.half_life = half_life
        self.images_seen = self.add_weight(
            shape=(), initializer="zeros", dtype="int64", trainable=False, name="images_seen"
        )
        self.built = True

    def call(self, inputs):
        return self.network(inputs, training=False)

    def follow(self, network: keras.Model, num_images: int):
        """Moves towards a network's weights after a step on so many images of the global batch."""
        seen = self.images_seen + num_images
        half_life = tf.minimum(float(self.half_life), WARM_UP * tf.cast(seen, tf.float32))
        share = 1 - 0.5 ** (tf.cast(num_images, tf.float32) / half_life)
        averages = self.network.weights
        moved = [
            average + tf.cast(share, average.dtype) * (weight - average)
            for average, weight in zip(averages, network.weights, strict=True)
        ]
        replicas.assign([self.images_seen, *averages], [seen, *moved])

    def get_config(self):
        config = {"network": keras.saving.serialize_keras_object(self.network)}
        return {**super().get_config(), **config, "half_life": self.half_life}

    @classmethod
    def from_config(cls, config):
        config["network"] = keras.saving.deserialize_keras_object(config["network"])
        return cls(**config)
