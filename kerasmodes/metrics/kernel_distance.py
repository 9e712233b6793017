"""`KernelDistance`: the squared maximum mean discrepancy of features under a cubic kernel.

What makes features of images, and how examples come in, is not here: see `feature_metric.py`.
"""

import functools

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.metrics import examples, feature_metric


@keras.saving.register_keras_serializable(package="kerasmodes")
class KernelDistance(feature_metric.FeatureMetric):
    """Unbiased estimate of how far apart real and generated features are, by a cubic kernel.

    The squared maximum mean discrepancy with the kernel `(x.y / d + 1)^3` of d features, averaged
    over subsets of equal size drawn without replacement from each side: Bińkowski et al. 2018
    (arXiv 1801.01401), section 4, and Gretton et al. 2012, equation 3. Equal distributions give 0
    on average at any number of examples (so also numbers below 0); more examples lessen only the
    scatter. In the features of Inception it is the KID.

    Args:
        num_features: Width of the features that `update_state` is given, a positive int; or `None`
            if there is a network.
        network: Keras model, images to features `[batch, width]`, if `update_state` is given
            images; see `FrechetDistance` on its weights.
        num_subsets: Number of subsets; if they would all hold every example, one is enough.
        subset_size: Examples of each side in a subset; fewer if a side has fewer in all.
        max_samples: The most examples of a side, kept in memory: another is an error.
        seed: Int, at least 0, that fixes the subsets.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.KernelDistance(num_features=8, num_subsets=10)
    metric.update_state(real=features[:1_000], generated=features[1_000:] + 0.5)
    metric.result(), metric.floor()  # about 1.1, and 0
    ```
    """

    def __init__(
        self,
        num_features=None,
        network=None,
        num_subsets=100,
        subset_size=1_000,
        max_samples=10_000,
        seed=0,
        name="kernel",
    ):
        arguments.check_positive_integers(num_subsets=num_subsets, max_samples=max_samples)
        if isinstance(subset_size, bool) or not isinstance(subset_size, int) or subset_size < 2:
            raise ValueError(
                "`subset_size` must be an integer, at least 2. "
                f"Received: subset_size={subset_size!r}"
            )
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

    def _compare(self, real, generated):
        sides = [kept["examples"].astype("float64") for kept in (real, generated)]
        size = min(self.subset_size, *map(len, sides))
        num_subsets = 1 if size == max(map(len, sides)) else self.num_subsets
        generator = np.random.default_rng(self.seed)
        discrepancies = [
            squared_discrepancy(
                *(rows[generator.choice(len(rows), size, replace=False)] for rows in sides)
            )
            for _ in range(num_subsets)
        ]
        return [np.mean(discrepancies)]


def squared_discrepancy(x, y):
    """Returns the unbiased estimate of the squared maximum mean discrepancy, a float.

    The kernel's mean within x and within y, each over all pairs of different rows, less twice its
    mean between them.

    Args:
        x: Float64 array `[n, width]`, n at least 2.
        y: Float64 array `[m, width]`, m at least 2.

    Example:

    ```python
    squared_discrepancy(np.zeros((2, 3)), np.ones((2, 3)))  # 1 + 8 - 2
    ```
    """
    return _mean_within(x) + _mean_within(y) - 2 * _kernel_sum(x @ y.T, x) / (len(x) * len(y))


def _mean_within(x):
    equal = _kernel_sum(np.einsum("nd,nd->n", x, x), x)
    return (_kernel_sum(x @ x.T, x) - equal) / (len(x) * (len(x) - 1))


def _kernel_sum(products, x):
    """Returns the sum of the kernel of pairs of rows, whose scalar products are overwritten."""
    products /= x.shape[1]
    products += 1
    return np.vdot(products * products, products)
