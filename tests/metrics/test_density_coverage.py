"""Tests of density and coverage: by hand, by loops, and their expectations."""

import math

import numpy as np
import pytest

from kerasmodes import metrics


def draw(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype("float32")


def result(real, generated, **arguments):
    metric = metrics.DensityCoverage(num_features=real.shape[1], **arguments)
    metric.update_state(real, generated)
    return metric.result()


def by_loops(real, generated, k):
    in_balls, covered = 0, 0
    for number, centre in enumerate(real):
        distances = np.linalg.norm(np.delete(real, number, axis=0) - centre, axis=1)
        near = np.linalg.norm(generated - centre, axis=1) <= np.sort(distances)[k - 1]
        in_balls += near.sum()
        covered += near.any()
    return {"density": in_balls / (k * len(generated)), "coverage": covered / len(real)}


def test_numbers_by_hand():
    # Balls of k = 1: [-1, 1], [0, 2], [1, 5]; 0.5 lies in two, 1 in three, 9 in none.
    real, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [1.0], [9.0]])
    assert result(real, generated, k=1) == {"density": pytest.approx(5 / 3), "coverage": 1}
    values = result(real, np.array([[4.5], [9.0]]), k=1)
    assert values == {"density": pytest.approx(1 / 2), "coverage": pytest.approx(1 / 3)}


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_definition(k):
    real, generated = draw(30, 3), draw(25, 3, seed=1) * 1.5 + 0.5
    expected = by_loops(real, generated, k)
    assert 0 < expected["coverage"] < 1
    assert result(real, generated, k=k) == pytest.approx(expected)


def test_the_default_is_the_fifth_neighbour():
    real, generated = draw(30, 3), draw(25, 3, seed=1)
    assert result(real, generated) == result(real, generated, k=5)


@pytest.mark.slow
def test_one_distribution_gives_the_expected_values_on_average():
    num_real, num_generated, k = 60, 40, 3
    values = [
        result(draw(num_real, 6, seed=2 * seed), draw(num_generated, 6, seed=2 * seed + 1), k=k)
        for seed in range(100)
    ]
    missed = math.perm(num_real - 1, k) / math.perm(num_real + num_generated - 1, k)
    assert np.mean([one["density"] for one in values]) == pytest.approx(1, abs=0.06)
    assert np.mean([one["coverage"] for one in values]) == pytest.approx(1 - missed, abs=0.015)


def test_examples_in_the_middle_are_dense_and_cover_little():
    values = result(draw(300, 8), draw(300, 8, seed=1) / 10)
    assert values["density"] > 2
    assert values["coverage"] < 0.5


def test_an_outlier_among_the_real_does_not_vouch_for_all():
    # Its ball holds everything: a precision of 1, but a density of 1 / k.
    real = np.concatenate([draw(50, 2), [[1_000.0, 0.0]]])
    generated = draw(50, 2, seed=1) + [500, 0]
    assert result(real, generated) == {
        "density": pytest.approx(1 / 5),
        "coverage": pytest.approx(1 / 51),
    }
