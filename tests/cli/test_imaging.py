"""Tests of `kerasmodes generate`: which pictures there are, and what they show."""

import keras
import numpy as np
import pytest
from PIL import Image

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import imaging

SIDE, GAP = 4 * 28, 4  # pixels of an image in a picture, and between two


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_a_model_with_classes_draws_each_in_a_row(run):
    assert cli.main(["generate", str(run), "--num-images=3", "--seed=1"]) == 0
    names = {"config.yaml", "model.keras", "generated.png", "classes.png"}
    assert {path.name for path in run.iterdir()} == names
    gan = keras.models.load_model(run / "model.keras")
    grid = km.data.image_grid(gan.generate(3, seed=1), zoom=4, gap=GAP)[..., 0]  # two scales
    names, images = np.split(pixels(run / "generated.png"), [-len(grid)])
    np.testing.assert_array_equal(images, grid)
    columns = np.split(names, [SIDE + GAP, 2 * (SIDE + GAP)], axis=1)
    assert all(column.min() < 128 for column in columns)
    np.testing.assert_array_equal(columns[0][:, :SIDE], columns[2])  # Two classes in turn.
    assert not np.array_equal(columns[0], columns[1])
    rows = [gan.generate(3, seed=1, labels=label)[-1] for label in range(2)]
    expected = km.data.image_grid(rows, zoom=4, gap=GAP)
    expected = km.data.label_rows(expected, ["T-shirt/top", "trouser"], gap=GAP)[..., 0]
    np.testing.assert_array_equal(pixels(run / "classes.png"), expected)


@pytest.mark.slow
@pytest.mark.sweep
def test_an_interpolation_moves_smoothly(run, monkeypatch):
    monkeypatch.setattr(imaging, "STOPS", 3)
    assert cli.main(["generate", str(run), "--num-images=2", "--interpolation"]) == 0
    with Image.open(run / "interpolation.gif") as gif:
        assert gif.size == (2 * SIDE + GAP, SIDE)
        frames = []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append(np.asarray(gif.convert("L"), "float32"))
    steps = [np.abs(one - other).mean() for one, other in zip(frames, frames[1:], strict=False)]
    assert 0 < max(steps) < np.abs(frames[0] - frames[len(frames) // 2]).mean()


@pytest.mark.slow
@pytest.mark.sweep
def test_neighbours_are_training_images_beside_the_samples(run, capsys, monkeypatch):
    monkeypatch.setattr(imaging, "NUM_COMPARED", 64)
    words = ["--num-images=2", "--seed=1", "--neighbours"]
    assert cli.main(["generate", str(run), *words]) == 0
    picture = pixels(run / "neighbours.png")
    assert picture.shape == (2 * SIDE + GAP, 8 * SIDE + 9 * GAP)
    sample = keras.models.load_model(run / "model.keras").generate(2, seed=1)[-1][:1]
    expected = km.data.image_grid(sample, zoom=4)[..., 0]
    np.testing.assert_array_equal(picture[:SIDE, :SIDE], expected)
    neighbour = picture[:SIDE:4, SIDE + 3 * GAP : 2 * SIDE + 3 * GAP : 4]
    training = np.concatenate([*km.data.images(batch_size=1024)])[..., 0]
    levels = np.rint((training + 1) * 127.5)
    assert np.any(np.all(levels == neighbour, axis=(1, 2)))
    assert "times that of 64 real test images" in capsys.readouterr().out


@pytest.mark.slow
def test_nothing_is_drawn_where_the_data_of_neighbours_cannot_be_read(run, capsys):
    assert cli.main(["generate", str(run), "--neighbours", "--data=no_such_set"]) == 1
    assert "error: `--data` must be " in capsys.readouterr().err
    assert not (run / "generated.png").exists()
