"""Tests of what a run's files say together."""

import pytest

from kerasmodes.reporting import read_run
from kerasmodes.reporting.run import MOST_FRAMES, choose_evenly


def test_samples_are_in_the_order_of_their_epochs(run):
    assert [epoch for epoch, _ in run.samples] == [1, 2, 1000]


@pytest.mark.parametrize("number", [1, 59, 60, 61, 500])
def test_of_many_samples_the_first_the_last_and_some_between_are_taken(number):
    chosen = choose_evenly(list(range(number)))
    assert len(chosen) == len(set(chosen)) == min(number, MOST_FRAMES)
    assert (chosen[0], chosen[-1]) == (0, number - 1)


def test_the_best_and_the_last_value_are_finite(run):
    assert run.last("d_loss") == (2, 1.25)
    assert run.best("val_frechet") == (3, 3.0)
    assert run.best("val_precision", "max") == (2, 0.5)
    assert run.best("other") is None


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be the folder of a run, with settings or a history"):
        read_run(tmp_path, {})
