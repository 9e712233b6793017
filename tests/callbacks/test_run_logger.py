"""Tests of when a run begins, what is logged of it, and how it is continued."""

import functools

import keras
import pytest

import kerasmodes as km
from kerasmodes.callbacks import run_logger

X, Y = km.data.sums(num_samples=8, num_features=3, seed=1)


class Notes(run_logger.RunLogger):
    """Keeps runs in a dictionary."""

    def __init__(self, runs, files=(), save_model=False, hparams=None):
        super().__init__(hparams, files, save_model)
        self.runs = runs

    def _open_run(self, run_id):
        run_id = run_id or f"run {len(self.runs)}"
        self.runs.setdefault(run_id, {"epochs": {}, "files": [], "ends": []})
        return run_id

    def _log_epoch(self, epoch, numbers):
        self.runs[self._run_id]["epochs"][epoch] = numbers

    def _log_file(self, path):
        self.runs[self._run_id]["files"].append(path.name)

    def _close_run(self, has_ended):
        self.runs[self._run_id]["ends"].append(has_ended)


@functools.cache
def make_model():
    """Returns one model for all fits, and its weights before the first."""
    keras.utils.set_random_seed(0)
    model = km.SumRegressor(units=())
    model.compile(keras.optimizers.SGD(0.125), mode="eager")
    model.build((None, 3))
    return model, model.get_weights()


def fit(*callbacks, epochs=2, **arguments):
    model, start = make_model()
    model.set_weights(start)
    model.optimizer.iterations.assign(0)
    fixed = {"batch_size": 4, "shuffle": False, "verbose": 0}
    return model.fit(X, Y, epochs=epochs, callbacks=[*callbacks], **fixed, **arguments)


def test_an_epoch_is_its_logs_and_the_learning_rate():
    runs = {}
    history = fit(Notes(runs)).history
    (run,) = runs.values()
    assert [run["epochs"][n]["loss"] for n in (0, 1)] == history["loss"]
    assert run["epochs"][1]["learning_rate"] == 0.125
    assert run["ends"] == [True]


def test_files_that_are_there_and_the_model_are_logged_at_the_end(tmp_path):
    (tmp_path / "notes.txt").touch()
    runs = {}
    fit(Notes(runs, [tmp_path / "notes.txt", tmp_path / "missing.txt"], save_model=True))
    assert runs["run 0"]["files"] == ["notes.txt", "model.keras"]


def test_each_fit_is_a_run_and_one_without_steps_is_none():
    runs = {}
    notes = Notes(runs)
    fit(notes, epochs=0)
    assert runs == {}
    fit(notes), fit(notes)
    assert list(runs) == ["run 0", "run 1"]


class Stop(keras.callbacks.Callback):
    """Ends a fit as an error would."""

    def __init__(self, epoch, step):
        super().__init__()
        self.place, self.epoch = (epoch, step), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            raise InterruptedError("stop")


@pytest.mark.parametrize("every", ["epoch", pytest.param(1, marks=pytest.mark.sweep)])
def test_a_fit_that_resumes_continues_its_run(tmp_path, every):
    runs = {}
    with pytest.raises(InterruptedError):
        fit(Notes(runs), km.callbacks.Resume(tmp_path, every=every), Stop(1, 1), epochs=3)
    assert list(runs["run 0"]["epochs"]) == [0]
    fit(Notes(runs), km.callbacks.Resume(tmp_path, every=every), epochs=3)
    expected = {}
    fit(Notes(expected), epochs=3)
    assert list(runs) == ["run 0"]
    assert runs["run 0"]["epochs"] == expected["run 0"]["epochs"]
    fit(Notes(runs), km.callbacks.Resume(tmp_path, every=every), epochs=3)  # It has ended.
    assert runs["run 0"]["ends"] == [True]


def test_a_run_of_a_fit_that_broke_off_ends_with_the_next_fit():
    runs = {}
    notes = Notes(runs)
    with pytest.raises(InterruptedError):
        fit(notes, Stop(1, 0))
    assert runs["run 0"]["ends"] == []
    fit(notes)
    assert (runs["run 0"]["ends"], runs["run 1"]["ends"]) == ([False], [True])


def test_only_the_chief_logs(monkeypatch):
    monkeypatch.setattr(run_logger.replicas, "is_chief", lambda strategy: False)
    runs = {}
    fit(Notes(runs))
    assert runs == {}


def test_a_trial_run_logs_nothing():
    model = km.SumRegressor(units=())
    model.compile("sgd", mode="eager")
    km.trial_run(model, X, Y, callbacks=[km.callbacks.MLflow("http://127.0.0.1:9")])


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "no_such_package").mkdir()  # Python takes it for a package without a file.
    message = "`Mine` must have no_such_package installed.* Run: pip install no_such_package"
    with pytest.raises(RuntimeError, match=message):
        run_logger.check_package("no_such_package", "Mine")
    run_logger.check_package("keras", "Mine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hparams": [1]}, "`hparams` must be a dict of settings, or None. Received: hparams="),
        ({"files": "samples"}, "`files` must be a list of paths. Received: files='samples'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        Notes({}, **arguments)


def test_a_run_begins_before_the_first_step_is_timed():
    begun, runs = [], {}
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: begun.append(list(runs))
    )
    fit(look, Notes(runs), epochs=1)
    assert begun[0] == ["run 0"]


@pytest.mark.slow
def test_a_model_of_keras_is_logged_too():
    runs = {}
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X, Y, verbose=0, callbacks=[Notes(runs)])
    assert list(runs["run 0"]["epochs"]) == [0]
