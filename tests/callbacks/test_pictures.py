"""Tests of the pictures: which there are after training, and what they show."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerasmodes as km
from kerasmodes import figure_style, log_panels
from kerasmodes.callbacks import pictures

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)
ZOOM, GAP = 4, 4


class Painter(km.Model):
    """A small model with latents and two scales of images, that changes with every step."""

    latent_dim = 4

    def __init__(self, channels=1):
        super().__init__()
        self.dense = keras.layers.Dense(64 * channels, activation="tanh")
        self.reshape = keras.layers.Reshape((8, 8, channels))
        self.dense.build((None, self.latent_dim))

    def call(self, latents):
        images = self.reshape(self.dense(latents))
        return [images[:, ::2, ::2], images]

    def train_step(self, data):
        self.dense.kernel.assign_add(0.3 * tf.ones_like(self.dense.kernel))
        return {"total": tf.reduce_sum(self.dense.kernel)}


def train_painter(callbacks, epochs=3, channels=1, **arguments):
    painter = Painter(channels)
    painter.compile(mode="eager")
    painter.fit(np.zeros(1), epochs=epochs, verbose=0, callbacks=callbacks, **arguments)
    return painter


@functools.cache
def make_regressor(*metrics):
    """Returns one model: what it has learnt before does not matter here."""
    model = km.SumRegressor(units=())
    model.compile("sgd", metrics=[*metrics], mode="eager")
    return model


def train_regressor(callbacks, epochs=3, metrics=(), **arguments):
    make_regressor(*metrics).fit(X, Y, epochs=epochs, verbose=0, callbacks=callbacks, **arguments)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def num_frames(path):
    with Image.open(path) as image:
        return image.n_frames


def test_a_grid_is_drawn_each_epoch_and_all_of_them_at_the_end(tmp_path):
    folder = tmp_path / "new" / "samples"
    train_painter([km.callbacks.SampleGrid(folder, num_images=5)])
    names = ["epoch_001.png", "epoch_002.png", "epoch_003.png", "progress.gif"]
    assert sorted(path.name for path in folder.iterdir()) == names  # and nothing half written
    assert pixels(folder / "epoch_001.png").shape == (ZOOM * 2 * 8 + GAP, ZOOM * 5 * 8 + 4 * GAP)
    assert pixels(folder / "progress.gif").shape == (ZOOM * 2 * 8 + GAP, ZOOM * 5 * 8 + 4 * GAP)
    assert num_frames(folder / "progress.gif") == 3


def test_a_grid_shows_what_the_model_makes_of_the_same_latents(tmp_path):
    painter = train_painter([km.callbacks.SampleGrid(tmp_path, num_images=2, seed=7)], epochs=2)
    images = painter(km.random.normal((2, painter.latent_dim), seed=7))
    expected = km.data.image_grid([image.numpy() for image in images], zoom=ZOOM, gap=GAP)
    np.testing.assert_array_equal(pixels(tmp_path / "epoch_002.png"), expected[..., 0])
    assert np.any(pixels(tmp_path / "epoch_001.png") != pixels(tmp_path / "epoch_002.png"))


def test_a_grid_has_the_names_of_classes_above_its_columns(tmp_path):
    named = km.callbacks.SampleGrid(tmp_path / "named", 3, class_names=["i", "j"])
    train_painter([km.callbacks.SampleGrid(tmp_path / "plain", 3), named], epochs=1)
    plain, found = (pixels(tmp_path / name / "epoch_001.png") for name in ("plain", "named"))
    margin = found[: len(found) - len(plain)]
    np.testing.assert_array_equal(found[len(margin) :], plain)
    columns = [margin[:, start : start + ZOOM * 8] for start in range(0, 100, ZOOM * 8 + GAP)]
    np.testing.assert_array_equal(columns[0], columns[2])  # Classes are in turn.
    assert np.any(columns[0] != columns[1])
    assert all(column.min() < 128 for column in columns)


@pytest.mark.parametrize("num_classes", [None, 3])
def test_names_must_be_those_of_the_classes(tmp_path, num_classes):
    painter = Painter()
    painter.num_classes = num_classes
    callback = km.callbacks.SampleGrid(tmp_path, 2, class_names=["i", "j"])
    callback.set_model(painter)
    with pytest.raises(ValueError, match=f"Received: 2 names, num_classes={num_classes}"):
        callback.on_train_begin()


def test_a_legend_touches_neither_lines_nor_words():
    names = ("val_swd", "val_swd_28", "val_swd_14", "val_swd_7")
    points = [(1, 1.0), (2, 9.0), (3, 2.0), (4, 8.0)]
    (panel,) = log_panels.list_panels(dict.fromkeys(names, points))
    figure = figure_style.make_figure(4, 3)
    axes = figure.add_subplot()
    pictures._draw_panel(axes, panel)
    figure.draw_without_rendering()
    legend = axes.get_legend().get_window_extent()
    assert not legend.overlaps(axes.get_window_extent())
    assert not legend.overlaps(axes.xaxis.label.get_window_extent())
    assert legend.y0 >= 0


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((0.0, 0.0), 0, 1),
        ((0.0, 2.0), 0, 2.1),
        ((0.0, float("nan")), 0, 1),
        ((-1.0, 1.0), -1.1, 1.1),
    ],
)
def test_an_axis_has_numbers_below_zero_only_for_such_values(values, low, high):
    (panel,) = log_panels.list_panels({"val_recall": [*enumerate(values, start=1)]})
    axes = figure_style.make_figure(4, 3).add_subplot()
    pictures._draw_panel(axes, panel)
    assert axes.get_ylim() == pytest.approx((low, high))


def test_names_that_have_no_room_become_labels():
    grid = np.zeros((8, 3 * 32 + 2 * GAP, 3), "uint8")
    found = pictures._write_names(grid, [0, 1, 0], ["a name that is long", "another"])
    expected = pictures._write_names(grid, [0, 1, 0], ["0", "1"])
    assert found.shape == (8 + 2 * pictures.LEAST_TEXT, *grid.shape[1:])
    assert len(expected) == 8 + 2 * pictures.MOST_TEXT
    assert found[: 2 * pictures.LEAST_TEXT, :32].min() < 128


def test_grids_may_be_coloured(tmp_path):
    train_painter([km.callbacks.SampleGrid(tmp_path, num_images=2)], channels=3)
    assert pixels(tmp_path / "epoch_001.png").shape == (ZOOM * 2 * 8 + GAP, ZOOM * 2 * 8 + GAP, 3)
    assert num_frames(tmp_path / "progress.gif") == 3


@pytest.mark.slow
def test_a_run_of_the_gan_can_be_watched_without_changing_it(tmp_path):
    gan = km.MSGGAN((4, 4, 1), 2, 3, preset=km.presets.Tutorial(2, 2), seed=0)
    gan.compile()
    before = [gan.seed_generator.state.numpy(), *gan.get_weights()]
    callback = km.callbacks.SampleGrid(tmp_path, num_images=2)
    callback.set_model(gan)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_train_end()
    assert pixels(tmp_path / "epoch_001.png").shape == (ZOOM * 2 * 4 + GAP, ZOOM * 2 * 4 + GAP)
    for one, other in zip(before, [gan.seed_generator.state, *gan.get_weights()], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_grid_may_show_the_trained_weights(tmp_path):
    gan = km.MSGGAN((8, 8, 1), 2, 3, preset=km.presets.Default(2, 2), seed=0)
    gan.generator.set_weights([2 * weight + 1 for weight in gan.generator.get_weights()])
    callback = km.callbacks.SampleGrid(tmp_path, num_images=2, seed=7, averaged=False)
    callback.set_model(gan)
    callback.on_epoch_end(0)
    images = gan(km.random.normal((2, 3), seed=7), averaged=False)
    expected = km.data.image_grid([image.numpy() for image in images], zoom=ZOOM, gap=GAP)
    np.testing.assert_array_equal(pixels(tmp_path / "epoch_001.png"), expected[..., 0])


def test_curves_are_in_a_png_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ValueError, match="`path` must be the path of a file. Received: path="):
        km.callbacks.LossCurves(tmp_path / "a.png")
    with pytest.raises(ValueError, match="`path` must end in '.png'. Received: path='a.svg'"):
        km.callbacks.LossCurves("a.svg")


def test_a_file_is_no_folder_for_pictures(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match="`directory` must be a folder. Received: .*file' is a file"
    ):
        km.callbacks.SampleGrid(tmp_path / "file")


@pytest.mark.slow
def test_a_second_run_starts_a_new_gif(tmp_path):
    callback = km.callbacks.SampleGrid(tmp_path, num_images=2)
    train_painter([callback], epochs=3)
    train_painter([callback], epochs=2)
    assert num_frames(tmp_path / "progress.gif") == 2


@pytest.mark.slow
def test_the_gif_of_a_resumed_run_has_the_earlier_pictures(tmp_path):
    train_painter([km.callbacks.SampleGrid(tmp_path, num_images=2)], epochs=3)
    first = pixels(tmp_path / "epoch_001.png")
    later = {"epochs": 4, "initial_epoch": 2}
    train_painter([km.callbacks.SampleGrid(tmp_path, num_images=2)], **later)
    assert num_frames(tmp_path / "progress.gif") == 4
    with Image.open(tmp_path / "progress.gif") as image:
        np.testing.assert_array_equal(image.convert("L"), first)
    (tmp_path / "epoch_002.png").unlink()
    train_painter([km.callbacks.SampleGrid(tmp_path, num_images=2)], **later)
    assert num_frames(tmp_path / "progress.gif") == 3
    train_painter([km.callbacks.SampleGrid(tmp_path, num_images=3)], **later)
    assert num_frames(tmp_path / "progress.gif") == 2  # The others are of another size.


def test_a_run_without_epochs_writes_nothing(tmp_path):
    train_painter([km.callbacks.SampleGrid(tmp_path / "samples")], epochs=0)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_latents_is_refused(tmp_path):
    with pytest.raises(TypeError, match="from latents of `latent_dim`. Received: SumRegressor"):
        train_regressor([km.callbacks.SampleGrid(tmp_path)])


@pytest.mark.parametrize("num_images", [0, 1.5])
def test_the_number_of_images_must_be_a_positive_integer(tmp_path, num_images):
    with pytest.raises(ValueError, match="`num_images` must be a positive integer. Received: num_"):
        km.callbacks.SampleGrid(tmp_path, num_images=num_images)


def read_epochs(path):
    with Image.open(path) as image:
        return [epoch for epoch, _ in json.loads(image.info["curves"])["loss"]]


@pytest.mark.slow
def test_short_epochs_are_drawn_at_the_first_and_at_the_end(tmp_path):
    path, drawn = tmp_path / "new" / "curves.png", []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: drawn.append(read_epochs(path)))
    train_regressor([km.callbacks.LossCurves(path), look], epochs=3)
    assert drawn[0] == drawn[1] == [1]
    assert read_epochs(path) == [1, 2, 3]
    assert [path.name for path in path.parent.iterdir()] == ["curves.png"]


@pytest.mark.slow
def test_a_fit_that_resumes_knows_curves_that_were_not_drawn(tmp_path):
    curves = km.callbacks.LossCurves(tmp_path / "curves.png")
    curves.set_model(km.SumRegressor())
    for epoch in range(3):
        curves.on_epoch_end(epoch, {"loss": 0.5})
    resumed = km.callbacks.LossCurves(tmp_path / "curves.png")
    resumed.set_model(km.SumRegressor())
    resumed.set_state(curves.get_state())
    resumed.on_epoch_end(3, {"loss": 0.5})
    assert read_epochs(tmp_path / "curves.png") == [1, 2, 3, 4]


@pytest.mark.slow
def test_training_and_validation_share_a_panel(tmp_path):
    logs = {"loss": 0.5, "mae": 0.4}
    for name, own in (("alone", logs), ("both", {**logs, "val_loss": 0.7, "val_mae": 0.6})):
        curves = km.callbacks.LossCurves(tmp_path / f"{name}.png")
        curves.set_model(km.SumRegressor())
        curves.on_epoch_end(0, own)
    alone, both = (pixels(tmp_path / f"{name}.png") for name in ("alone", "both"))
    assert alone.shape == both.shape == (3 * 120, 2 * 4 * 120, 4)  # panels: loss and mae
    assert np.any(alone != both)


@pytest.mark.slow
def test_panels_stand_in_rows_of_two(tmp_path):
    curves = km.callbacks.LossCurves(tmp_path / "curves.png")
    curves.set_model(km.SumRegressor())
    curves.on_epoch_end(0, {f"loss_{number}": 0.5 for number in range(5)})
    assert pixels(tmp_path / "curves.png").shape == (3 * 3 * 120, 2 * 4 * 120, 4)


@pytest.mark.slow
def test_curves_hold_what_the_logs_hold(tmp_path):
    curves = km.callbacks.LossCurves(tmp_path / "curves.png")
    own = {"metrics": ["mae"], "validation_data": (X, Y), "validation_freq": 2}
    train_regressor([curves], epochs=4, **own)
    assert sorted(curves.curves) == ["loss", "mae", "val_loss", "val_mae"]
    assert [epoch for epoch, _ in curves.curves["loss"]] == [1, 2, 3, 4]
    assert [epoch for epoch, _ in curves.curves["val_loss"]] == [2, 4]


@pytest.mark.slow
def test_a_second_run_starts_new_curves(tmp_path):
    curves = km.callbacks.LossCurves(tmp_path / "curves.png")
    train_regressor([curves], epochs=1)
    train_regressor([curves], epochs=1)
    assert len(curves.curves["loss"]) == 1


@pytest.mark.slow
def test_a_resumed_run_adds_to_the_earlier_curves(tmp_path):
    path = tmp_path / "curves.png"
    train_regressor([km.callbacks.LossCurves(path)], epochs=3)
    curves = km.callbacks.LossCurves(path)
    train_regressor([curves], epochs=3, initial_epoch=2, validation_data=(X, Y))
    assert [epoch for epoch, _ in curves.curves["loss"]] == [1, 2, 3]
    assert [epoch for epoch, _ in curves.curves["val_loss"]] == [3]
    curves = km.callbacks.LossCurves(tmp_path / "elsewhere.png")
    train_regressor([curves], epochs=3, initial_epoch=2)
    assert [epoch for epoch, _ in curves.curves["loss"]] == [3]


@pytest.mark.slow
def test_the_frechet_distance_stands_beside_both_losses_of_a_gan(tmp_path, monkeypatch):
    drawn = []
    draw = pictures._draw_panel
    monkeypatch.setattr(pictures, "_draw_panel", lambda *given: drawn.append(given) or draw(*given))
    curves = km.callbacks.LossCurves(tmp_path / "curves.png")
    curves.set_model(km.SumRegressor())
    curves.on_epoch_end(0, {"real_accuracy": 0.5, "d_loss": 1, "g_loss": 2, "val_frechet": 500})
    (losses, _), (frechet, _), (accuracy, _) = drawn
    assert [axes.get_title(loc="left") for axes, _ in drawn] == [
        *("Losses", "Fréchet distance", "Discriminator")
    ]
    assert [line.get_label() for line in losses.get_lines()] == ["discriminator", "generator"]
    assert len({line.get_linestyle() for line in losses.get_lines()}) == 2
    assert frechet.get_ylabel() == "squared distance of features"
    assert frechet.get_position().y0 == losses.get_position().y0 > accuracy.get_position().y0


def test_an_epoch_without_logs_draws_nothing(tmp_path):
    curves = km.callbacks.LossCurves(tmp_path / "curves.png")
    curves.set_model(km.SumRegressor())
    curves.on_epoch_end(0, {})
    assert list(tmp_path.iterdir()) == []
