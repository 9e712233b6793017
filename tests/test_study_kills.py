"""A short form of the study of killed fits: `scripts/studies/study_kills.py`."""

import random
import signal

import pytest
import study_kills

CASE = ("sum", "fused", "arrays", 1)


# By default, `test_workers.py` kills a process, and `test_resume.py` terminates a fit.
@pytest.mark.sweep
@pytest.mark.workers
def test_a_fit_that_was_killed_and_terminated_ends_as_one_that_was_never_stopped(tmp_path):
    study_kills.fit(*CASE, tmp_path, has_checkpoints=False)
    # In the middle of an epoch, which has 12 executions, or at its end.
    places = [random.randrange(1, 20) for _ in range(2)]
    signals = (signal.SIGKILL, signal.SIGTERM)
    ends = [
        study_kills.interrupt(CASE, tmp_path, number, hold_at=place)
        for number, place in zip(signals, places, strict=True)
    ]
    assert ends == [-number for number in signals], places
    study_kills.fit(*CASE, tmp_path, has_checkpoints=True)
    assert study_kills.compare(tmp_path) == [], places
