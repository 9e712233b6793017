"""Tests of `kerasmodes report`: the files that it writes, for runs of all kinds."""

import re

import numpy as np
import pytest
from written_runs import write_run

from kerasmodes import cli


def test_it_writes_a_page_and_a_card(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (run / "config.yaml").write_text("model: msggan\nepochs: 4\n")
    assert cli.main(["report", str(run)]) == 0
    assert "3 of 4" in (run / "report.html").read_text()
    assert "MSGGAN" in (run / "README.md").read_text()
    assert capsys.readouterr().out.count("Written: ") == 2


def test_a_card_of_ones_own_is_left(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (run / "README.md").write_text("Mine.")
    assert cli.main(["report", str(run)]) == 0
    assert (run / "README.md").read_text() == "Mine."
    assert "Left as it is" in capsys.readouterr().out


def test_settings_behind_a_link_are_not_read(tmp_path):
    run = write_run(tmp_path / "run")
    (tmp_path / "secret.yaml").write_text("token: secret\n")
    (run / "config.yaml").symlink_to(tmp_path / "secret.yaml")
    assert cli.main(["report", str(run)]) == 0
    assert "secret" not in (run / "report.html").read_text()


@pytest.mark.parametrize("name", ["none", "."])
def test_what_is_no_run_is_one_line(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report", name]) == 1
    error = capsys.readouterr().err
    assert "`run` must be the folder of a run" in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.html", "README.md"])
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_written(
    tmp_path, capsys, name
):
    run = write_run(tmp_path / "run")
    before = {path.name for path in run.iterdir()}
    (run / name).mkdir()
    assert cli.main(["report", str(run)]) == 1
    error = capsys.readouterr().err
    assert f"error: `run` must be a folder in which {name} is a file, or missing." in error
    assert len(error.splitlines()) == 1
    assert {path.name for path in run.iterdir()} == {*before, name}


@pytest.mark.slow
def test_a_run_that_was_trained_has_everything_in_its_report(tmp_path, monkeypatch):
    run = tmp_path / "run"
    words = ["--num-samples=32", "--batch-size=8", "--seed=1", "--mode=eager", "--epochs=2"]
    words += ["--optimizer=sgd"]
    assert cli.main(["train", "sum", *words, f"--run={run}"]) == 0
    assert cli.main(["report", str(run)]) == 0
    page, card = (run / "report.html").read_text(), (run / "README.md").read_text()
    for words in ("finished", "2 of 2", "µs per step", "mean squared error", "CPU:0", "tensorflow"):
        assert words in page
    last = (run / "history.csv").read_text().splitlines()[-1].split(",")
    assert all(f'<td class="number">{number}</td>' in page for number in last)
    assert "pipeline_tag: tabular-regression" in card and "| mode | `eager` |" in card
    monkeypatch.chdir(run)
    names = {"x": np.ones((3, 20), "float32")}
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        exec(block, names)
    predicted = names["model"].predict(names["x"], verbose=0)
    np.testing.assert_allclose(names["outputs"], predicted, rtol=1e-5)
