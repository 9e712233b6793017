"""`DensityCoverage`: precision and recall's steadier kin, counted in balls about real examples.

Distances are in `nearest_neighbours.py`; how examples come in is in `feature_metric.py`.
"""

import keras

from kerasmodes.metrics import feature_metric, nearest_neighbours


@keras.saving.register_keras_serializable(package="kerasmodes")
class DensityCoverage(feature_metric.NeighbourMetric):
    """Density and coverage of generated features, from nearest neighbours.

    About each real example lies a ball that reaches its k-th nearest real neighbour. The density is
    the number of balls that a generated example lies in, on average, divided by k; it may pass 1.
    The coverage is the share of the balls that have a generated example in them. Source: Naeem et
    al. 2020 (arXiv 2002.09797), section 3. For n real and m generated examples of one
    distribution the density is 1 on average and the coverage
    `1 - (n - 1) ... (n - k) / ((m + n - 1) ... (m + n - k))`, near `1 - 2^-k` for m = n.

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
    metric = km.metrics.DensityCoverage(num_features=8)
    metric.update_state(real=features[:1_000], generated=features[1_000:] / 2)
    metric.result(), metric.floor()  # {"density": ..., "coverage": ...}: above 1 and low; near 1
    ```
    """

    result_names = ("density", "coverage")

    def __init__(
        self,
        num_features=None,
        network=None,
        k=5,
        max_samples=10_000,
        name="density_coverage",
    ):
        super().__init__(num_features, network, k, max_samples, name)

    def _compare(self, real, generated):
        real, generated = real["examples"], generated["examples"]
        in_balls = covered = 0
        for block in nearest_neighbours.in_balls(real, generated, self.k):
            in_balls += block.sum()
            covered += block.any(axis=1).sum()
        return [in_balls / (self.k * len(generated)), covered / len(real)]
