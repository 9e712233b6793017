"""What the metrics of features share: features from the user, or from a network on images.

`two_samples.py` stores and checks them; each metric compares them.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
import tensorflow as tf

from kerasmodes import arguments
from kerasmodes.metrics import examples, two_samples


class FeatureMetric(two_samples.TwoSampleMetric):
    """A `TwoSampleMetric` of features `[batch, width]`; with a network it takes images.

    Args:
        num_features: Width of the features, a positive int; `None` with a network.
        network: Keras model, images to features `[batch, width]`; `None` with `num_features`.
        name: Name of the metric.
        make_side: Function `(name, shape)` that returns the store of one side's features.

    Example:

    ```python
    class MeanDistance(FeatureMetric):
        def __init__(self, num_features=None, network=None, name="mean_distance"):
            super().__init__(num_features, network, name, functools.partial(Moments, num_parts=2))

        def _compare(self, real, generated):
            return [np.linalg.norm(real["mean"].mean(0) - generated["mean"].mean(0))]
    ```
    """

    def __init__(
        self,
        num_features: int | None,
        network: keras.Model | None,
        name: str,
        make_side: Callable[[str, tuple[int]], keras.metrics.Metric],
    ):
        shape = (feature_width(num_features, network),)
        super().__init__(make_side("real", shape), make_side("generated", shape), name)
        self.num_features = num_features
        self.network = network

    def get_config(self):
        network = self.network and keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "num_features": self.num_features, "network": network}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})

    def _make_examples(self, batch, name):
        if self.network is None:
            return batch
        images = tf.convert_to_tensor(batch)
        if images.dtype.is_floating:  # A ReLU can turn NaN into 0.
            images = examples.check_finite(images, name)
        return self.network(images, training=False)


class NeighbourMetric(FeatureMetric):
    """A `FeatureMetric` of balls that reach from each example to its k-th nearest neighbour.

    Args:
        num_features: As in `FeatureMetric`.
        network: As in `FeatureMetric`.
        k: Which neighbour a ball reaches, a positive int.
        max_samples: The most examples a side, a positive int: one more is an error.
        name: Name of the metric.

    Example:

    ```python
    from kerasmodes.metrics import nearest_neighbours

    class NumReached(NeighbourMetric):
        def __init__(self, num_features):
            super().__init__(num_features, None, k=1, max_samples=100, name="num_reached")

        def _compare(self, real, generated):
            blocks = nearest_neighbours.find_points_in_balls(
                real["examples"], generated["examples"], self.k
            )
            return [sum(block.any(axis=1).sum() for block in blocks)]
    ```
    """

    def __init__(
        self,
        num_features: int | None,
        network: keras.Model | None,
        k: int,
        max_samples: int,
        name: str,
    ):
        arguments.check_positive_integers(k=k, max_samples=max_samples)
        make_side = functools.partial(examples.Examples, max_samples=max_samples)
        super().__init__(num_features, network, name, make_side)
        self.k = k
        self.max_samples = max_samples

    @property
    def min_examples(self) -> int:
        return self.k + 1

    def get_config(self):
        return {**super().get_config(), "k": self.k, "max_samples": self.max_samples}


def feature_width(num_features: int | None, network: keras.Model | None) -> int:
    """Returns the width of the features, which exactly one of the arguments gives.

    Args:
        num_features: The width, a positive int, or `None`.
        network: Keras model, images to features `[batch, width]`, or `None`.

    Raises:
        ValueError: If both or neither are given, or if the width is unknown or no positive integer.
        TypeError: If the network is not a Keras model.
    """
    if (num_features is None) == (network is None):
        raise ValueError(
            "Exactly one of `num_features` and `network` must be given. "
            f"Received: num_features={num_features!r}, network={network!r}"
        )
    if network is None:
        arguments.check_positive_integers(num_features=num_features)
        return num_features
    if not isinstance(network, keras.Model):
        raise TypeError(f"`network` must be a Keras model. Received: network={network!r}")
    shape = _infer_output_shape(network)
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise ValueError(
            "`network` must be built and return one output of shape [batch, width]. "
            f"Received: {network.name!r} with the output shape {shape}. "
            "To build it: keras.Sequential([keras.Input(image_shape), network])."
        )
    return shape[1]


def _infer_output_shape(network):
    shape = getattr(network, "output_shape", None)
    build_config = network.get_build_config() or {}
    if shape is None and "input_shape" in build_config:
        images = keras.KerasTensor(build_config["input_shape"])
        spec = network.compute_output_spec(images)
        shape = keras.tree.map_structure(lambda output: output.shape, spec)
    return shape
