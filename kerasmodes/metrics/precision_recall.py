"""`PrecisionRecall`: how much of what is generated looks real, and how much of the real it covers.

Distances are in `nearest_neighbours.py`; how examples come in is in `feature_metric.py`.
"""

import keras
import numpy as np

from kerasmodes.metrics import feature_metric, nearest_neighbours


@keras.saving.register_keras_serializable(package="kerasmodes")
class PrecisionRecall(feature_metric.NeighbourMetric):
    """Precision and recall of generated features, from nearest neighbours.

    About each example of a side lies a ball that reaches its k-th nearest neighbour on that side.
    The precision is the share of the generated examples in a ball of the real ones; the recall the
    share of the real examples in a ball of the generated ones. Source: Kynkäänniemi et al. 2019
    (arXiv 1904.06991), equations 1 and 2. Both depend on the number of examples, which should be
    equal on both sides, and on k: a perfect generator does not reach 1, but about what `floor()`
    returns at half the examples.

    Args:
        num_features: Width of the features that `update_state` is given, a positive int; or `None`
            if there is a network.
        network: Keras model, images to features `[batch, width]`, if `update_state` is given
            images; see `FrechetDistance` on its weights.
        k: Which neighbour a ball reaches to, a positive int; each side needs more examples.
        max_samples: The most examples of a side, kept in memory: another is an error.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.PrecisionRecall(num_features=8)
    metric.update_state(real=features[:1_000], generated=features[1_000:] / 2)
    metric.result(), metric.floor()  # {"precision": ..., "recall": ...}: high and low; both alike
    ```
    """

    result_names = ("precision", "recall")

    def __init__(
        self,
        num_features=None,
        network=None,
        k=3,
        max_samples=10_000,
        name="precision_recall",
    ):
        super().__init__(num_features, network, k, max_samples, name)

    def _compare(self, real, generated):
        real, generated = real["examples"], generated["examples"]
        return [self._share_in_balls(generated, real), self._share_in_balls(real, generated)]

    def _share_in_balls(self, points, centres):
        blocks = nearest_neighbours.in_balls(centres, points, self.k)
        return np.mean(np.any([block.any(axis=0) for block in blocks], axis=0))
