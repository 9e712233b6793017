"""Tests of paths through the latents."""

import numpy as np
import pytest

from kerasmodes.models.msg_gan import latents


def test_a_path_starts_at_the_stops_and_is_closed():
    stops = np.random.default_rng(0).normal(size=(3, 2, 5)).astype("float32")
    path = latents.spherical_path(stops, num_steps=4)
    assert path.shape == (12, 2, 5)
    assert path.dtype == "float32"
    np.testing.assert_allclose(path[::4], stops, rtol=1e-6)
    jumps = np.linalg.norm(np.roll(path, -1, axis=0) - path, axis=-1)
    assert jumps.max() < np.linalg.norm(stops[0] - stops[1], axis=-1).max()


def test_points_of_a_sphere_are_joined_on_it_at_even_angles():
    path = latents.spherical_path([[2.0, 0.0], [0.0, 2.0]], num_steps=3)
    angles = np.pi / 2 * np.array([0, 1, 2, 3, 2, 1]) / 3
    np.testing.assert_allclose(path, 2 * np.stack([np.cos(angles), np.sin(angles)], 1), atol=1e-6)


@pytest.mark.parametrize("other", [[3.0, 3.0], [1.0, 1.0], [-1.0, -1.0]])
def test_stops_in_one_line_are_joined_by_it(other):
    path = latents.spherical_path([[1.0, 1.0], other], num_steps=2)
    np.testing.assert_allclose(path[1], np.mean([[1.0, 1.0], other], axis=0), atol=1e-6)


@pytest.mark.parametrize(("stops", "steps"), [([1.0, 2.0], 2), (np.zeros((0, 3)), 2), ([[1.0]], 0)])
def test_a_path_needs_stops_and_steps(stops, steps):
    with pytest.raises(ValueError, match="`stops` must have shape"):
        latents.spherical_path(stops, steps)
