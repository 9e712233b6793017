"""A short form of the study of killed fits: `scripts/studies/study_kills.py`."""

import random
import signal

import pytest
import study_kills

CASE = ("sum", "fused", "arrays", 1)


# Each is a process that imports TensorFlow; `SIGTERM` in one process is in `test_resume.py`.
@pytest.mark.slow
@pytest.mark.workers
@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGKILL],
        pytest.param([signal.SIGKILL, signal.SIGTERM], marks=pytest.mark.sweep),
    ],
    ids=["killed", "killed and terminated"],
)
def test_a_fit_that_was_stopped_ends_as_one_that_never_was(signals, tmp_path):
    study_kills.fit(*CASE, tmp_path, has_checkpoints=False)
    # In the middle of an epoch, which has 12 executions, or at its end.
    places = [random.randrange(1, 20) for _ in signals]
    ends = [
        study_kills.interrupt(CASE, tmp_path, number, hold_at=place)
        for number, place in zip(signals, places, strict=True)
    ]
    assert ends == [-number for number in signals], places
    study_kills.fit(*CASE, tmp_path, has_checkpoints=True)
    assert study_kills.compare(tmp_path) == [], places
