"""Tests of what TensorBoard shows, read back through its own server application."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from board import get, list_sessions, open_board
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

import kerasmodes as km
from kerasmodes.callbacks import pictures

pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning")

SETTINGS = {"batch_size": 2, "loss": "mine", "units": [20, 10], "seed": None, "flip": True}


class TwoRates(km.Model):
    """Draws images from latents; two optimizers have learning rates of their own."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(16, activation="tanh")
        self.dense.build((None, self.latent_dim))
        self.built = True

    def compile(self, **kwargs):
        super().compile(optimizer=None, **kwargs)
        self.fast = km.build_optimizer(keras.optimizers.SGD(0.5), self.dense)
        self.slow = km.build_optimizer(keras.optimizers.SGD(0.25), self.dense)

    def call(self, latents):
        images = tf.reshape(self.dense(latents), (-1, 4, 4, 1))
        return [images[:, ::2, ::2], images]

    def train_step(self, data):
        self.dense.bias.assign_add(0.1 * tf.ones(16))
        return {"loss": tf.reduce_sum(self.dense.bias)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    model = TwoRates()
    model.compile(mode="eager")
    board = km.callbacks.TensorBoard(folder, hparams=SETTINGS, num_images=2, write_graph=False)
    history = model.fit(np.zeros((4, 1)), batch_size=2, epochs=2, verbose=0, callbacks=[board])
    return model, history, open_board(folder)


@pytest.mark.skipif(keras.__version__ < "3.15", reason="Keras knows one optimizer")
@pytest.mark.slow
def test_logs_and_the_rates_of_both_optimizers_are_scalars(trained):
    _, history, client = trained
    tags = get(client, "scalars/tags")
    rates = {"epoch_learning_rate_fast", "epoch_learning_rate_slow"}
    assert set(tags["train"]) == {"epoch_loss", *rates}
    rows = get(client, "scalars/scalars?run=train&tag=epoch_loss")
    np.testing.assert_allclose([row[2] for row in rows], history.history["loss"], rtol=1e-6)
    (row, _) = get(client, "scalars/scalars?run=train&tag=epoch_learning_rate_slow")
    assert row[2] == 0.25


@pytest.mark.slow
def test_samples_of_each_scale_are_images_of_one_size(trained):
    model, _, client = trained
    assert set(get(client, "images/tags")["samples"]) == {"samples/2x2", "samples/4x4"}
    expected = pictures.draw_samples(model, 2, seed=0, averaged=True)
    for scale, zoom in zip(expected, (8, 4), strict=True):
        name = f"samples/{scale.shape[1]}x{scale.shape[1]}"
        rows = get(client, f"images/images?run=samples&tag={name}&sample=0")
        assert [row["step"] for row in rows] == [0, 1]
        content = client.get(f"/data/plugin/images/individualImage?{rows[-1]['query']}").data
        with Image.open(io.BytesIO(content)) as image:
            grid = km.data.image_grid(scale, zoom=zoom, gap=pictures.GAP)
            np.testing.assert_array_equal(np.asarray(image), grid[..., 0])


def test_samples_have_the_names_of_classes_above_them(tmp_path):
    model = TwoRates()
    for name, class_names in (("plain", None), ("named", ["i", "j"])):
        folder = tmp_path / name
        board = km.callbacks.TensorBoard(
            folder, num_images=2, class_names=class_names, write_graph=False
        )
        board.set_model(model)
        board.on_train_begin()
        board.on_epoch_end(0)
        board.on_train_end({})
    plain, named = (read_images(tmp_path / name / "samples") for name in ("plain", "named"))
    assert list(named) == list(plain) == ["samples/2x2", "samples/4x4"]
    for name, image in named.items():
        margin = len(image) - len(plain[name])
        np.testing.assert_array_equal(image[margin:], plain[name])
        columns = image[:margin, :16], image[:margin, 16 + pictures.GAP :]
        assert all(column.min() < 128 for column in columns)
        assert np.any(columns[0] != columns[1])


def test_names_must_be_those_of_the_classes(tmp_path):
    model = TwoRates()
    model.num_classes = None
    board = km.callbacks.TensorBoard(tmp_path, num_images=2, class_names=["i"], write_graph=False)
    board.set_model(model)
    with pytest.raises(ValueError, match="Received: 1 names, num_classes=None"):
        board.on_train_begin()


@pytest.mark.slow
def test_settings_and_last_logs_are_a_session_that_has_ended(trained):
    _, history, client = trained
    (session,) = list_sessions(client)
    assert session["hparams"] == {
        "batch_size": 2.0,
        "loss": "mine",
        "units": "[20, 10]",
        "flip": True,
    }
    assert session["status"] == "STATUS_SUCCESS"
    assert session["values"]["loss"] == pytest.approx(history.history["loss"][-1])


def read_images(folder):
    """Returns the first picture of each name in a folder of events."""
    found = {}
    for path in folder.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                content = value.tensor.string_val[2]
                found[value.tag] = tf.io.decode_png(content)[..., 0].numpy()
    return found


def test_a_fit_that_is_cut_off_has_failed(tmp_path):
    board = km.callbacks.TensorBoard(tmp_path, hparams={"a": 1}, write_graph=False)
    board.set_model(km.SumRegressor())
    board.on_train_begin()
    board.on_train_end()
    (path,) = (tmp_path / "hparams").iterdir()
    assert bytes([api_pb2.STATUS_FAILURE]) in path.read_bytes()


def find_status(folder):
    """Returns how TensorBoard says that a fit has ended."""
    reader = EventAccumulator(str(folder / "hparams")).Reload()
    content = reader.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info.status


def test_a_fit_that_was_cut_off_and_resumed_has_ended_well(tmp_path):
    x, y = km.data.sums(num_samples=4, seed=0)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def fit(*callbacks):
        model = km.SumRegressor(units=())
        model.compile("sgd", mode="eager")
        board = km.callbacks.TensorBoard(tmp_path / "log", hparams={"a": 1}, write_graph=False)
        resume = km.callbacks.Resume(tmp_path / "progress")
        try:
            model.fit(x, y, epochs=2, verbose=0, callbacks=[board, resume, *callbacks])
        except KeyboardInterrupt:
            board.on_train_end()
        return find_status(tmp_path / "log")

    assert fit(Stop()) == api_pb2.STATUS_FAILURE
    assert fit() == api_pb2.STATUS_SUCCESS
    assert fit() == api_pb2.STATUS_SUCCESS  # There is nothing left to run.


def test_without_settings_or_images_only_keras_writes(tmp_path):
    board = km.callbacks.TensorBoard(tmp_path, write_graph=False)
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager")
    model.fit(*km.data.sums(4), verbose=0, callbacks=[board])
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    board = km.callbacks.TensorBoard(tmp_path / "events", hparams={"a": 1}, write_graph=False)
    model = TwoRates()
    model.compile(mode="eager")
    board.set_model(model)
    board._is_chief = False  # As on a second worker.
    board.on_train_begin()
    board.on_epoch_end(0, {"loss": 1.0})
    board.on_train_end({})
    assert not (tmp_path / "events").exists()


def test_images_need_a_model_with_latents(tmp_path):
    board = km.callbacks.TensorBoard(tmp_path, num_images=2, write_graph=False)
    board.set_model(km.SumRegressor())
    with pytest.raises(TypeError, match="`num_images` needs a model that makes images from"):
        board.on_train_begin()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hparams": [1]}, TypeError, "`hparams` must be a dict of settings, or None."),
        ({"num_images": 0}, ValueError, "`num_images` must be a positive integer."),
        ({"seed": -1}, ValueError, "`seed` must be a non-negative integer."),
    ],
)
def test_wrong_arguments_are_named(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        km.callbacks.TensorBoard(tmp_path, **arguments)
