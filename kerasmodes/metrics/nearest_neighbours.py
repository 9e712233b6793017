"""Which points lie in balls about others, and which are nearest: without all distances in memory.

What is counted in them is in `precision_recall.py`, `density_coverage.py` and `memorisation.py`.
"""

import numpy as np

BLOCK_SIZE = 2**20  # distances at a time, 8 MB of float64
ROUNDING = 1e-12  # of squared norms: far above float64's in sums of thousands, far below float32's


def in_balls(centres, points, k):
    """Yields, for one block of centres after another, which points lie in their balls.

    A ball's radius is the Euclidean distance to the k-th nearest of the other centres. Balls are
    closed: a point as far away as that is in, whatever the rounding of the last digits.

    Args:
        centres: Array `[n, width]`; n is above k.
        points: Array `[m, width]`.
        k: Positive int.

    Yields:
        Bool arrays `[block, m]`, the blocks in the order of the centres.

    Example:

    ```python
    line = np.array([[0.0], [1.0], [3.0]])
    next(in_balls(line, np.array([[2.0]]), k=1))  # [[False], [True], [True]]
    ```
    """
    middle = centres.mean(axis=0, dtype="float64")  # Less is lost in differences about it.
    centres, points = centres - middle, points - middle
    norms, point_norms = (np.einsum("nd,nd->n", rows, rows) for rows in (centres, points))
    keep = 1 - ROUNDING
    step = max(1, BLOCK_SIZE // max(len(centres), len(points)))
    for start in range(0, len(centres), step):
        block = slice(start, start + step)
        among = _squared_distances(centres[block], centres, norms[block], norms)
        np.fill_diagonal(among[:, start:], np.inf)
        among.partition(k - 1, axis=1)
        radii = among[:, k - 1 : k]
        scaled = keep * norms[block], keep * point_norms
        yield _squared_distances(centres[block], points, *scaled) <= radii


def nearest(points, others, k):
    """Returns which others are nearest to each point, the nearest first, and how far they are.

    Args:
        points: Array `[n, width]`.
        others: Array `[m, width]`.
        k: Positive int, at most m.

    Returns:
        A pair of arrays `[n, k]`: indices of `others`, and Euclidean distances in float64.

    Example:

    ```python
    nearest(np.array([[2.0]]), np.array([[0.0], [1.5], [3.0]]), k=2)  # [[1, 2]], [[0.5, 1.0]]
    ```
    """
    points, others = (np.asarray(rows, "float64") for rows in (points, others))
    norms, other_norms = (np.einsum("nd,nd->n", rows, rows) for rows in (points, others))
    step = max(1, BLOCK_SIZE // len(others))
    found = []
    for start in range(0, len(points), step):
        block = slice(start, start + step)
        squares = _squared_distances(points[block], others, norms[block], other_norms)
        found.append(np.argpartition(squares, k - 1, axis=1)[:, :k])
    indices = np.concatenate(found)
    # Anew as differences: in those of squares, small distances would be lost to rounding.
    distances = np.linalg.norm(points[:, np.newaxis] - others[indices], axis=2)
    order = np.argsort(distances, axis=1)
    return tuple(np.take_along_axis(array, order, axis=1) for array in (indices, distances))


def _squared_distances(x, y, x_norms, y_norms):
    products = x @ y.T
    products *= -2
    products += x_norms[:, np.newaxis]
    products += y_norms
    return products
