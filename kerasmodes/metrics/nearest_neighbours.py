"""Finds points in balls and nearest points, with only a block of distances in memory at a time.

`precision_recall.py`, `density_coverage.py` and `memorisation.py` count what is found.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

BLOCK_SIZE = 2**20  # distances at a time, 8 MB of float64
ROUNDING = 1e-12  # of squared norms: far above float64's in sums of thousands, far below float32's


def find_points_in_balls(centres: np.ndarray, points: np.ndarray, k: int) -> Iterator[np.ndarray]:
    """Yields which points lie in the balls of the centres, block by block of centres.

    A ball's radius is the Euclidean distance to the k-th nearest of the other centres. A point at
    exactly that distance is in the ball, whatever the rounding of the last digits.

    Args:
        centres: Float array `[n, width]`, n above k.
        points: Float array `[m, width]`.
        k: Positive int.

    Yields:
        Bool arrays `[block, m]`, the blocks in the order of the centres.

    Example:

    ```python
    line = np.array([[0.0], [1.0], [3.0]])
    next(find_points_in_balls(line, np.array([[2.0]]), k=1))  # [[False], [True], [True]]
    ```
    """
    middle = centres.mean(axis=0, dtype="float64")  # Smaller numbers lose fewer digits.
    centres, points = centres - middle, points - middle
    norms, point_norms = (np.einsum("nd,nd->n", rows, rows) for rows in (centres, points))
    keep = 1 - ROUNDING
    step = max(1, BLOCK_SIZE // max(len(centres), len(points)))
    for start in range(0, len(centres), step):
        block = slice(start, start + step)
        among = _compute_squared_distances(centres[block], centres, norms[block], norms)
        np.fill_diagonal(among[:, start:], np.inf)
        among.partition(k - 1, axis=1)
        radii = among[:, k - 1 : k]
        scaled = keep * norms[block], keep * point_norms
        yield _compute_squared_distances(centres[block], points, *scaled) <= radii


def find_nearest(
    points: npt.ArrayLike, others: npt.ArrayLike, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the k nearest others of each point, nearest first, and their distances.

    Args:
        points: Array `[n, width]`.
        others: Array `[m, width]`.
        k: Positive int, at most m.

    Returns:
        A pair of arrays `[n, k]`: int64 indices into `others`, and float64 Euclidean distances.

    Example:

    ```python
    find_nearest(np.array([[2.0]]), np.array([[0.0], [1.5], [3.0]]), k=2)  # [[1, 2]], [[0.5, 1.0]]
    ```
    """
    points, others = (np.asarray(rows, "float64") for rows in (points, others))
    norms, other_norms = (np.einsum("nd,nd->n", rows, rows) for rows in (points, others))
    step = max(1, BLOCK_SIZE // len(others))
    found = []
    for start in range(0, len(points), step):
        block = slice(start, start + step)
        squares = _compute_squared_distances(points[block], others, norms[block], other_norms)
        found.append(np.argpartition(squares, k - 1, axis=1)[:, :k])
    indices = np.concatenate(found)
    # Computed again from differences: rounding would swallow small distances in those of squares.
    distances = np.linalg.norm(points[:, np.newaxis] - others[indices], axis=2)
    order = np.argsort(distances, axis=1)
    return tuple(np.take_along_axis(array, order, axis=1) for array in (indices, distances))


def _compute_squared_distances(x, y, x_norms, y_norms):
    """Returns `|x - y|^2` as `|x|^2 + |y|^2 - 2 x.y`, `[n, m]`; the norms are squared."""
    products = x @ y.T
    products *= -2
    products += x_norms[:, np.newaxis]
    products += y_norms
    return products
