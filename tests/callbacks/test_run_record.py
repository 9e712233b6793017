"""Tests of the record of a run: what it says of the epochs, the devices and the end."""

import functools
import json

import keras
import pytest

import kerasmodes as km

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


@functools.cache
def make_model():
    """Returns one model for all fits: what it has learnt before does not matter here."""
    model = km.SumRegressor(units=())
    model.compile(keras.optimizers.SGD(0.125), mode="eager")
    return model


def train(path, epochs=2, callbacks=(), **arguments):
    """Fits a small model and returns what the file says."""
    watchers = [*callbacks, km.callbacks.RunRecord(path)]
    make_model().fit(X, Y, batch_size=4, epochs=epochs, verbose=0, callbacks=watchers, **arguments)
    return read(path)


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """What the file says of a run of two epochs."""
    return train(tmp_path_factory.mktemp("record") / "new" / "run.json")


def test_each_epoch_has_its_time_its_steps_and_its_rates(record):
    assert [row["epoch"] for row in record["epochs"]] == [0, 1]
    for row in record["epochs"]:
        assert row["steps"] == 2
        assert row["learning_rates"] == {"optimizer": 0.125}
        assert 0 < 2 * row["microseconds_per_step"] <= 1e6 * row["seconds"]


def test_it_says_how_the_run_really_ran(record):
    assert record["status"] == "finished"
    assert (record["mode"], record["strategy"], record["replicas"]) == ("eager", "single", 1)
    assert record["devices"] == ["CPU:0"]
    assert record["versions"]["kerasmodes"] == km.__version__
    assert record["versions"]["keras"] == keras.__version__
    assert (record["parameters"], record["planned_epochs"]) == (4, 2)


@pytest.mark.slow
def test_it_names_all_devices_of_a_strategy(tmp_path, two_replicas):
    with two_replicas.scope():
        model = km.SumRegressor(units=())
        model.build((None, 3))
        model.compile("sgd", mode="graph")
    record = km.callbacks.RunRecord(tmp_path / "run.json")
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[record])
    found = read(tmp_path / "run.json")
    assert (found["strategy"], found["replicas"]) == ("MirroredStrategy", 2)
    assert found["devices"] == ["CPU:0", "CPU:1"]


@pytest.mark.slow
def test_while_it_runs_it_says_so(tmp_path):
    path, found = tmp_path / "run.json", []
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: found.append(b))
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: found.append(read(path)["status"])
    )
    train(path, epochs=1, callbacks=[look, spy])
    assert found == [0, 1, "running"]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (FloatingPointError("NaN in 'loss'"), "stopped at a number that is not", "NaN in 'loss'"),
        (KeyboardInterrupt(), "interrupted", ""),
        (SystemExit(1), "terminated", ""),
        (OSError("disk full"), "ended by OSError", "disk full"),
    ],
)
def test_an_error_that_ends_the_run_is_noted(tmp_path, error, status, message):
    record = km.callbacks.RunRecord(tmp_path / "run.json")
    record.set_model(km.SumRegressor())
    record.on_train_begin()
    record.on_epoch_begin(0)
    record.end(error)
    record.on_train_end()
    found = read(tmp_path / "run.json")
    assert found["status"].startswith(status)
    assert found["message"] == message


@pytest.mark.slow
def test_a_fit_that_a_callback_has_stopped_says_so(tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    record = train(tmp_path / "run.json", epochs=9, callbacks=[stop])
    assert record["status"] == "stopped by a callback"
    assert len(record["epochs"]) < 9


@pytest.mark.slow
def test_a_resumed_fit_keeps_the_earlier_epochs(tmp_path):
    first = train(tmp_path / "run.json", epochs=3)
    second = train(tmp_path / "run.json", epochs=4, initial_epoch=2)
    assert [row["epoch"] for row in second["epochs"]] == [0, 1, 2, 3]
    assert second["epochs"][:2] == first["epochs"][:2]
    third = train(tmp_path / "run.json", epochs=1)
    assert [row["epoch"] for row in third["epochs"]] == [0]


@pytest.mark.slow
def test_a_fit_without_an_epoch_changes_nothing(tmp_path):
    train(tmp_path / "run.json", epochs=1)
    before = (tmp_path / "run.json").read_bytes()
    train(tmp_path / "run.json", epochs=1, initial_epoch=1)
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", ["{ half", "[" * 20_000])
def test_a_damaged_record_is_named(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match="`path` must be the record of a run, or none"):
        train(tmp_path / "run.json", epochs=2, initial_epoch=1)


def test_a_folder_is_no_file_of_a_record(tmp_path):
    with pytest.raises(ValueError, match="`path` must be the path of a file. Received: path="):
        km.callbacks.RunRecord(tmp_path)
