"""Tests of the pictures of image batches."""

import matplotlib.figure
import matplotlib.pyplot
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasmodes.data import image_grid, label_rows, plot_batch, save_gif, save_image


def pyramid(batch=3, sizes=(2, 4, 8), channels=1):
    rng = np.random.default_rng(0)
    shapes = [(batch, size, size, channels) for size in sizes]
    return [rng.uniform(-1, 1, shape).astype("float32") for shape in shapes]


def test_zoom_repeats_each_pixel():
    images = np.linspace(-1, 1, 4).reshape(1, 2, 2, 1)
    grid = image_grid(images)
    np.testing.assert_array_equal(image_grid(images, zoom=3), np.kron(grid, np.ones((3, 3, 1))))


def test_one_row_a_scale_smallest_first():
    scales = [np.full((2, 2, 2, 1), -1.0), np.full((2, 4, 4, 1), 1.0)]
    grid = image_grid(scales)
    assert grid.shape == (8, 8, 1)
    assert grid.dtype == np.uint8
    assert (grid[:4] == 0).all()
    assert (grid[4:] == 255).all()


def test_smaller_images_are_enlarged_pixel_by_pixel():
    scales = pyramid(batch=1, sizes=(2, 8))
    top = image_grid(scales)[:8, :, 0]
    np.testing.assert_array_equal(top, np.kron(top[::4, ::4], np.ones((4, 4), "uint8")))
    np.testing.assert_array_equal(top[::4, ::4], np.rint((scales[0][0, ..., 0] + 1) * 127.5))


def test_images_stand_side_by_side_in_their_order():
    values = np.linspace(-1, 1, 4)
    grid = image_grid(np.broadcast_to(values[:, None, None, None], (4, 2, 2, 3)))
    np.testing.assert_array_equal(grid[0, ::2, 0], [0, 85, 170, 255])
    assert grid.shape == (2, 8, 3)


def test_gaps_are_white_and_between_images_only():
    scales = [np.full((3, 2, 2, 1), -1.0), np.full((3, 4, 4, 1), -1.0)]
    grid = image_grid(scales, gap=2)[..., 0]
    assert grid.shape == (4 + 2 + 4, 3 * 4 + 2 * 2)
    is_gap = np.zeros(grid.shape, bool)
    is_gap[4:6] = is_gap[:, 4:6] = is_gap[:, 10:12] = True
    np.testing.assert_array_equal(grid, np.where(is_gap, 255, 0))


def test_rows_are_named_on_their_left():
    picture = image_grid([np.full((2, 20, 20, 3), -1.0)] * 2, gap=4)
    named = label_rows(picture, ["bag", ""], gap=4)
    margin = named.shape[1] - picture.shape[1]
    np.testing.assert_array_equal(named[:, margin:], picture)
    assert (named[:20, :margin] < 128).any()
    assert (named[20:, :margin] == 255).all()


@pytest.mark.parametrize("names", [[], ["a", "b", "c"]])
def test_each_row_needs_a_name(names):
    with pytest.raises(ValueError, match="`names` must be one for each row of the picture"):
        label_rows(np.zeros((8, 8, 1), "uint8"), names)


def test_height_and_width_may_differ():
    assert image_grid([np.zeros((2, 3, 2, 1)), np.zeros((2, 6, 8, 1))]).shape == (12, 16, 1)


@pytest.mark.parametrize(("channels", "drawn"), [(2, 1), (4, 3), (5, 3)])
def test_other_channels_are_drawn_as_gray_or_colour(channels, drawn):
    scales = pyramid(channels=channels)
    expected = image_grid([scale[..., :drawn] for scale in scales])
    np.testing.assert_array_equal(image_grid(scales), expected)


@pytest.mark.parametrize(("num_images", "columns"), [(1, 1), (2, 2), (8, 3)])
def test_number_of_columns(num_images, columns):
    assert image_grid(pyramid(), num_images).shape == (24, 8 * columns, 1)


def test_every_pixel_value_survives_the_scaling():
    levels = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1)
    images = levels.astype("float32") / np.float32(127.5) - 1
    np.testing.assert_array_equal(image_grid(images), levels[0])


def test_values_beyond_the_range_are_clipped():
    images = np.array([-np.inf, -7, 7, np.inf]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(image_grid(images)[..., 0], [[0, 0], [255, 255]])


def test_nan_is_a_checkerboard():
    images = np.zeros((1, 4, 4, 3))
    images[0, :, 2:] = np.nan
    grid = image_grid(images)
    assert (grid[:, :2] == 128).all()
    np.testing.assert_array_equal(grid[:2, 2:, 0], [[0, 255], [255, 0]])


@pytest.mark.parametrize("dtype", ["float16", "float64", ml_dtypes.bfloat16])
def test_any_float_type_gives_the_same_picture(dtype):
    images = np.linspace(-1, 1, 256).reshape(1, 16, 16, 1).astype(dtype)
    np.testing.assert_array_equal(image_grid(images), image_grid(images.astype("float32")))


def test_tensors_are_accepted():
    scales = pyramid()
    tensors = [tf.constant(scale) for scale in scales]
    np.testing.assert_array_equal(image_grid(tensors), image_grid(scales))
    np.testing.assert_array_equal(image_grid(tensors[-1]), image_grid(scales[-1]))


def test_argument_is_not_changed():
    images = np.array([np.nan, 2, -2, 0]).reshape(1, 2, 2, 1)
    before = images.copy()
    image_grid(images)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([], r"`scales` must hold images \[B, h, w, C\].*Received: shapes=\[\]"),
        (np.zeros((2, 8, 8)), r"`scales` must hold images.*\(2, 8, 8\)"),
        (np.zeros((8, 8, 1)), r"hold images \[B, h, w, C\]. Received: shapes=\[\(8, 8, 1\)\]"),
        (np.zeros((0, 8, 8, 1)), r"`scales` must hold images.*\(0, 8, 8, 1\)"),
        (np.zeros((2, 8, 8, 1), "uint8"), r"`scales` must hold floats.*dtypes=\['uint8'\]"),
        (pyramid(sizes=(8, 4)), "`scales` must go from the smallest to the largest"),
        (pyramid(sizes=(4, 2, 8)), "`scales` must go from the smallest to the largest"),
        (pyramid(sizes=(3, 8)), r"divide the largest. Received: shapes=\[\(3, 3, 3, 1\)"),
        (pyramid(2)[:1] + pyramid(3)[1:], "with equal B and C"),
        (pyramid(channels=3)[:1] + pyramid()[1:], "with equal B and C"),
        ([np.zeros((2, 4, 4)), np.zeros((2, 8, 8, 1))], "with equal B and C"),
    ],
)
def test_bad_scales_are_named(scales, message):
    with pytest.raises(ValueError, match=message):
        image_grid(scales)


def test_bad_number_of_images_is_named():
    with pytest.raises(ValueError, match="`num_images` must be.*Received: num_images=0"):
        image_grid(pyramid(), num_images=0)


def test_a_bad_gap_is_named():
    with pytest.raises(ValueError, match="`gap` must be an integer, at least 0. Received: gap=-1"):
        image_grid(pyramid(), gap=-1)


def test_figure_shows_the_grid_with_its_resolutions():
    scales = pyramid(sizes=(7, 14, 28))
    figure = plot_batch(scales)
    (axes,) = figure.axes
    assert isinstance(figure, matplotlib.figure.Figure)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["7×7", "14×14", "28×28"]
    assert axes.get_yticks().tolist() == [13.5, 42.5, 71.5]
    (image,) = axes.images
    np.testing.assert_array_equal(image.get_array(), image_grid(scales, gap=1)[..., 0])


def test_figure_does_not_stretch_gray_values():
    (image,) = plot_batch(np.zeros((1, 4, 4, 1))).axes[0].images
    assert image.get_clim() == (0, 255)


def test_one_pixel_high_figure_keeps_its_axes():
    (image,) = plot_batch(np.zeros((1, 1, 1, 1))).axes[0].images
    assert image.get_array().shape == (1, 1)


def test_figure_is_saved(tmp_path):
    path = tmp_path / "new" / "folder" / "batch.png"
    plot_batch(pyramid(channels=3), path=path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (592, 487)  # 150 dots an inch; the labels take 0.7 inches.
    assert list(path.parent.iterdir()) == [path]


def test_figure_leaves_pyplot_alone():
    plot_batch(pyramid())
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_saved_image_reads_back_the_same(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    save_image(array, str(tmp_path / "new" / "image.png"))
    with Image.open(tmp_path / "new" / "image.png") as image:
        np.testing.assert_array_equal(np.asarray(image).reshape(shape), array)


def test_saved_image_replaces_the_older_one(tmp_path):
    for value in (0, 255):
        save_image(np.full((2, 2), value, "uint8"), tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as image:
        assert image.getpixel((0, 0)) == 255
    assert len(list(tmp_path.iterdir())) == 1


def test_failed_writing_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    save_image(np.zeros((2, 2), "uint8"), path)
    before = path.read_bytes()

    def half_written(self, temporary, format):
        temporary.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half_written)
    with pytest.raises(OSError, match="disk full"):
        save_image(np.ones((2, 2), "uint8"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2)), np.zeros(4, "uint8"), np.zeros((2, 2, 4), "uint8")],
    ids=["float", "one axis", "four channels"],
)
def test_bad_array_is_named(tmp_path, array):
    with pytest.raises(ValueError, match="`array` must be uint8.*Received: array of dtype="):
        save_image(array, tmp_path / "image.png")


def test_bad_path_is_named(tmp_path):
    with pytest.raises(ValueError, match="`path` must end in '.png'. Received: path="):
        save_image(np.zeros((2, 2), "uint8"), tmp_path / "image.jpg")
    with pytest.raises(ValueError, match="`path` must end in '.png'. Received: path="):
        plot_batch(pyramid(), path=tmp_path / "figure.pdf")


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3)])
def test_a_gif_shows_the_frames_in_order_for_ever(tmp_path, shape):
    frames = [np.full(shape, level, "uint8") for level in (0, 255, 102)]
    save_gif(frames, tmp_path / "new" / "a.gif", seconds=0.25)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.gif"]
    with Image.open(tmp_path / "new" / "a.gif") as gif:
        assert (gif.size, gif.n_frames, gif.info["loop"]) == ((6, 4), 3, 0)
        for number, frame in enumerate(frames):
            gif.seek(number)
            assert gif.info["duration"] == 250
            np.testing.assert_array_equal(
                np.asarray(gif.convert("L")), frame.reshape(4, 6, -1)[..., 0]
            )


@pytest.mark.parametrize(
    ("frames", "name", "message"),
    [
        ([], "a.gif", "`frames` must be pictures of one shape"),
        ([np.zeros((2, 2), "uint8"), np.zeros((2, 3), "uint8")], "a.gif", "of one shape"),
        ([np.zeros((2, 2))], "a.gif", "`array` must be uint8"),
        ([np.zeros((2, 2), "uint8")], "a.png", "`path` must end in '.gif'"),
    ],
)
def test_what_is_no_gif_is_refused(tmp_path, frames, name, message):
    with pytest.raises(ValueError, match=message):
        save_gif(frames, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
