"""Tests of the paths in a run's folder, which may come from a stranger."""

import pathlib

import jsonargparse
import pytest
import tensorflow as tf

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


@pytest.fixture
def resumed(tmp_path):
    (tmp_path / "config.yaml").write_text("resume: true\n")
    (tmp_path / "progress" / "epoch_0001_step_000000").mkdir(parents=True)
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1.5\n")
    return tmp_path


def find_folder(run):
    flags = jsonargparse.Namespace(run=str(run), resume=True)
    return run_folders.find_folder(flags, "sum", tf.distribute.get_strategy())


@pytest.mark.parametrize("text", ["", "[1]", '{"epochs": 3}', '{"epochs": [', "[" * 100_000])
def test_a_damaged_record_is_noticed_before_a_run_is_resumed(resumed, text):
    assert find_folder(resumed) == resumed
    (resumed / "run.json").write_text(text)
    with pytest.raises(ValueError, match="`run` must hold .* run.json, that can be read, or"):
        find_folder(resumed)


@pytest.mark.parametrize("name", ["run.json", "model.keras", "losses.png"])
def test_a_folder_in_the_place_of_a_file_is_noticed_before_a_run_is_resumed(resumed, name):
    (resumed / name).mkdir()
    with pytest.raises(ValueError, match=f"in which {name} is a file, .*where it is a folder"):
        find_folder(resumed)


@pytest.mark.parametrize("name", ["events", "samples"])
def test_a_file_in_the_place_of_a_folder_is_noticed_before_a_run_is_resumed(resumed, name):
    (resumed / name).write_text("")
    with pytest.raises(ValueError, match=f"in which {name} is a folder, .*where it is a file"):
        find_folder(resumed)
