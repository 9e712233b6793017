"""Tests of the facts: how a run ended, its speed, its results."""

import dataclasses

import pytest

from kerasmodes.reporting import facts, run_files


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        ("finished", "finished", "good"),
        ("running", "running, or killed", "warn"),
        (None, "end not recorded", "warn"),
        ("interrupted", "interrupted", "warn"),
        ("stopped at a number that is not finite", "stopped at a number that is not finite", "bad"),
    ],
)
def test_the_end_of_a_run_in_words(run, status, words, kind):
    record = {} if status is None else {"status": status}
    run = dataclasses.replace(run, record=record, history=run_files.Table([], []))
    assert facts.describe_status(run) == (words, kind)


def test_the_first_epoch_does_not_count_for_the_speed(run):
    speed = facts.measure_speed(run)
    assert speed["microseconds_per_step"] == 2000
    assert speed["seconds_per_epoch"] == 4
    assert (speed["seconds"], speed["has_first"]) == (17, False)


def test_a_single_epoch_counts(run):
    run = dataclasses.replace(run, record={"epochs": run.record["epochs"][:1]})
    speed = facts.measure_speed(run)
    assert (speed["microseconds_per_step"], speed["has_first"]) == (4e6, True)


@pytest.mark.parametrize("epochs", [None, [], "text", [{"epoch": "0"}], [{"epoch": 0}]])
def test_without_times_there_is_no_speed(run, epochs):
    assert facts.measure_speed(dataclasses.replace(run, record={"epochs": epochs})) == {}


def test_results_stand_with_their_baselines(run):
    assert facts.list_results(run)[0] == ("frechet", 3.25, 1.0)
    assert facts.describe_metric("swd_7") == ("Sliced Wasserstein distance, 7 pixels high", "min")
    words = facts.describe_evaluation(run)
    assert "Fréchet distance: 1,000 generated images against 10,000 real" in words
    assert words.endswith("The other metrics: 1,000 against 1,000")


def test_a_run_that_ended_with_nan_is_not_said_to_be_well(run):
    run = dataclasses.replace(run, record={"status": "finished"})
    words = "finished, with d_loss not finite"
    assert facts.describe_status(run) == (words, facts.BAD)


def test_the_headline_is_the_frechet_distance_of_a_gan(run):
    assert facts.find_headline(run) == ("val_frechet", 3, 3.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0123, "0.0123 s"), (90, "90 s"), (150, "2.5 min"), (9000, "2.5 h")]
)
def test_durations_have_the_unit_that_suits_them(seconds, text):
    assert facts.format_seconds(seconds) == text
