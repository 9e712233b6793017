"""Tests of the help: it fits 80 columns, and says what one writes."""

import pytest

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import declared, flags, help

COMMANDS = [row[0].split() for row in help._list_commands((), cli.COMMANDS)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_dashes_words_and_defaults_in_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0
    assert lines[0].startswith(f"usage: kerasmodes {' '.join(command)} ")
    assert lines[0].endswith("[flags]")
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines if line.strip().startswith("--")]
    assert not any("_" in name for name in names)
    text = " ".join(lines)
    assert not any(word in text for word in ("Any", "type:", "type=", "null)", "True", "(20"))


def test_help_shows_values_as_they_are_written(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "sum", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--units A,B,... Widths of the hidden layers" in text
    assert "(default: 20,10)" in text
    assert "--jit-compile {auto,true,false} As in Keras; must agree with --mode." in text
    assert "--model" not in text


@pytest.mark.parametrize(
    ("command", "flag", "names"),
    [
        ("train msggan", "augmentation", km.augmentation.NAMES),
        ("train msggan", "penalties", km.penalties.PENALTIES),
        ("train msggan", "preset", km.presets.PRESETS),
        ("tune msggan", "losses", km.losses.LOSSES),
        ("tune msggan", "tuner", km.tuning.tuners.TUNERS),
    ],
)
def test_help_names_what_a_table_of_the_library_has(command, flag, names, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    text = " ".join(capsys.readouterr().out.replace(",", " ").split())
    words = text.partition(f" --{flag} ")[2].partition(" --")[0]
    assert all(name in words for name in names)


def test_help_names_a_loss_that_is_new(capsys, monkeypatch):
    table = {**declared.km.losses.LOSSES, "my_loss": None}
    monkeypatch.setitem(flags.TABLES, "losses", lambda: table)
    with pytest.raises(SystemExit):
        cli.main(["tune", "msggan", "--help"])
    assert "relativistic_pairing, my_loss." in " ".join(capsys.readouterr().out.split())


def test_help_shows_which_flag_is_required(capsys):
    with pytest.raises(SystemExit):
        cli.main(["verify", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("usage: kerasmodes verify BUILD_MODEL --data MODULE:FUNCTION [flags]")
    assert "--data MODULE:FUNCTION Function that returns (x, y) or a data set. Required." in text


def test_help_shows_the_default_of_the_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "msggan", "--help"])
    assert "Steps of each mode in a repeat. (default: 4)" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "count"), [([], None), (["--help"], None), (["tune", "-h"], 2)])
def test_a_group_lists_its_commands(words, count, capsys):
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line for line in lines if line.startswith("  ")]
    assert len(listed) == (count or len(COMMANDS))
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_help_of_a_group_fits_the_terminal(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 30 < max(map(len, lines)) <= min(columns, 100)
