"""`PrecisionRecall`: the share of the generated that looks real, and of the real that it covers.

`nearest_neighbours.py` computes distances; `feature_metric.py` takes examples in.
"""

import keras
import numpy as np

from kerasmodes.metrics import feature_metric, nearest_neighbours


@keras.saving.register_keras_serializable(package="kerasmodes")
class PrecisionRecall(feature_metric.NeighbourMetric):
    """Precision and recall of generated features, from nearest neighbours.

    Each example is the centre of a ball that reaches its k-th nearest neighbour on its own side.
    The precision is the share of the generated examples in a ball of a real one. The recall is the
    share of the real examples in a ball of a generated one. Source: Kynkäänniemi et al. 2019
    (arXiv 1904.06991), equations 1 and 2. Both depend on k and on the number of examples, which
    should be equal on both sides. A perfect generator does not reach 1: with half the examples it
    reaches about what `baseline()` returns.

    The result is a dict of floats in [0, 1], `{"precision": ..., "recall": ...}`.

    Args:
        num_features: Width of the features that `update_state` takes, a positive int; `None` with
            a network. Defaults to `None`.
        network: Keras model, images to features `[batch, width]`, if `update_state` takes images;
            see `FrechetDistance` on its weights. Defaults to `None`.
        k: Which neighbour a ball reaches, a positive int; each side needs more than k examples.
            Defaults to `3`.
        max_samples: The most examples a side, a positive int: one more is an error. Memory for all
            is taken at once. Defaults to `10_000`.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.PrecisionRecall(num_features=8)
    metric.update_state(real=features[:1_000], generated=features[1_000:] / 2)
    metric.result()  # a high precision, a low recall
    metric.baseline()  # both about equal
    ```
    """

    result_names = ("precision", "recall")

    def __init__(
        self,
        num_features: int | None = None,
        network: keras.Model | None = None,
        k: int = 3,
        max_samples: int = 10_000,
        name: str = "precision_recall",
    ):
        super().__init__(num_features, network, k, max_samples, name)

    def _compare(self, real: dict, generated: dict) -> list[float]:
        real, generated = real["examples"], generated["examples"]
        return [self._compute_share(generated, real), self._compute_share(real, generated)]

    def _compute_share(self, points, centres):
        blocks = nearest_neighbours.find_points_in_balls(centres, points, self.k)
        return np.mean(np.any([block.any(axis=0) for block in blocks], axis=0))
