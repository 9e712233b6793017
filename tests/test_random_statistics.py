"""Statistics of `kerasmodes.random`: the right distributions, and independence.

Every seed is fixed, so a test that passes once passes always.
"""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km

DRAWS = {"uniform": km.random.uniform, "normal": km.random.normal}


def normal_cdf(numbers):
    return 0.5 * (1 + np.vectorize(math.erf)(numbers / math.sqrt(2)))


CDFS = {"uniform": lambda numbers: numbers, "normal": normal_cdf}
MOMENTS = {"uniform": (1 / 2, 1 / 3, 1 / 4, 1 / 5), "normal": (0, 1, 0, 3)}
# Standard deviations of the mean of x, x**2, x**3 and x**4 times the root of their number.
SPREADS = {"uniform": (0.289, 0.298, 0.283, 0.267), "normal": (1, 1.414, 3.873, 9.798)}


def distance(numbers, cdf):
    """Returns Kolmogorov and Smirnov's statistic: under 1.95 in 999 of 1,000 right samples."""
    expected, steps = cdf(np.sort(numbers)), np.arange(len(numbers) + 1) / len(numbers)
    furthest = max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))
    return furthest * math.sqrt(len(numbers))


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(
    "source", ["one call", pytest.param("calls", marks=pytest.mark.sweep), "seeds"]
)
def test_numbers_follow_their_distribution(name, source):
    generator, draw = km.random.SeedGenerator(3), DRAWS[name]
    if source == "one call":
        numbers = draw((200_000,), seed=generator).numpy()
    elif source == "calls":
        many = tf.function(lambda: tf.stack([draw((200,), seed=generator) for _ in range(50)]))
        numbers = many().numpy().ravel()
    else:
        numbers = np.concatenate([draw((50,), seed=seed) for seed in range(200)])
    numbers = numbers.astype("float64")
    assert distance(numbers, CDFS[name]) < 1.95
    for power, expected, spread in zip((1, 2, 3, 4), MOMENTS[name], SPREADS[name], strict=True):
        error = 4 * spread / math.sqrt(len(numbers))
        assert np.mean(numbers**power) == pytest.approx(expected, abs=error), power


def test_the_distance_sees_a_wrong_distribution():
    numbers = km.random.normal((20_000,), stddev=1.1, seed=0).numpy()
    assert distance(numbers, normal_cdf) > 1.95


def test_uniform_numbers_stay_in_their_interval():
    numbers = km.random.uniform((100_000,), -1.0, 3.0, seed=0).numpy()
    assert numbers.dtype == np.float32
    assert -1 <= numbers.min() < -0.99
    assert 2.99 < numbers.max() < 3


def test_normal_numbers_reach_far_but_not_beyond_their_bits():
    numbers = km.random.normal((1_000_000,), seed=0).numpy()
    assert 4.5 < np.abs(numbers).max() < 5.8


def streams(two_replicas, draw, size=20_000):
    """Returns numbers by where they come from: two steps of two calls on two replicas."""
    with two_replicas.scope():
        generator = km.random.SeedGenerator(5)
    step = tf.function(
        lambda: two_replicas.run(lambda: [draw((size,), seed=generator) for _ in range(2)])
    )
    return [numbers.numpy() for _ in range(2) for per_call in step() for numbers in per_call.values]


@pytest.mark.parametrize("name", DRAWS)
def test_steps_calls_and_replicas_are_independent(two_replicas, name):
    ranks = [CDFS[name](numbers) for numbers in streams(two_replicas, DRAWS[name])]
    assert len(ranks) == 8
    for one, other in itertools.combinations(ranks, 2):
        assert abs(np.corrcoef(one, other)[0, 1]) * math.sqrt(len(one)) < 4
        counts, _, _ = np.histogram2d(one, other, bins=8, range=[[0, 1]] * 2)
        expected = len(one) / counts.size
        # Chi squared with 63 degrees of freedom: over 120 once in 50,000 pairs.
        assert np.sum((counts - expected) ** 2 / expected) < 120


@pytest.mark.parametrize("name", DRAWS)
def test_neighbours_are_independent(name):
    ranks = CDFS[name](DRAWS[name]((100_000,), seed=11).numpy())
    for lag in (1, 2, 3, 4, 8):
        correlation = np.corrcoef(ranks[:-lag], ranks[lag:])[0, 1]
        assert abs(correlation) * math.sqrt(len(ranks)) < 4, lag


EVEN, ODD = (200_000,), (333, 7, 13, 11)


@pytest.mark.parametrize(
    ("rate", "shape"), [(0.001, EVEN), (0.1, ODD), (0.3, EVEN), (0.5, ODD), (0.9, ODD)]
)
def test_dropout_drops_its_rate_and_scales_the_others(rate, shape):
    x = np.linspace(1, 2, math.prod(shape), dtype="float32").reshape(shape)
    layer = km.random.Dropout(rate, seed=0)
    for _ in range(3):
        y = layer(x, training=True).numpy()
        error = 4 * math.sqrt(rate * (1 - rate) / x.size)
        assert np.mean(y == 0) == pytest.approx(rate, abs=error)
        # The rate is one of 65,536: so is the scale.
        np.testing.assert_allclose(y[y != 0], x[y != 0] / (1 - rate), rtol=1e-5 / (1 - rate))
        assert np.mean(y) == pytest.approx(np.mean(x), abs=1.5 * error / (1 - rate))


def test_dropout_masks_are_independent_of_place_step_and_layer():
    layers = [km.random.Dropout(0.3, seed=seed) for seed in (0, 1)]
    ones = tf.ones((40_000,))
    masks = [layer(ones, training=True).numpy() > 0 for layer in layers for _ in range(3)]
    pairs = list(itertools.combinations(masks, 2))
    pairs += [(masks[0][lag:], masks[0][:-lag]) for lag in (1, 2, 3, 4)]
    for one, other in pairs:
        assert abs(np.corrcoef(one, other)[0, 1]) * math.sqrt(len(one)) < 4


def test_dropout_passes_the_gradients_of_what_it_kept():
    x, layer = tf.ones((1001,)), km.random.Dropout(0.3, seed=0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


@pytest.mark.parametrize(("rate", "most"), [(1e-9, 0), (1 - 1e-9, 4)])
def test_dropout_at_its_ends(rate, most):
    y = km.random.Dropout(rate, seed=0)(tf.ones((65_536,)), training=True).numpy()
    assert np.all(np.isfinite(y))
    assert np.sum(y == 0 if rate < 0.5 else y > 0) <= most
