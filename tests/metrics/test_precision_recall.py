"""Tests of precision and recall: by hand, by loops, and what each of them is blind to."""

import numpy as np
import pytest

from kerasmodes import metrics


def draw(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype("float32")


def result(real, generated, **arguments):
    metric = metrics.PrecisionRecall(num_features=real.shape[1], **arguments)
    metric.update_state(real, generated)
    return metric.result()


def by_loops(real, generated, k):
    def is_in(point, centres):
        for number, centre in enumerate(centres):
            distances = np.linalg.norm(np.delete(centres, number, axis=0) - centre, axis=1)
            if np.linalg.norm(point - centre) <= np.sort(distances)[k - 1]:
                return True
        return False

    return {
        "precision": np.mean([is_in(point, real) for point in generated]),
        "recall": np.mean([is_in(point, generated) for point in real]),
    }


def test_numbers_by_hand():
    # Balls: [-1, 1], [0, 2], [1, 5] about the real ones, [3, 5], [4, 6], [5, 15] about the others.
    real, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[4.0], [5.0], [10.0]])
    assert result(real, generated, k=1) == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_definition(k):
    real, generated = draw(30, 3), draw(25, 3, seed=1) + 1.5
    expected = by_loops(real, generated, k)
    assert 0 < expected["precision"] < 1
    assert 0 < expected["recall"] < 1
    assert result(real, generated, k=k) == pytest.approx(expected)


def test_the_default_is_the_third_neighbour():
    real, generated = draw(30, 3), draw(25, 3, seed=1)
    assert result(real, generated) == result(real, generated, k=3)


def test_equal_sets_are_perfect():
    assert result(draw(40, 8), draw(40, 8)) == {"precision": 1, "recall": 1}


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    real = draw(100, 4)
    generated = real[:1] + 1e-3 * draw(100, 4, seed=1)
    assert result(real, generated) == {"precision": 1, "recall": pytest.approx(0, abs=0.02)}


def test_a_generator_of_everything_recalls_all_and_is_imprecise():
    real = np.concatenate([draw(100, 4), draw(100, 4, seed=1) + 30])
    values = result(real[:100], real)
    assert values["recall"] == 1
    assert values["precision"] == pytest.approx(0.5)


def test_sides_change_places():
    real, generated = draw(30, 3), draw(25, 3, seed=1) + 0.5
    one, other = result(real, generated), result(generated, real)
    assert (one["precision"], one["recall"]) == (other["recall"], other["precision"])


def test_the_baseline_of_one_distribution_is_below_one():
    metric = metrics.PrecisionRecall(num_features=16)
    metric.update_state(real=draw(400, 16))
    assert all(0.3 < value < 1 for value in metric.baseline().values())
