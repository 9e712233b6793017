"""Copies: are generated examples nearer to the training set than new real examples are?

`nearest_neighbours.py` finds neighbours; making features from images is not here.
"""

import numpy as np
import numpy.typing as npt

from kerasmodes.metrics import nearest_neighbours


def distance_ratio(generated: npt.ArrayLike, training: npt.ArrayLike, test: npt.ArrayLike) -> float:
    """Returns how near generated examples are to the training set, relative to real test examples.

    It is the median distance from a generated example to its nearest training example, divided by
    the same median of the test examples. Near 1, generated examples are as new as test examples.
    Far below 1, many are copies. Above 1, samples look unlike real ones and are far from all of
    them. Source of the comparison with test examples: Meehan, Chaudhuri and Dasgupta 2020 (arXiv
    2004.05675), who use a rank test; the ratio of medians is a summary without a threshold.

    Args:
        generated: Features of the generated examples, array `[n, width]`.
        training: Features of the training examples, array `[m, width]`.
        test: Features of real examples that were not trained on, array `[l, width]`.

    Returns:
        A float, at least 0.

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
        np.median(nearest_neighbours.find_nearest(rows, training, k=1)[1])
        for rows in (generated, test)
    )
    if not of_test > 0:
        raise ValueError("`test` must hold other examples than `training`. Received: the same ones")
    return float(of_generated / of_test)
