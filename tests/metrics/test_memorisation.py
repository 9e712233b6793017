"""Tests of the search for copies: neighbours, and how near they are."""

import numpy as np
import pytest

from kerasmodes.metrics import memorisation, nearest_neighbours

TRAINING, TEST, NEW = np.random.default_rng(0).normal(size=(3, 400, 4))


@pytest.mark.parametrize("block_size", [1, 2**20])
def test_the_nearest_are_found_in_order(monkeypatch, block_size):
    monkeypatch.setattr(nearest_neighbours, "BLOCK_SIZE", block_size)
    indices, distances = nearest_neighbours.find_nearest(NEW[:50], TRAINING, k=3)
    all_distances = np.linalg.norm(NEW[:50, np.newaxis] - TRAINING, axis=2)
    np.testing.assert_array_equal(indices, np.argsort(all_distances, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(all_distances, axis=1)[:, :3])


def test_all_of_the_others_may_be_asked_for():
    indices, distances = nearest_neighbours.find_nearest([[2.0]], [[0.0], [1.5], [3.0]], k=3)
    np.testing.assert_array_equal(indices, [[1, 2, 0]])
    np.testing.assert_array_equal(distances, [[0.5, 1.0, 2.0]])


def test_a_copy_is_at_distance_0_however_large_the_numbers():
    points = 1e6 + TRAINING
    assert np.all(nearest_neighbours.find_nearest(points[:9], points, k=1)[1] == 0)


def test_new_examples_are_as_far_as_test_examples_are():
    assert memorisation.distance_ratio(NEW, TRAINING, TEST) == pytest.approx(1, abs=0.1)


def test_copies_are_nearer_and_strangers_farther():
    assert memorisation.distance_ratio(TRAINING + 0.01, TRAINING, TEST) < 0.1
    assert memorisation.distance_ratio(NEW + 10, TRAINING, TEST) > 5


def test_test_examples_must_be_others():
    with pytest.raises(ValueError, match="`test` must hold other examples than `training`"):
        memorisation.distance_ratio(NEW, TRAINING, TRAINING)
