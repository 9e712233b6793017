"""Random data: the sum regression of the first tutorial.

NumPy arrays only. Batches, shuffling and devices are not here: `fit` makes them from arrays.
"""

import numpy as np

from kerasmodes import arguments


def sums(
    num_samples: int = 10_000, num_features: int = 20, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows of standard normals and the sum of each row.

    Args:
        num_samples: Integer, at least 1: the number of rows. Defaults to `10_000`.
        num_features: Integer, at least 1: the number of normals in a row. Defaults to `20`.
        seed: Integer, at least 0, or `None`. The same seed gives the same arrays; `None` draws
            new ones each time. Defaults to `None`.

    Returns:
        A pair `(x, y)` of float32 NumPy arrays: `x` of shape `[num_samples, num_features]`, and
        `y` of shape `[num_samples, 1]`, the sum of each row of `x`.

    Raises:
        ValueError: if a size is not a positive integer, or the seed not a non-negative one.

    Example:
        >>> import kerasmodes as km
        >>> x, y = km.data.sums(100, seed=0)
        >>> x.shape, y.shape
        ((100, 20), (100, 1))
    """
    arguments.check_positive_integers(num_samples=num_samples, num_features=num_features)
    arguments.check_seed(seed, can_be_none=True)
    x = np.random.default_rng(seed).standard_normal((num_samples, num_features), dtype="float32")
    return x, x.sum(axis=1, keepdims=True)
