"""What is written down in several files of the project agrees, and what is named exists."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = re.compile(r"\b3\.1\d\b")
FILE = re.compile(r"`((?:kerasmodes|scripts|tests)/[\w./]*)`")


def read(path):
    return (ROOT / path).read_text("utf-8")


def find_versions(text):
    return sorted(set(PYTHON.findall(text)))


def test_the_versions_of_python_agree():
    classifiers = re.findall(r"Python :: (3\.\d+)", read("setup.cfg"))
    matrix = re.search(r"python: \[(.*)\]", read(".github/workflows/tests.yml"))[1]
    assert find_versions(matrix) == classifiers
    error = next(line for line in read("scripts/install").splitlines() if "is needed" in line)
    assert find_versions(error) == classifiers


@pytest.mark.parametrize("name", ["tensorflow", "keras"])
def test_each_version_that_the_pins_allow_is_tested(name):
    pairs = re.search(r"^PAIRS=.*$", read("scripts/versions"), re.MULTILINE)[0]
    tested = sorted(set(re.findall(rf"\b{name} (\d)\.(\d+)\b", pairs)))
    pins = re.search(rf"^    {name}>=(\d)\.(\d+),<(\d)\.(\d+)$", read("setup.cfg"), re.MULTILINE)
    major, first, last_major, end = pins.groups()
    assert major == last_major
    assert tested == [(major, str(minor)) for minor in range(int(first), int(end))]


def test_the_workflow_runs_commands_that_exist():
    commands = re.search(r"command: \[(.*)\]", read(".github/workflows/tests.yml"))[1].split(", ")
    assert commands == ["scripts/test", "scripts/quickstart"]
    assert all((ROOT / command).is_file() for command in commands)


def test_what_contributing_names_exists():
    names = FILE.findall(read(".github/CONTRIBUTING.md"))
    assert len(names) > 15
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "kerasmodes" / "py.typed").is_file()
    assert "kerasmodes = py.typed" in read("setup.cfg")


def test_the_changelog_has_the_sections_of_its_format():
    headings = re.findall(r"^#+ (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[:2] == ["Changelog", "[Unreleased]"]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert all(one in kinds or one.startswith("[") for one in headings[1:])
