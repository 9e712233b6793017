"""Tests of reports: the table, the file, the error for a test."""

import json

import pytest

from kerasmodes.verifying import Finding, VerificationReport, causes, reports

GOOD = Finding("graph", reports.AGREES, 0.0)
BAD = Finding(
    "xla",
    reports.DIFFERS,
    0.25,
    2,
    ("model/dense/kernel", "log 'loss'"),
    (causes.RANDOM,),
    "Layers [draw] numbers.",
)


def make_report(*findings):
    return VerificationReport("Model", "graph", 5, findings)


def test_a_report_is_ok_if_all_ways_agree_or_round():
    rounded = Finding("xla", reports.ROUNDING, 1e-3, 1, ("kernel",), (causes.ROUNDING,))
    assert make_report(GOOD, rounded).ok
    assert make_report(GOOD, rounded).causes == set()
    assert not make_report(GOOD, BAD).ok
    assert not make_report(Finding("xla", reports.FAILED)).ok


def test_the_table_tells_way_verdict_difference_step_variable_and_cause():
    (line,) = [line for line in str(make_report(GOOD, BAD)).splitlines() if "xla " in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["xla", "differs", "2.5e-01", "2", "dense/kernel and 1 more", causes.RANDOM]


def test_a_cause_is_told_once_for_all_ways_that_have_it():
    words = str(make_report(GOOD, BAD, Finding("fused", reports.DIFFERS, words=BAD.words)))
    assert words.count("Layers [draw] numbers.") == 1
    assert "xla, fused: Layers" in words


def test_check_raises_the_table():
    make_report(GOOD).check()
    with pytest.raises(AssertionError, match="NOT the same[^$]*Layers .draw. numbers"):
        make_report(GOOD, BAD).check()


def test_a_file_holds_all_that_was_found(tmp_path):
    make_report(GOOD, BAD).save(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    assert (read["ok"], read["model"], read["reference"], read["steps"]) == (
        False,
        "Model",
        "graph",
        5,
    )
    assert read["findings"][1] == {
        "way": "xla",
        "verdict": "differs",
        "difference": 0.25,
        "step": 2,
        "where": ["model/dense/kernel", "log 'loss'"],
        "causes": [causes.RANDOM],
        "words": "Layers [draw] numbers.",
    }


def test_a_finding_is_found_by_its_way():
    report = make_report(GOOD, BAD)
    assert report["xla"] is BAD
    with pytest.raises(KeyError, match="must be one of"):
        report["fused"]
