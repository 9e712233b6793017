"""Tests of the balls: against all distances one by one, ties, and blocks."""

import numpy as np
import pytest

from kerasmodes.metrics import nearest_neighbours


def draw(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype("float32")


def find_in_balls(centres, points, k):
    return np.concatenate(list(nearest_neighbours.find_points_in_balls(centres, points, k)))


def by_loops(centres, points, k):
    """Rows of bools, from each difference by itself."""
    rows = []
    for number, centre in enumerate(centres.astype("float64")):
        others = np.delete(centres, number, axis=0)
        radius = sorted(np.linalg.norm(other - centre) for other in others)[k - 1]
        rows.append([np.linalg.norm(point - centre) <= radius for point in points])
    return np.array(rows)


@pytest.mark.parametrize("k", [1, 3, 19])
def test_it_is_every_distance_one_by_one(k):
    centres, points = draw(20, 5), draw(30, 5, seed=1)
    inside = find_in_balls(centres, points, k)
    assert inside.shape == (20, 30) and 0 < inside.mean() <= 1
    np.testing.assert_array_equal(inside, by_loops(centres, points, k))


def test_many_centres_have_the_right_radii():
    centres, points = draw(1_500, 2), draw(10, 2, seed=1)
    among, to_points = (
        np.linalg.norm(centres[:, np.newaxis] - others, axis=2) for others in (centres, points)
    )
    expected = to_points <= np.sort(among)[:, 20:21]  # the nearest of all is the centre itself
    np.testing.assert_array_equal(find_in_balls(centres, points, 20), expected)


def test_blocks_change_nothing(monkeypatch):
    centres, points = draw(20, 5), draw(30, 5, seed=1)
    whole = find_in_balls(centres, points, 3)
    monkeypatch.setattr(nearest_neighbours, "BLOCK_SIZE", 3 * 30)
    blocks = list(nearest_neighbours.find_points_in_balls(centres, points, 3))
    assert [len(block) for block in blocks] == [3] * 6 + [2]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_a_far_away_cloud_keeps_its_neighbours():
    centres, points = np.round(draw(20, 5), 2) + 4096, np.round(draw(30, 5, seed=1), 2) + 4096
    np.testing.assert_array_equal(find_in_balls(centres, points, 3), by_loops(centres, points, 3))


@pytest.mark.parametrize("width", [1, 7, 64])
def test_balls_are_closed(width):
    # Each point is a centre: its own ball and those of which it is the k-th neighbour hold it.
    centres = draw(50, width)
    inside = find_in_balls(centres, centres, 4)
    assert np.all(inside.sum(axis=1) == 1 + 4)
    assert np.all(np.diag(inside))


def test_points_one_by_one_lie_in_the_same_balls():
    # A product with one row is summed in another order: other last digits.
    centres = draw(50, 64)
    together = find_in_balls(centres, centres, 4)
    alone = [find_in_balls(centres, centres[n : n + 1], 4) for n in range(50)]
    np.testing.assert_array_equal(np.concatenate(alone, axis=1), together)


def test_equal_centres_have_balls_of_no_radius():
    centres = np.repeat(draw(2, 9), 5, axis=0)
    points = np.concatenate([centres[:1], centres[:1] + 1e-3])
    inside = find_in_balls(centres, points, 4)
    np.testing.assert_array_equal(inside, [[True, False]] * 5 + [[False, False]] * 5)
