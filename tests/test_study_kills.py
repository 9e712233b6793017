"""A short form of the study of killed fits: `scripts/studies/study_kills.py`."""

import random
import signal

import pytest
import study_kills

CASE = ("sum", "fused", "arrays", 1)


@pytest.mark.slow
@pytest.mark.workers
def test_a_fit_that_was_killed_and_terminated_ends_as_one_that_was_never_stopped(tmp_path):
    study_kills.fit(*CASE, tmp_path, has_checkpoints=False)
    moments = [random.uniform(0, 0.5) for _ in range(2)]
    pairs = zip((signal.SIGKILL, signal.SIGTERM), moments, strict=True)
    ends = [study_kills.interrupt(CASE, tmp_path, *one) for one in pairs]
    study_kills.fit(*CASE, tmp_path, has_checkpoints=True)
    assert study_kills.compare(tmp_path) == [], (ends, moments)
