"""Tests of the progress bar: no step needs more than one line."""

import re

import pytest
import rich.console

from kerasmodes.cli import progress

LOGS = {"d_loss": 1.25, "fake_accuracy": 0.5, "g_loss": 0.75, "real_accuracy": 0.875}


@pytest.mark.parametrize(("columns", "target"), [(80, 8), (80, 10_000), (50, 8), (200, 8)])
def test_a_step_is_one_line_and_the_end_of_an_epoch_has_all_logs(
    columns, target, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = progress.ProgressBar()
    bar.set_params({"verbose": 1, "epochs": 1, "steps": target})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    monkeypatch.setattr(bar.progbar, "interval", -1)  # Each step is shown.
    bar.on_train_batch_end(0, LOGS)
    step = re.sub(r"\x1b\[\d+m|\x08|\r|\n", "", capsys.readouterr().out)
    assert f"1/{target}" in step
    assert 20 < len(step) < columns
    assert ("d_loss: 1.2500" in step) == (columns >= 80)
    assert ("real_accuracy: 0.8750" in step) == (columns == 200)
    bar.on_epoch_end(0, LOGS | {"val_frechet": 3.0})
    end = capsys.readouterr().out
    assert all(f"{name}: " in end for name in [*LOGS, "val_frechet"])


def test_the_losses_of_a_gan_fit_into_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    bar = progress.ProgressBar()
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 80})
    assert [*bar._fit_logs(LOGS)] == ["d_loss", "g_loss"]


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({"TERM": "xterm"}, True, 1),
        ({"TERM": "xterm"}, False, 2),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, 2),
        ({"TERM": "dumb"}, True, 2),
    ],
)
def test_a_bar_is_for_a_terminal_with_colours(environment, is_terminal, expected):
    console = rich.console.Console(force_terminal=is_terminal, _environ=environment)
    assert progress.choose_verbosity(console) == expected
