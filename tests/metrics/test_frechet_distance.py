"""Tests of the Fréchet distance: closed forms, a matrix square root, bias and streams."""

import numpy as np
import pytest

from kerasmodes import metrics
from kerasmodes.metrics.frechet_distance import frechet_distance


def draw(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width))


def with_moments(mean, covariance, count, seed=0):
    """Returns features that have exactly this mean and unbiased covariance."""
    x = draw(count, len(mean), seed)
    x -= x.mean(axis=0)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(x.T)))
    return x @ whitening.T @ np.linalg.cholesky(covariance).T + mean


def random_covariance(width, seed):
    factor = draw(2 * width, width, seed)
    return factor.T @ factor / width


def result(real, generated):
    metric = metrics.FrechetDistance(num_features=real.shape[1])
    metric.update_state(real, generated)
    return metric.result()


def by_square_root(real, generated):
    """The formula as it is written, with SciPy's square root of a matrix."""
    linalg = pytest.importorskip("scipy.linalg")
    means = real.mean(axis=0), generated.mean(axis=0)
    first, second = np.cov(real.T), np.cov(generated.T)
    root = linalg.sqrtm(first @ second).real
    return np.sum((means[0] - means[1]) ** 2) + np.trace(first + second - 2 * root)


def test_axis_parallel_gaussians():
    # |m1 - m2|^2 + sum (s1 - s2)^2
    mean, deviations = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 0.5])
    other_mean, other_deviations = np.array([1.0, 0.0, 3.5]), np.array([3.0, 1.0, 0.5])
    real = with_moments(mean, np.diag(deviations**2), 40)
    generated = with_moments(other_mean, np.diag(other_deviations**2), 25, seed=1)
    assert result(real, generated) == pytest.approx(4 + 0.25 + 4 + 1, rel=1e-9)


def test_equal_shapes_of_another_size():
    # S2 = c^2 S1: tr S1 (1 - c)^2, whatever the axes
    covariance = random_covariance(5, seed=3)
    real = with_moments(np.zeros(5), covariance, 30)
    generated = with_moments(np.zeros(5), 9 * covariance, 30, seed=1)
    assert result(real, generated) == pytest.approx(4 * np.trace(covariance), rel=1e-9)


def test_two_dimensions_that_do_not_commute():
    # tr (S1 S2)^(1/2) of 2x2 matrices is sqrt(tr S1 S2 + 2 sqrt(det S1 S2)).
    first, second = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.0], [-1.0, 1.0]])
    overlap = np.sqrt(np.trace(first @ second) + 2 * np.sqrt(np.linalg.det(first @ second)))
    expected = 2 + np.trace(first + second) - 2 * overlap
    actual = frechet_distance(np.zeros(2), first, np.ones(2), second)
    assert actual == pytest.approx(expected, rel=1e-12)


def test_it_is_the_formula_with_a_matrix_square_root():
    real = draw(50, 6) @ draw(6, 6, seed=2)
    generated = draw(40, 6, seed=1) @ draw(6, 6, seed=3) + 1
    assert result(real, generated) == pytest.approx(by_square_root(real, generated), rel=1e-9)


def test_it_is_symmetric():
    real, generated = draw(30, 4), 2 * draw(20, 4, seed=1) + 1
    assert result(real, generated) == pytest.approx(result(generated, real), rel=1e-12)


@pytest.mark.parametrize("count", [5, 200], ids=["of low rank", "of full rank"])
def test_a_set_is_at_no_distance_from_itself(count):
    features = draw(count, 64) * np.geomspace(1e-3, 10, 64)
    assert abs(result(features, features)) < 1e-10 * np.trace(np.cov(features.T))


def test_constant_features_are_as_far_apart_as_their_means():
    assert result(np.zeros((4, 3)), np.full((5, 3), 2.0)) == pytest.approx(12, abs=1e-12)


def test_covariances_of_low_rank_have_their_distance():
    # Lines along different axes: nothing in common, so tr S1 + tr S2.
    real, generated = np.zeros((10, 3)), np.zeros((12, 3))
    real[:, 0], generated[:, 1] = draw(10, 1)[:, 0], draw(12, 1, seed=1)[:, 0]
    real -= real.mean(axis=0)
    generated -= generated.mean(axis=0)
    expected = real[:, 0].var(ddof=1) + generated[:, 1].var(ddof=1)
    assert result(real, generated) == pytest.approx(expected, rel=1e-9)


def test_large_means_cost_no_digits():
    real, generated = draw(300, 4), 2 * draw(200, 4, seed=1)
    far = 2.0**30  # in float64 the features keep 22 bits behind the point
    real, generated = np.round(real, 3), np.round(generated, 3)
    metric = metrics.FrechetDistance(num_features=4)
    for start in range(0, 300, 50):
        metric.update_state((real + far)[start : start + 50], (generated + far)[start : start + 50])
    assert metric.result() == pytest.approx(result(real, generated), rel=1e-5)


def test_float64_features_keep_their_digits():
    real, generated = 1 + 1e-9 * draw(50, 2), 1 + 2e-9 * draw(50, 2, seed=1)
    expected = 1e-18 * result((real - 1) * 1e9, (generated - 1) * 1e9)
    assert result(real, generated) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_its_bias_is_the_documented_one():
    count, width = 1_000, 10
    biases = [
        result(draw(count, width, seed=2 * seed), draw(count, width, seed=2 * seed + 1))
        for seed in range(20)
    ]
    expected = 2 * width / count + width * (width + 1) / (2 * count)
    assert np.mean(biases) == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_the_baseline_has_twice_the_bias():
    count, width = 1_000, 10
    baselines = []
    for seed in range(20):
        metric = metrics.FrechetDistance(num_features=width)
        metric.update_state(real=draw(count, width, seed=seed))
        baselines.append(metric.baseline())
    expected = 2 * (2 * width / count + width * (width + 1) / (2 * count))
    assert np.mean(baselines) == pytest.approx(expected, rel=0.1)


def test_the_state_does_not_grow():
    metric = metrics.FrechetDistance(num_features=3)
    metric.update_state(real=draw(9, 3))
    sizes = {key: values.shape for key, values in metric.real_state().items()}
    metric.update_state(real=draw(500, 3))
    assert sizes == {key: values.shape for key, values in metric.real_state().items()}
    assert sizes == {"count": (2,), "mean": (2, 3), "scatter": (2, 3, 3)}
