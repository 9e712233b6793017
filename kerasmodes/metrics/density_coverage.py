"""`DensityCoverage`: a steadier relative of precision and recall, from balls of real examples.

`nearest_neighbours.py` computes distances; `feature_metric.py` takes examples in.
"""

import keras

from kerasmodes.metrics import feature_metric, nearest_neighbours


@keras.saving.register_keras_serializable(package="kerasmodes")
class DensityCoverage(feature_metric.NeighbourMetric):
    """Density and coverage of generated features, from nearest neighbours.

    Each real example is the centre of a ball that reaches its k-th nearest real neighbour. The
    density is the mean number of balls that hold a generated example, divided by k; it can exceed
    1. The coverage is the share of the balls that hold at least one generated example. Source:
    Naeem et al. 2020 (arXiv 2002.09797), section 3. If n real and m generated examples have one
    distribution, the density is 1 on average and the coverage is
    `1 - (n - 1) ... (n - k) / ((m + n - 1) ... (m + n - k))`, near `1 - 2^-k` for m = n.

    The result is a dict of floats, `{"density": ..., "coverage": ...}`.

    Args:
        num_features: Width of the features that `update_state` takes, a positive int; `None` with
            a network. Defaults to `None`.
        network: Keras model, images to features `[batch, width]`, if `update_state` takes images;
            see `FrechetDistance` on its weights. Defaults to `None`.
        k: Which neighbour a ball reaches, a positive int; each side needs more than k examples.
            Defaults to `5`.
        max_samples: The most examples a side, a positive int: one more is an error. Memory for all
            is taken at once. Defaults to `10_000`.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.DensityCoverage(num_features=8)
    metric.update_state(real=features[:1_000], generated=features[1_000:] / 2)
    metric.result()  # a density above 1, a low coverage
    metric.baseline()  # both near 1
    ```
    """

    result_names = ("density", "coverage")

    def __init__(
        self,
        num_features: int | None = None,
        network: keras.Model | None = None,
        k: int = 5,
        max_samples: int = 10_000,
        name: str = "density_coverage",
    ):
        super().__init__(num_features, network, k, max_samples, name)

    def _compare(self, real: dict, generated: dict) -> list[float]:
        real, generated = real["examples"], generated["examples"]
        in_balls = covered = 0
        for block in nearest_neighbours.find_points_in_balls(real, generated, self.k):
            in_balls += block.sum()
            covered += block.any(axis=1).sum()
        return [in_balls / (self.k * len(generated)), covered / len(real)]
