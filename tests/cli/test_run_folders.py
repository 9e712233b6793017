"""Tests of the paths in a run's folder, which may come from a stranger."""

import pathlib

import pytest

from kerasmodes.cli import run_folders


@pytest.fixture
def run(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.yaml").write_text("secret: 1\n")
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_a_link_out_of_the_folder_is_not_followed(run):
    (run / "config.yaml").symlink_to(run.parent / "outside" / "config.yaml")
    (run / "exported").symlink_to(run.parent / "outside")
    with pytest.raises(ValueError, match="whose config.yaml is in it. Received: .*a link leads"):
        run_folders.read_config(run)
    with pytest.raises(ValueError, match="whose exported/onnx is in it"):
        run_folders.find_path(run, "exported", "onnx")


def test_links_within_the_folder_and_to_it_are_followed(run):
    (run / "settings.yaml").write_text("seed: 3\n")
    (run / "config.yaml").symlink_to("settings.yaml")
    (run.parent / "latest").symlink_to(run)
    assert run_folders.read_config(run.parent / "latest") == {"seed": 3}
    assert run_folders.find_path(run, "exported", "onnx") == run / "exported" / "onnx"


def test_the_folder_of_all_runs_goes_with_its_only_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for parent in ("runs", "mine"):
        (tmp_path / parent / "sum-001").mkdir(parents=True)
        run_folders.remove_failed_start(pathlib.Path(parent, "sum-001"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
