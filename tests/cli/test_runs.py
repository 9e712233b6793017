"""Tests of what commands take from a run's folder, which may come from a stranger."""

import json
import warnings
import zipfile

import jsonargparse
import keras
import pytest

import kerasmodes as km
from kerasmodes.cli import fitting, runs


def make_flags(run, config, **given):
    (run / "config.yaml").write_text(json.dumps(config))
    empty = {"data": None, "data_dir": None, "idx_dir": None}
    return jsonargparse.Namespace(run=str(run), **{**empty, **given})


@pytest.mark.parametrize(
    "name", ["../outside", "huggingface:mnist", "/data/mnist", "no_such_set", "gs://a/b"]
)
def test_a_run_does_not_fetch_a_data_set(tmp_path, name):
    flags = make_flags(tmp_path, {"data": name})
    with pytest.raises(ValueError, match="`data` must be given for a data set that is to be fetch"):
        runs.find_data_name(flags)


def test_a_flag_may_name_any_data_set(tmp_path):
    assert runs.find_data_name(make_flags(tmp_path, {"data": "a"}, data="b")) == "b"
    for name in ("fashion_mnist_sample", "colour_shapes"):
        assert runs.find_data_name(make_flags(tmp_path, {"data": name})) == name
    with pytest.raises(ValueError, match="`data` must name a data set, since the run's config"):
        runs.find_data_name(make_flags(tmp_path, {"seed": 1}))


def test_samples_are_one_of_each_class_below_its_name():
    flags = jsonargparse.Namespace(data="fashion_mnist_sample", num_classes=2)
    names = ["T-shirt/top", "trouser"]
    assert runs.choose_samples(flags) == {"num_images": 2, "class_names": names}
    flags.data = "mnist"
    assert runs.choose_samples(flags)["class_names"] == ["class 0", "class 1"]
    flags.data = "colour_shapes"
    assert runs.choose_samples(flags)["class_names"] == ["disc", "square"]
    flags.num_classes = None
    assert runs.choose_samples(flags) == {}


@pytest.mark.parametrize("num_classes", [None, 2])
def test_tensorboard_shows_the_samples_that_the_pictures_show(tmp_path, num_classes):
    model = km.Model()
    model.latent_dim = 3
    flags = jsonargparse.Namespace(data="fashion_mnist_sample", num_classes=num_classes)
    board = fitting._make_board(model, tmp_path, flags)
    grid = km.callbacks.SampleGrid(tmp_path, **runs.choose_samples(flags))
    assert (board.num_images, board.class_names) == (grid.num_images, grid.class_names)


@pytest.mark.parametrize("name", ["data_dir", "idx_dir"])
def test_a_run_does_not_say_where_else_to_read(tmp_path, name):
    flags = make_flags(tmp_path, {"data": "fashion_mnist", name: "/data"})
    with pytest.raises(ValueError, match=f"`{name}` must be given .* add --{name[:-4]}-dir=/data"):
        runs.load_images(flags, "test", (28, 28, 1))


def test_a_model_that_is_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "model.keras").write_text("")
    (tmp_path / "run" / "model.keras").symlink_to(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="whose model.keras is in it"):
        runs.load_model(str(tmp_path / "run"))


def test_weights_of_another_model_are_one_error_without_warnings(tmp_path):
    for name, width in (("run", 2), ("other", 3)):
        (tmp_path / name).mkdir()
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(width)])
        if name == "run":
            model.add(keras.layers.Dense(1))
        model.compile("sgd")
        model.save(tmp_path / name / "model.keras")
    with zipfile.ZipFile(tmp_path / "other" / "model.keras") as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "run" / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "run" / "model.keras", "w") as archive:
        for name, content in {**parts, "model.weights.h5": weights}.items():
            archive.writestr(name, content)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="`run` must hold a model.keras that can be read"):
            runs.load_model(str(tmp_path / "run"))
    assert found == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("no such layer\n\nFull config: {}", "no such layer"),
        ("<class 'a'> failed\nconfig={}.\n\nException encountered: a lambda", "a lambda"),
        ("", "ValueError"),
    ],
)
def test_the_reason_of_an_error_of_keras_is_one_line(words, reason):
    assert runs._find_reason(ValueError(words)) == reason
