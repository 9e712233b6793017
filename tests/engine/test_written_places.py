"""Tests of where callbacks write: what is known of them, and folders of their own."""

import pathlib

import keras
import pytest

import kerasmodes as km
from kerasmodes.engine import written_places


@pytest.mark.parametrize(
    ("callback", "attribute", "expected"),
    [
        (keras.callbacks.CSVLogger("a/history.csv"), "filename", "a/trial_0/history.csv"),
        (keras.callbacks.ModelCheckpoint("best.keras"), "filepath", "trial_0/best.keras"),
        (keras.callbacks.TensorBoard("events"), "log_dir", "events/trial_0"),
        (keras.callbacks.BackupAndRestore("a/b"), "backup_dir", "a/b/trial_0"),
        (km.callbacks.LossCurves("losses.png"), "path", "trial_0/losses.png"),
        (km.callbacks.RunRecord("run.json"), "path", "trial_0/run.json"),
        (km.callbacks.SampleGrid("samples"), "directory", "samples/trial_0"),
        (km.callbacks.NaNGuard("nan"), "directory", "nan/trial_0"),
        (km.callbacks.Resume("progress"), "directory", "progress/trial_0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_callback_writes_into_a_folder_of_its_own(
    callback, attribute, expected, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = type(getattr(callback, attribute))
    assert written_places.find_attribute(callback) == attribute
    written_places.separate(callback, "trial_0")
    assert pathlib.Path(getattr(callback, attribute)) == pathlib.Path(expected)
    assert type(getattr(callback, attribute)) is before


def test_files_in_a_folder_move_with_it():
    backup = keras.callbacks.BackupAndRestore("here")
    written_places.separate(backup, "trial_0")
    assert backup._weights_path == "here/trial_0/latest.weights.h5"
    assert backup._prev_training_metadata_path == "here/trial_0/training_metadata.json.bkp"


def test_a_callback_for_one_optimizer_is_looked_into():
    board = keras.callbacks.TensorBoard("events")
    written_places.separate(km.callbacks.ForOptimizer("optimizer", board), "trial_0")
    assert board.log_dir == "events/trial_0"


def test_a_callback_that_writes_nothing_stays_as_it_is():
    stopping = keras.callbacks.EarlyStopping()
    written_places.separate(stopping, "trial_0")
    assert written_places.find_attribute(stopping) is None


def test_a_guard_without_a_folder_stays_without_one():
    guard = km.callbacks.NaNGuard()
    written_places.separate(guard, "trial_0")
    assert guard.directory is None
