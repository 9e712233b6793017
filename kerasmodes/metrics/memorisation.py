"""Whether generated examples are nearer to the training set than new real ones would be: copies.

Neighbours are found in `nearest_neighbours.py`; what makes features of images is not here.
"""

import numpy as np

from kerasmodes.metrics import nearest_neighbours


def distance_ratio(generated, training, test):
    """Returns how near generated examples are to the training set, relative to real test examples.

    The median distance from a generated example to its nearest training example, divided by that
    from a test example. Near 1 they are as new as test examples are; far below 1 many are copies.
    Samples that look unlike real ones are far from everything, so above 1. The comparison with
    distances of test examples is that of Meehan, Chaudhuri and Dasgupta 2020 (arXiv 2004.05675),
    who make a rank test of it; the ratio of medians is a plain summary without a threshold.

    Args:
        generated: Array of features `[n, width]`.
        training: The same of the training examples.
        test: The same of real examples that were not trained on.

    Raises:
        ValueError: If at least half of the test examples are training examples.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(3, 500, 8))
    distance_ratio(*features)  # near 1
    distance_ratio(features[1] + 0.01, features[1], features[2])  # near 0
    ```
    """
    of_generated, of_test = (
        np.median(nearest_neighbours.nearest(rows, training, k=1)[1]) for rows in (generated, test)
    )
    if not of_test > 0:
        raise ValueError("`test` must hold other examples than `training`. Received: the same ones")
    return float(of_generated / of_test)
