"""Exact recall: which combinations of known factors do generated examples have, and how evenly?

Reading factors from images is not here: the data set does it, such as `data/shape_factors.py`.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kerasmodes import arguments

INVALID = -1


def factor_coverage(factors: npt.ArrayLike, num_values: Mapping[str, int]) -> dict[str, float]:
    """Returns how many examples are valid, and how completely and evenly they cover a data set.

    It is for data in which all combinations of the factors are equally likely. What is perfect
    depends on the number of examples: of K combinations, n real examples cover
    `1 - (1 - 1 / K)^n` on average, and chance makes them uneven, too. So show the same numbers of
    as many real examples beside these.

    Args:
        factors: Ints `[n, num_factors]`, of each example the number of each factor's value, from 0;
            a row of -1 is no valid example.
        num_values: Dictionary from the name of each factor to the number of its values, in the
            order of the columns.

    Returns:
        A dictionary of floats from 0 to 1: `valid`, the share of valid examples; `covered`, the
        share of all combinations that at least one example has; `unevenness`, the total variation
        distance of the valid examples from all combinations equally often; and
        `unevenness_<name>`, the same of the values of one factor. Unevenness is the share of
        examples that would have to be others, and 1 if no example is valid.

    Raises:
        ValueError: if a factor has no value, or the factors are not as above.

    Example:

    ```python
    images, factors = km.data.colour_shapes(1_000, seed=0)
    num_values = km.data.shapes.NUM_VALUES
    factor_coverage(factors, num_values)["covered"]  # 0.68; on average 1 - (863 / 864)**1_000
    generated = images[factors[:, 0] != 3]  # a generator without crosses
    found = factor_coverage(km.data.read_colour_shapes(generated), num_values)
    found["covered"], found["unevenness_shape"]  # at most 0.75, and 0.25
    ```
    """
    counts = count_combinations(factors, num_values)
    total = len(np.asarray(factors))
    results = {
        "valid": float(counts.sum() / total),
        "covered": float(np.mean(counts > 0)),
        "unevenness": _measure_unevenness(counts),
    }
    for axis, name in enumerate(num_values):
        others = tuple(other for other in range(counts.ndim) if other != axis)
        results[f"unevenness_{name}"] = _measure_unevenness(counts.sum(axis=others))
    return results


def count_combinations(factors: npt.ArrayLike, num_values: Mapping[str, int]) -> np.ndarray:
    """Returns how many valid examples have each combination, an int array with an axis a factor.

    Args:
        factors: As in `factor_coverage`.
        num_values: As in `factor_coverage`.

    Raises:
        ValueError: as there.

    Example:

    ```python
    count_combinations([[0, 2], [0, 2], [-1, -1]], {"shape": 2, "hue": 3})  # [[0, 0, 2], [0, 0, 0]]
    ```
    """
    arguments.check_positive_integers(**num_values)
    sizes, factors = tuple(num_values.values()), np.asarray(factors)
    is_table = factors.ndim == 2 and factors.shape[1:] == (len(sizes),) and len(factors) > 0
    if not is_table or factors.dtype.kind not in "iu":
        raise ValueError(
            f"`factors` must be integers of shape [n, {len(sizes)}], one row or more. "
            f"Received: factors with shape={factors.shape}, dtype={str(factors.dtype)!r}"
        )
    valid = (factors != INVALID).any(axis=1)
    rows = factors[valid]
    wrong = ((rows < 0) | (rows >= sizes)).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"`factors` must be at least 0 and below {sizes}, or all -1 in a row. "
            f"Received: a row {rows[wrong][0].tolist()}"
        )
    places = np.ravel_multi_index(tuple(rows.T), sizes)
    return np.bincount(places, minlength=math.prod(sizes)).reshape(sizes)


def _measure_unevenness(counts):
    """Returns the total variation distance of counts from equal ones."""
    if not counts.any():
        return 1.0
    return float(np.abs(counts / counts.sum() - 1 / counts.size).sum() / 2)
