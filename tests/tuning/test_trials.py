"""Tests of what is read from a search's trials: their times, errors and active hyperparameters."""

import os
import shutil

import pytest
from formula_searches import search_formula
from tiny_searches import Formula

import kerasmodes as km
from kerasmodes.tuning import trials

TRACEBACK = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    fit()
{}
"""


def set_end(tuner, trial_id, seconds):
    path = os.path.join(tuner.project_dir, f"trial_{trial_id}", "trial.json")
    end = tuner.oracle._display.trial_start[trial_id].timestamp() + seconds
    os.utime(path, (end, end))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (None, ""),
        ("Oversized model.\nMore.", "Oversized model."),
        (TRACEBACK.format("ValueError: wrong: x\n  more\nlines"), "ValueError: wrong: x"),
        (TRACEBACK.format("a.b.FailedTrialError: see a.b"), "FailedTrialError: see a.b"),
        (
            TRACEBACK.format("KeyError: 1")
            + "\nDuring handling of the above exception, another exception occurred:\n\n"
            + TRACEBACK.format("TypeError: 2"),
            "TypeError: 2",
        ),
    ],
)
def test_the_first_line_of_an_error_is_found(message, error, tmp_path):
    trial = search_formula(tmp_path, max_trials=1).oracle.trials["0"]
    trial.message = message
    assert trials.find_error(trial) == error


@pytest.mark.filterwarnings("ignore:All-NaN axis")
def test_a_score_that_is_no_number_is_an_error(tmp_path):
    tuner = search_formula(tmp_path, lambda hp: float("nan") * hp.Float("x", 0, 1), max_trials=1)
    assert trials.find_error(tuner.oracle.trials["0"]) == "The score is nan."
    assert not trials.is_scored(tuner.oracle.trials["0"])


def test_times_are_seconds_after_the_first_start(tmp_path):
    tuner = search_formula(tmp_path, max_trials=3, fails=(1,), verbose=1)
    begun = [start.timestamp() for start in tuner.oracle._display.trial_start.values()]
    set_end(tuner, "2", seconds=40)
    times = trials.find_times(tuner)
    assert list(times) == ["0", "1", "2"]
    assert [start for start, _ in times.values()] == [start - begun[0] for start in begun]
    assert all(end >= start for start, end in times.values())
    assert times["2"][1] - times["2"][0] == pytest.approx(40)


def test_a_silent_search_by_keras_tuner_has_no_times(tmp_path):
    assert trials.find_times(search_formula(tmp_path, max_trials=2)) == {}


def test_a_search_of_this_package_has_times_also_in_silence(tmp_path):
    arguments = {"max_trials": 2, "epochs": 1, "directory": tmp_path, "verbose": 0}
    assert sorted(trials.find_times(km.tuning.search(Formula(), **arguments))) == ["0", "1"]


def test_a_copied_search_has_no_times(tmp_path):
    tuner = search_formula(tmp_path, max_trials=2, verbose=1)
    set_end(tuner, "0", seconds=3600)
    assert trials.find_times(tuner) == {}


def test_trials_of_several_processes_may_overlap(tmp_path):
    tuner = search_formula(tmp_path, max_trials=2, verbose=1)
    set_end(tuner, "0", seconds=3600)
    folder = tuner.project_dir
    shutil.copy(os.path.join(folder, "tuner0.json"), os.path.join(folder, "tuner1.json"))
    assert trials.find_times(tuner)["0"][1] == pytest.approx(3600)


def test_a_trial_that_runs_has_no_end(tmp_path):
    tuner = search_formula(tmp_path, max_trials=2, verbose=1)
    tuner.oracle.trials["1"].status = "RUNNING"
    assert list(trials.find_times(tuner)) == ["0"]
