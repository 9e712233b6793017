"""Tests of `kerasmodes.data.sums`."""

import numpy as np
import pytest

from kerasmodes.data import sums


def test_default_shapes_and_dtypes():
    x, y = sums()
    assert (x.shape, y.shape) == ((10_000, 20), (10_000, 1))
    assert (x.dtype, y.dtype) == (np.float32, np.float32)


def test_target_is_the_sum_of_the_row():
    x, y = sums(50, 7, seed=1)
    np.testing.assert_allclose(y[:, 0], x.astype("float64").sum(axis=1), atol=1e-5)


def test_inputs_are_standard_normal():
    x, _ = sums(seed=0)
    # 200,000 draws: the standard error of the mean is 0.0022, of the deviation 0.0016.
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01


def test_same_seed_gives_the_same_arrays():
    for first, second in zip(sums(10, seed=3), sums(10, seed=3), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", [4, None])
def test_other_seed_gives_other_arrays(seed):
    assert not np.array_equal(sums(10, seed=3)[0], sums(10, seed=seed)[0])


@pytest.mark.parametrize("argument", ["num_samples", "num_features"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "10", None])
def test_bad_size_is_named(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be.*Received: {argument}="):
        sums(**{argument: value})


@pytest.mark.parametrize("seed", [-1, 0.5, "0"])
def test_bad_seed_is_named(seed):
    with pytest.raises(ValueError, match="`seed` must be.*Received: seed="):
        sums(10, seed=seed)
