"""Tests of the kernel distance: a double loop, closed forms, and how subsets are drawn."""

import numpy as np
import pytest

from kerasmodes import metrics
from kerasmodes.metrics.kernel_distance import estimate_discrepancy


def draw(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width))


def by_loops(x, y):
    def kernel(one, other):
        return (np.dot(one, other) / len(one) + 1) ** 3

    def mean_within(rows):
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return np.mean([kernel(rows[i], rows[j]) for i, j in pairs])

    between = np.mean([kernel(one, other) for one in x for other in y])
    return mean_within(x) + mean_within(y) - 2 * between


def moments_apart(first, second, width):
    """The population's discrepancy, from the first three moments (as full tensors) of each."""
    weights = (3 / width, 3 / width**2, 1 / width**3)
    return sum(
        weight * np.sum((one - other) ** 2)
        for weight, one, other in zip(weights, first, second, strict=True)
    )


def normal_moments(mean, scale):
    """Moments of independent normals of this mean and deviation."""
    eye = np.eye(len(mean)) * scale**2
    third = np.einsum("i,j,k->ijk", mean, mean, mean)
    for places in ("i,jk->ijk", "j,ik->ijk", "k,ij->ijk"):
        third += np.einsum(places, mean, eye)
    return mean, np.outer(mean, mean) + eye, third


def test_it_is_the_mean_over_all_pairs():
    x, y = draw(9, 4), 2 * draw(7, 4, seed=1) + 1
    assert estimate_discrepancy(x, y) == pytest.approx(by_loops(x, y), rel=1e-10)


def test_numbers_by_hand():
    # Within zeros 1, within ones (1 + 1)^3 = 8, between 1.
    metric = metrics.KernelDistance(num_features=3)
    metric.update_state(np.zeros((2, 3)), np.ones((2, 3)))
    assert metric.result() == pytest.approx(1 + 8 - 2)


def test_equal_distributions_give_zero_on_average():
    values = [
        estimate_discrepancy(draw(30, 5, seed=2 * seed), draw(20, 5, seed=2 * seed + 1))
        for seed in range(400)
    ]
    error = np.std(values) / np.sqrt(len(values))
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * error
    assert error < 0.02


def test_different_distributions_give_the_closed_form_on_average():
    width, mean, scale = 4, np.full(4, 0.5), 1.5
    values = [
        estimate_discrepancy(
            draw(60, width, seed=2 * seed), mean + scale * draw(60, width, seed=2 * seed + 1)
        )
        for seed in range(400)
    ]
    expected = moments_apart(
        normal_moments(np.zeros(width), 1.0), normal_moments(mean, scale), width
    )
    assert np.mean(values) == pytest.approx(expected, abs=3 * np.std(values) / 20)
    assert np.std(values) / 20 < 0.1 * expected


def test_one_subset_of_all_is_the_estimate_from_all():
    x, y = draw(30, 4), draw(30, 4, seed=1) + 1
    metric = metrics.KernelDistance(num_features=4)
    metric.update_state(x, y)
    x, y = (rows.astype("float32").astype("float64") for rows in (x, y))
    assert metric.result() == pytest.approx(estimate_discrepancy(x, y), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("swap", [False, True])
def test_the_smaller_side_bounds_the_subsets(swap):
    x, y = draw(6, 4), draw(40, 4, seed=1) + 1
    sides = (y, x) if swap else (x, y)
    metric = metrics.KernelDistance(num_features=4, num_subsets=4_000, subset_size=20)
    metric.update_state(*sides)
    # The mean over all subsets is the estimate from all: it is a U-statistic.
    assert metric.result() == pytest.approx(estimate_discrepancy(x, y), rel=0.02)


def test_subsets_are_of_the_size():
    def result(**arguments):
        metric = metrics.KernelDistance(num_features=4, num_subsets=1, **arguments)
        metric.update_state(draw(50, 4), draw(50, 4, seed=1) + 1)
        return metric.result()

    assert result(subset_size=10) != result(subset_size=50) == result()


def test_subsets_are_without_replacement():
    # Different rows of these have the kernel 1; one drawn twice would have (1 / 8 + 1)^3.
    metric = metrics.KernelDistance(num_features=8, num_subsets=50, subset_size=5)
    metric.update_state(np.eye(8), np.zeros((7, 8)))
    assert metric.result() == pytest.approx(0, abs=1e-12)


def test_the_seed_fixes_the_subsets():
    def result(seed):
        metric = metrics.KernelDistance(num_features=4, num_subsets=3, subset_size=10, seed=seed)
        metric.update_state(draw(50, 4), draw(50, 4, seed=1) + 1)
        return metric.result(), metric.result()

    assert result(1) == result(1)
    assert result(1)[0] == result(1)[1] != result(2)[0]
