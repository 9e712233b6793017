"""`KernelDistance`: the squared maximum mean discrepancy of features under a cubic kernel.

`feature_metric.py` makes features from images and takes examples in.
"""

import functools

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.metrics import examples, feature_metric


@keras.saving.register_keras_serializable(package="kerasmodes")
class KernelDistance(feature_metric.FeatureMetric):
    """Unbiased distance between real and generated features, under a cubic kernel.

    It is the squared maximum mean discrepancy with the kernel `(x.y / d + 1)^3` of d features,
    averaged over subsets of equal size that are drawn without replacement from each side. Source:
    Bińkowski et al. 2018 (arXiv 1801.01401), section 4, and Gretton et al. 2012, equation 3. Equal
    distributions give 0 on average for any number of examples, so single results can be below 0;
    more examples reduce only the scatter. With the features of Inception it is the KID.

    The result is a float.

    Args:
        num_features: Width of the features that `update_state` takes, a positive int; `None` with
            a network. Defaults to `None`.
        network: Keras model, images to features `[batch, width]`, if `update_state` takes images;
            see `FrechetDistance` on its weights. Defaults to `None`.
        num_subsets: Number of subsets, a positive int; one is taken if each would hold every
            example. Defaults to `100`.
        subset_size: Examples of each side in a subset, an int, at least 2; fewer if a side has
            fewer in all. Defaults to `1_000`.
        max_samples: The most examples a side, a positive int: one more is an error. Memory for all
            is taken at once. Defaults to `10_000`.
        seed: Int, at least 0, that fixes the subsets. Defaults to `0`.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.KernelDistance(num_features=8, num_subsets=10)
    metric.update_state(real=features[:1_000], generated=features[1_000:] + 0.5)
    metric.result(), metric.baseline()  # about 1.1, and 0
    ```
    """

    def __init__(
        self,
        num_features: int | None = None,
        network: keras.Model | None = None,
        num_subsets: int = 100,
        subset_size: int = 1_000,
        max_samples: int = 10_000,
        seed: int = 0,
        name: str = "kernel",
    ):
        arguments.check_positive_integers(num_subsets=num_subsets, max_samples=max_samples)
        arguments.check_integers(2, subset_size=subset_size)
        arguments.check_seed(seed)
        make_side = functools.partial(examples.Examples, max_samples=max_samples)
        super().__init__(num_features, network, name, make_side)
        self.num_subsets = num_subsets
        self.subset_size = subset_size
        self.max_samples = max_samples
        self.seed = seed

    def get_config(self):
        names = ("num_subsets", "subset_size", "max_samples", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _compare(self, real: dict, generated: dict) -> list[float]:
        sides = [kept["examples"].astype("float64") for kept in (real, generated)]
        size = min(self.subset_size, *map(len, sides))
        num_subsets = 1 if size == max(map(len, sides)) else self.num_subsets
        generator = np.random.default_rng(self.seed)
        discrepancies = [
            estimate_discrepancy(
                *(rows[generator.choice(len(rows), size, replace=False)] for rows in sides)
            )
            for _ in range(num_subsets)
        ]
        return [np.mean(discrepancies)]


def estimate_discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the unbiased estimate of the squared maximum mean discrepancy, a float.

    It is the mean of the kernel within x plus that within y, each over all pairs of different rows,
    minus twice the mean between x and y. Source: Gretton et al. 2012, equation 3.

    Args:
        x: Float64 array `[n, width]`, n at least 2.
        y: Float64 array `[m, width]`, m at least 2.

    Example:

    ```python
    estimate_discrepancy(np.zeros((2, 3)), np.ones((2, 3)))  # 1 + 8 - 2
    ```
    """
    return _average_within(x) + _average_within(y) - 2 * _sum_kernel(x @ y.T, x) / (len(x) * len(y))


def _average_within(x):
    equal = _sum_kernel(np.einsum("nd,nd->n", x, x), x)
    return (_sum_kernel(x @ x.T, x) - equal) / (len(x) * (len(x) - 1))


def _sum_kernel(products, x):
    """Returns the sum of the kernel of pairs of rows, whose scalar products are overwritten."""
    products /= x.shape[1]
    products += 1
    return np.vdot(products * products, products)
