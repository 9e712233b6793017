"""Tests of files that `save` and `save_weights` write: whole, or as they were."""

import os

import keras
import numpy as np
import pytest

import kerasmodes as km


class Heavy(keras.layers.Dense):
    """A layer that cannot be saved, as if the disk were full in the middle."""

    def save_own_variables(self, store):
        super().save_own_variables(store)
        raise OSError("No space left on device")


def make_model(layer=keras.layers.Dense):
    inputs = keras.Input((3,))
    return km.Model(inputs, layer(2, name="dense")(inputs))


@pytest.mark.parametrize(
    ("method", "name"), [("save", "model.keras"), ("save_weights", "model.weights.h5")]
)
def test_a_save_that_fails_leaves_the_older_file(method, name, tmp_path):
    path = tmp_path / name
    getattr(make_model(), method)(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        getattr(make_model(Heavy), method)(str(path))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "model.keras"
    link.symlink_to(tmp_path / "real" / "model.keras")
    model = make_model()
    model.save(link)
    assert link.is_symlink()
    loaded = keras.models.load_model(link)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_other_ways_to_save_are_those_of_keras(tmp_path):
    model = make_model()
    model.save(tmp_path / "folder", zipped=False)
    assert (tmp_path / "folder" / "config.json").exists()
    model.save_weights(tmp_path / "model.weights.json", max_shard_size=1)
    assert (tmp_path / "model.weights.json").exists()
    with pytest.raises(ValueError, match="Invalid filepath extension"):
        model.save(tmp_path / "model.txt")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "missing" / "model.keras")


def test_an_older_file_keeps_its_permissions_and_names_may_be_long(tmp_path):
    path = tmp_path / f"{'n' * 240}.keras"
    model = make_model()
    model.save(path)
    path.chmod(0o600)
    model.save(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_weights_of_a_model_whose_step_calls_its_parts_are_saved_and_loaded(tmp_path):
    class Parts(km.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    models = Parts(), Parts()
    for model in models:
        model.compile("adam", mode="eager")
    models[0].save_weights(tmp_path / "model.weights.h5")
    models[1].load_weights(tmp_path / "model.weights.h5")
    assert np.array_equal(models[1].get_weights()[0], models[0].get_weights()[0])
