"""Tests of what W&B keeps of a fit on the disk, read back from its file."""

import functools
import json
import pathlib
import struct

import keras
import pytest

import kerasmodes as km

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


@functools.cache
def make_model():
    """Returns one model for all fits, and its weights before the first."""
    keras.utils.set_random_seed(0)
    model = km.SumRegressor(units=())
    model.compile(keras.optimizers.SGD(0.125), mode="eager")
    model.build((None, 3))
    return model, model.get_weights()


def fit(*callbacks, epochs=2):
    model, start = make_model()
    model.set_weights(start)
    model.optimizer.iterations.assign(0)
    fixed = {"batch_size": 4, "shuffle": False, "verbose": 0}
    return model.fit(X, Y, epochs=epochs, callbacks=[*callbacks], **fixed).history["loss"]


HEADER, BLOCK = 7, 32_768  # bytes, of the file and of LevelDB's log format, which it has


def read_run(folder):
    """Returns the records of an offline run's file: wandb has no reader for programs."""
    from wandb.proto import wandb_internal_pb2

    (path,) = pathlib.Path(folder).glob("*.wandb")
    content, place, data, records = path.read_bytes(), HEADER, b"", []
    while place + HEADER <= len(content):
        _, size, kind = struct.unpack_from("<IHB", content, place)
        data += content[place + HEADER : place + HEADER + size]
        place += HEADER + size
        if kind in (1, 4):  # whole, or the last part
            records.append(wandb_internal_pb2.Record.FromString(data))
            data = b""
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
    return records


def find_rows(records):
    """Returns the logged numbers of each step."""
    rows = {}
    for record in records:
        if record.HasField("history"):
            items = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            rows[items["_step"]] = items
    return rows


def find_folders(tmp_path):
    return sorted((tmp_path / "wandb").glob("offline-run-*"))


@pytest.mark.slow
@pytest.mark.workers
def test_a_resumed_fit_is_one_run_with_settings_numbers_and_files(tmp_path):
    import wandb  # It takes seconds.

    (tmp_path / "notes.txt").write_text("2")

    def make():
        return km.callbacks.WandB(
            hparams={"batch_size": 4}, files=[tmp_path / "notes.txt"], dir=tmp_path, project="mine"
        )

    fit(make(), km.callbacks.Resume(tmp_path / "progress"), epochs=1)
    losses = fit(make(), km.callbacks.Resume(tmp_path / "progress"), epochs=3)
    wandb.teardown()  # Its process writes the files; a fit does not wait for the disk.
    runs = [read_run(folder) for folder in find_folders(tmp_path)]
    assert [list(find_rows(records)) for records in runs] == [[0], [1, 2]]
    rows = find_rows(runs[0]) | find_rows(runs[1])
    assert [rows[epoch]["loss"] for epoch in range(3)] == pytest.approx(losses)
    assert rows[2]["learning_rate"] == 0.125
    starts = [next(r.run for r in records if r.HasField("run")) for records in runs]
    assert starts[0].run_id == starts[1].run_id
    assert {one.key: one.value_json for one in starts[0].config.update}["batch_size"] == "4"
    names = [r.artifact.name for r in runs[1] if r.HasField("artifact")]
    assert names == [f"{starts[0].run_id}-notes.txt", f"{starts[0].run_id}-model.keras"]
    assert [r.exit.exit_code for r in runs[1] if r.HasField("exit")] == [0]


def test_another_mode_is_refused():
    with pytest.raises(ValueError, match="`mode` must be one of 'offline', 'online'. Received"):
        km.callbacks.WandB("off")
