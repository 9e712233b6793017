"""Tests of the events of a fit that was stopped and resumed, read back by TensorBoard's reader."""

import functools

import keras
import pytest
import tensorflow as tf
from seeds import set_seed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kerasmodes as km
from kerasmodes.engine import event_files, model_state
from kerasmodes.engine.fit_watchers import FitWatcher

X, Y = km.data.sums(num_samples=20, num_features=3, seed=1)
BOARDS = {"Keras": keras.callbacks.TensorBoard, "kerasmodes": km.callbacks.TensorBoard}


class StoppedError(Exception):
    pass


class StopAt(keras.callbacks.Callback):
    """Raises after so many steps, with all that other callbacks have written by then."""

    def __init__(self, count):
        super().__init__()
        self.left = count

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise StoppedError


@functools.cache
def make_model():
    """Returns a model, and how it begins: a fit of another program."""
    set_seed(2)
    model = km.SumRegressor(units=())
    model.build((None, 3))
    model.compile("sgd", mode="eager")
    model.optimizer.build(model.trainable_variables)
    state = model_state.ModelState(model)
    return model, state, state.copy()


def fit(log_dir, board_class, *callbacks, epochs=2, **settings):
    model, state, start = make_model()
    state.restore(start)
    set_seed(2)
    board = board_class(str(log_dir), write_graph=False, **settings)
    # Five steps and one.
    data = {"x": X, "y": Y, "batch_size": 4, "validation_data": (X[:4], Y[:4])}
    model.fit(**data, epochs=epochs, verbose=0, callbacks=[board, *callbacks])


def stop(log_dir, board_class, count, *callbacks, **settings):
    with pytest.raises(StoppedError):
        fit(log_dir, board_class, *callbacks, StopAt(count), **settings)


def read_scalars(log_dir):
    """Returns pairs of step and value by folder and tag, as TensorBoard reads them."""
    found = {}
    for folder in log_dir.iterdir():
        reader = EventAccumulator(str(folder), {"tensors": 0}).Reload()
        for tag in reader.Tags()["tensors"]:
            pairs = [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in reader.Tensors(tag)]
            # Files that were made in one second are read in the order of their numbers' digits.
            found[folder.name, tag] = sorted(pairs)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Keras", pytest.param("kerasmodes", marks=pytest.mark.sweep)])
def test_a_resumed_fit_has_each_event_once(tmp_path, name):
    board, settings = BOARDS[name], {"update_freq": 1}  # What is written by epoch is there, too.
    expected, found, progress = (tmp_path / name for name in ("expected", "found", "progress"))
    fit(expected, board, **settings)
    # Stopped in the second epoch, after a checkpoint in the first; again before the next one.
    for count in (8, 3):
        stop(found, board, count, km.callbacks.Resume(progress, every=4), **settings)
    fit(found, board, km.callbacks.Resume(progress, every=4), **settings)
    assert read_scalars(found) == read_scalars(expected)


def test_events_are_on_the_disk_when_a_checkpoint_is(tmp_path):
    class ReadAfterCheckpoint(FitWatcher):
        def end_execution(self, logs):
            if self.model.optimizer.iterations == 3:
                found.extend(read_scalars(tmp_path / "log")["train", "batch_loss"])

    found, resume = [], km.callbacks.Resume(tmp_path / "progress", every=3)
    fit(tmp_path / "log", BOARDS["Keras"], resume, ReadAfterCheckpoint(), epochs=1, update_freq=1)
    assert [step for step, _ in found] == [1, 2, 3]


def test_the_events_in_another_folder_are_left_alone(tmp_path):
    stop(tmp_path / "one", BOARDS["Keras"], 7, km.callbacks.Resume(tmp_path / "progress"))
    fit(tmp_path / "other", BOARDS["Keras"], epochs=1)
    before = read_scalars(tmp_path / "other")
    fit(tmp_path / "other", BOARDS["Keras"], km.callbacks.Resume(tmp_path / "progress"), epochs=1)
    assert read_scalars(tmp_path / "other") == before


def test_a_file_of_states_names_no_file_elsewhere(tmp_path):
    elsewhere = tmp_path / "events.out.tfevents.1"
    elsewhere.write_text("mine")

    class Restore(keras.callbacks.Callback):
        def __init__(self, board):
            super().__init__()
            self.board = board

        def on_epoch_begin(self, epoch, logs=None):
            state = event_files.get_state(self.board)
            state["event_files"] |= {"train/../../events.out.tfevents.1": 0, str(elsewhere): 0}
            event_files.set_state(self.board, state | {"log_dir": "elsewhere"})

    board = keras.callbacks.TensorBoard(str(tmp_path / "log"), write_graph=False)
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager")
    model.fit(X, Y, verbose=0, callbacks=[board, Restore(board)])
    assert elsewhere.read_text() == "mine"
    assert board.log_dir == str(tmp_path / "log")


class TwoOptimizers(km.Model):
    """A model whose steps TensorBoard cannot tell by `model.optimizer`."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight((), "zeros", name="weight")

    def compile(self, **arguments):
        super().compile(optimizer=None, **arguments)
        self.fast = km.build_optimizer(keras.optimizers.SGD(0.5), self)
        self.slow = km.build_optimizer(keras.optimizers.SGD(0.25), self)

    def train_step(self, data):
        self.weight.assign_add(1.0)
        return {"loss": self.weight + 0.0}

    def test_step(self, data):
        return {"loss": self.weight + 0.0}


@pytest.mark.slow
def test_the_steps_of_several_optimizers_are_counted_on(tmp_path):
    def fit_two(log_dir, *callbacks):
        model = TwoOptimizers()
        model.compile(mode="eager")
        board = keras.callbacks.TensorBoard(str(log_dir), write_graph=False)
        data = {"x": X, "batch_size": 4, "validation_data": (X[:4],)}
        model.fit(**data, epochs=2, verbose=0, callbacks=[board, *callbacks])

    fit_two(tmp_path / "expected")
    with pytest.raises(StoppedError):
        fit_two(tmp_path / "found", StopAt(8), km.callbacks.Resume(tmp_path / "progress", every=4))
    fit_two(tmp_path / "found", km.callbacks.Resume(tmp_path / "progress", every=4))
    found, expected = (read_scalars(tmp_path / name) for name in ("found", "expected"))
    assert [step for step, _ in found["validation", "evaluation_loss_vs_iterations"]] == [5, 10]
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("Keras", marks=pytest.mark.sweep), "kerasmodes"])
def test_a_fit_stopped_before_its_first_checkpoint_leaves_no_event_twice(tmp_path, name):
    board, settings = BOARDS[name], {"update_freq": 1}
    expected, found, progress = (tmp_path / name for name in ("expected", "found", "progress"))
    for folder in (expected, found):  # Another fit was here before.
        fit(folder, board, epochs=1, **settings)
    fit(expected, board, **settings)
    stop(found, board, 3, km.callbacks.Resume(progress, every=4), **settings)
    fit(found, board, km.callbacks.Resume(progress, every=4), **settings)
    assert read_scalars(found) == read_scalars(expected)
    assert not (progress / "start.json").exists()


def test_a_fit_stopped_before_its_first_checkpoint_leaves_no_row_twice(tmp_path):
    def fit_with_log(*callbacks, count=100):
        log = keras.callbacks.CSVLogger(tmp_path / "rows.csv", append=True)
        model = km.SumRegressor(units=())
        model.compile("sgd", mode="eager")
        try:
            model.fit(X, Y, epochs=2, verbose=0, callbacks=[log, *callbacks, StopAt(count)])
        finally:
            log.csv_file.close()

    fit_with_log()
    resume = km.callbacks.Resume(tmp_path / "progress", every=9)
    with pytest.raises(StoppedError):
        fit_with_log(resume, count=2)
    fit_with_log(resume)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["epoch", "0", "1", "0", "1"]


def test_a_damaged_note_of_the_start_is_named(tmp_path):
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "start.json").write_text("{ half")
    with pytest.raises(ValueError, match=r"start.json must be whole. Received: .*. Remove it."):
        fit(tmp_path / "log", BOARDS["Keras"], km.callbacks.Resume(tmp_path / "progress"))
