"""Tests of the coverage of factors: counts of planted generators that miss what is known."""

import numpy as np
import pytest

import kerasmodes as km
from kerasmodes.metrics import factor_coverage
from kerasmodes.metrics.factor_coverage import count_combinations

SIZES = {"shape": 2, "hue": 3}
ALL = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


def test_a_perfect_generator_is_covered_and_even():
    assert factor_coverage(ALL * 5, SIZES) == pytest.approx(
        {"valid": 1, "covered": 1, "unevenness": 0, "unevenness_shape": 0, "unevenness_hue": 0}
    )


def test_each_number_of_a_small_example():
    found = factor_coverage([[0, 0], [0, 0], [1, 0], [0, 1], [-1, -1]], SIZES)
    assert found == pytest.approx(
        {
            "valid": 4 / 5,
            "covered": 3 / 6,
            # Shares 1/2, 1/4, 1/4 and three times 0, where 1/6 each would be even.
            "unevenness": 1 / 2,
            "unevenness_shape": 1 / 4,  # 3/4 and 1/4
            "unevenness_hue": 3 / 4 - 1 / 3,  # 3/4, 1/4 and 0
        }
    )


def test_factors_can_be_even_where_combinations_are_not():
    found = factor_coverage([[0, 0], [1, 1]] * 3, {"shape": 2, "hue": 2})
    assert (found["unevenness_shape"], found["unevenness_hue"]) == (0, 0)
    assert (found["covered"], found["unevenness"]) == (0.5, 0.5)


def test_counts_have_an_axis_for_each_factor():
    counts = count_combinations([[1, 2], [1, 2], [-1, -1], [0, 1]], SIZES)
    assert counts.tolist() == [[0, 1, 0], [0, 0, 2]]


def test_no_valid_example_covers_nothing():
    found = factor_coverage([[-1, -1]] * 3, SIZES)
    assert (found["valid"], found["covered"], found["unevenness"]) == (0, 0, 1)


def test_real_examples_cover_as_many_as_chance_says():
    factors = km.data.shapes.combine(np.random.default_rng(0).integers(864, size=2_000))
    found = factor_coverage(factors, km.data.shapes.NUM_VALUES)
    # Of 864 combinations 85 are missed on average, give or take 8.
    assert found["covered"] == pytest.approx(1 - (1 - 1 / 864) ** 2_000, abs=0.03)


@pytest.mark.slow
def test_a_generator_of_pictures_that_misses_known_combinations_is_found_out():
    factors = km.data.shapes.combine(np.arange(864))
    shape, hue, size, position, _ = factors.T
    missed = (shape == 3) | ((hue == 4) & (size == 0)) | ((position == 8) & (shape == 0))
    images = km.data.shapes.render(factors[~missed], seed=7) / 127.5 - 1
    broken = images[:50, :, ::-1] / 2 + images[-50:] / 2
    read = km.data.read_colour_shapes(np.concatenate([images, broken]))
    assert (read[-50:] == -1).all()
    counts = count_combinations(read, km.data.shapes.NUM_VALUES)
    np.testing.assert_array_equal(counts.reshape(-1), (~missed).astype(int))
    found = factor_coverage(read, km.data.shapes.NUM_VALUES)
    assert found["covered"] == np.mean(~missed)
    assert found["valid"] == len(images) / (len(images) + 50)
    assert found["unevenness_shape"] == pytest.approx(1 / 4)
    assert found["unevenness"] == pytest.approx(np.mean(missed))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([[0, 3]], r"below \(2, 3\), or all -1 in a row. Received: a row \[0, 3\]"),
        ([[0, -1]], r"Received: a row \[0, -1\]"),
        ([[0, 0, 0]], r"integers of shape \[n, 2\].*Received: factors with shape=\(1, 3\)"),
        ([[0.0, 1.0]], "dtype='float64'"),
        (np.empty((0, 2), int), r"one row or more.*shape=\(0, 2\)"),
    ],
    ids=["too large", "half invalid", "columns", "floats", "empty"],
)
def test_bad_factors_are_named(factors, message):
    with pytest.raises(ValueError, match=f"`factors` must be .*{message}"):
        factor_coverage(factors, SIZES)


def test_a_factor_without_values_is_named():
    with pytest.raises(ValueError, match="`hue` must be a positive integer. Received: hue=0"):
        factor_coverage([[0, 0]], {"shape": 2, "hue": 0})
