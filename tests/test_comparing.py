"""Tests of `km.compare_modes`: the rows, the files, and what is refused."""

import contextlib
import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerasmodes as km

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


def make_regressor():
    return km.SumRegressor(units=())


def make_stock_model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])


def compare(build_model=make_regressor, data=(X, Y), **arguments):
    return km.compare_modes(
        build_model,
        data,
        **{"steps": 3, "repeats": 1, "batch_size": 2, "optimizer": "sgd", **arguments},
    )


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The rows of all modes, their folder, and what was printed."""
    folder = tmp_path_factory.mktemp("modes") / "new" / "[b] :x: folder"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        rows = compare(directory=folder)
    return rows, folder, printed.getvalue()


@pytest.mark.slow
def test_every_mode_gets_a_row_with_equal_losses(compared):
    rows, *_ = compared
    assert [row["mode"] for row in rows] == ["keras", "eager", "graph", "xla", "fused"]
    for row in rows:
        assert row["loss"] == pytest.approx(rows[0]["loss"], rel=1e-5)
        assert row["difference_from_graph"] == pytest.approx(0, abs=1e-5)
        assert row["microseconds_per_step"] > 0
        assert row["compile_seconds"] >= 0
        assert row["logs"]["loss"] == row["loss"]
    assert rows[0]["times_faster"] == 1


@pytest.mark.slow
def test_the_loss_is_that_of_the_first_steps():
    (row,) = compare(modes=("graph",), steps=3, repeats=2)
    keras.utils.set_random_seed(0)
    model = make_regressor()
    model.compile("sgd", mode="graph")
    history = model.fit(X[:6], Y[:6], batch_size=2, shuffle=False, verbose=0).history
    assert row["loss"] == pytest.approx(history["loss"][0], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("modes.json", "file"), ("modes.png", "file"), ("modes_events", "folder")],
)
def test_files_that_cannot_be_written_are_noticed_before_the_timing(tmp_path, name, expected):
    if expected == "file":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()

    def build_model():
        pytest.fail("It was built.")

    with pytest.raises(ValueError, match=f"`directory` must be .* in which {name} is a {expected}"):
        compare(build_model, modes=("eager",), directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_cannot_be_compared_is_none():
    (row,) = compare(modes=("eager",))
    assert row["times_faster"] is None
    assert row["difference_from_graph"] is None


def test_a_model_without_modes_can_be_compared():
    rows = compare(make_stock_model, modes=("keras", "graph"), optimizer="sgd", loss="mse")
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)


def test_a_model_with_losses_of_other_names_can_be_compared():
    class Dueling(km.Model):
        def __init__(self):
            super().__init__()
            self.weight = self.add_weight(shape=(), initializer="ones")

        def train_step(self, data):
            self.weight.assign_add(tf.reduce_mean(data))
            return {"accuracy": 0.5, "g_loss": self.weight, "d_loss": -self.weight}

    rows = compare(
        Dueling, tf.data.Dataset.from_tensor_slices(X).batch(2), modes=("graph", "eager")
    )
    assert rows[0]["loss"] in (rows[0]["logs"]["g_loss"], rows[0]["logs"]["d_loss"])
    assert rows[1]["difference_from_graph"] < 1e-5


def test_a_model_without_a_loss_is_refused():
    class Lossless(km.Model):
        def train_step(self, data):
            return {"error": 1.0}

    with pytest.raises(
        ValueError, match=r"must return a log with 'loss' in its name. Received: \['error'\]"
    ):
        compare(Lossless, modes=("eager",))


@pytest.mark.slow
@pytest.mark.sweep
def test_a_loss_of_zero_has_no_relative_difference():
    rows = compare(modes=("graph", "eager"), loss=lambda y, y_pred: 0.0 * y_pred)
    assert rows[1]["loss"] == 0
    assert rows[1]["difference_from_graph"] is None


@pytest.mark.slow
class Batches(keras.utils.PyDataset):
    """Batches of 3, 3 and 2 examples, other ones each time."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        places = self.rng.integers(0, 8, 3 if index < 2 else 2)
        return X[places], Y[places]


@pytest.mark.parametrize("steps", [2, 3])
def test_batches_of_a_py_dataset_are_read_once_for_all_modes(steps):
    rows = compare(data=Batches(), modes=("graph", "eager"), steps=steps)
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-6)
    with pytest.raises(ValueError, match="at least steps=4 batches. Received: 3 batches"):
        compare(data=Batches(), steps=4)


def test_inputs_alone_and_examples_of_a_source_are_compared():
    def build():
        return km.with_modes(keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)]))

    source = km.data.from_source([(x, x) for x in X], batch_size=4)
    arguments = {"modes": ("graph", "eager"), "loss": "mse", "optimizer": "sgd", "steps": 2}
    rows = compare(build, source, **arguments)
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-6)

    class Repeater(km.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def train_step(self, x):
            with tf.GradientTape() as tape:
                loss = km.average_loss(tf.square(self.dense(x) - x))
            self.optimizer.apply(
                tape.gradient(loss, self.dense.trainable_variables), self.dense.trainable_variables
            )
            return {"loss": loss}

    rows = compare(Repeater, (X,), modes=("graph", "eager"), optimizer="sgd")
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-6)


def test_batches_of_a_data_set_are_the_same_in_every_mode():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(8).batch(2)
    rows = compare(data=data, modes=("graph", "eager"))
    assert rows[1]["difference_from_graph"] < 1e-5


@pytest.mark.slow
@pytest.mark.sweep
def test_arrays_are_repeated_to_fill_the_steps():
    rows = compare(data=(X[:3], Y[:3], np.ones(3)), modes=("graph", "eager"), steps=5)
    assert rows[1]["difference_from_graph"] < 1e-5


@pytest.mark.slow
def test_optimizers_and_metrics_are_not_shared_between_modes():
    optimizer = keras.optimizers.SGD(0.1)
    metrics = [keras.metrics.MeanAbsoluteError()]
    rows = compare(modes=("graph", "eager"), optimizer=optimizer, metrics=metrics)
    assert int(optimizer.iterations.numpy()) == 0
    assert rows[1]["difference_from_graph"] < 1e-5
    assert rows[1]["logs"]["mean_absolute_error"] > 0


@pytest.mark.slow
def test_table_picture_and_json_are_written(compared):
    rows, folder, printed = compared
    assert sorted(path.name for path in folder.iterdir()) == [
        *("modes.json", "modes.png", "modes_events")
    ]
    assert json.loads((folder / "modes.json").read_text()) == rows
    with Image.open(folder / "modes.png") as picture:
        assert picture.size[0] == 840
    assert "3 steps in each mode" in printed
    assert f"Written: {folder}/modes.png, " in printed


def test_without_a_directory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare(modes=("graph",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["steps", "repeats", "batch_size"])
@pytest.mark.parametrize("value", [0, 1.5])
def test_counts_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}="):
        compare(**{name: value})


@pytest.mark.parametrize("modes", [(), "graph"])
def test_modes_must_be_a_sequence(modes):
    with pytest.raises(ValueError, match="`modes` must be a sequence of modes"):
        compare(modes=modes)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="`modes` must be one of"):
        compare(modes=("grpah",))


@pytest.mark.parametrize("data", [X, (), [X, Y]])
def test_data_must_be_arrays_or_a_data_set(data):
    with pytest.raises(
        ValueError, match=r"`data` must be \(x,\), \(x, y\), \(x, y, sample_weight\)"
    ):
        compare(data=data)


def test_too_few_batches_are_an_error():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    with pytest.raises(ValueError, match="at least steps=3 batches. Received: 2 batches"):
        compare(data=data)


def test_the_function_must_return_a_model():
    with pytest.raises(TypeError, match="`build_model` must return a keras.Model. Received: int"):
        compare(lambda: 3)


def test_a_model_in_the_place_of_its_function_is_refused():
    with pytest.raises(TypeError, match="`build_model` must be a function without arguments"):
        km.compare_modes(km.SumRegressor(), km.data.sums(8, seed=0))


def test_a_function_that_returns_the_same_model_again_is_refused():
    model = km.SumRegressor(())
    with pytest.raises(ValueError, match="Received: the same SumRegressor twice"):
        km.compare_modes(
            lambda: model, km.data.sums(8, seed=0), modes=("eager", "graph"), steps=1, repeats=1
        )
