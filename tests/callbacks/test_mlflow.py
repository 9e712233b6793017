"""Tests of what MLflow keeps of a fit, read back by its own client."""

import contextlib
import functools
import os
import warnings

import keras
import pytest

import kerasmodes as km
from kerasmodes.callbacks.mlflow import PATIENCE, _set_patience

pytestmark = pytest.mark.usefixtures("file_store")
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


def find_runs(uri, experiment="Default"):
    import mlflow  # Here: it takes long, and each process collects all files.

    client = mlflow.MlflowClient(str(uri))
    number = client.get_experiment_by_name(experiment).experiment_id
    return client, client.search_runs([number])


def find_losses(client, run):
    return [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, "loss")]


@pytest.mark.slow
def test_a_fit_is_a_run_with_settings_numbers_and_files(tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "one.txt").write_text("1")
    (tmp_path / "notes.txt").write_text("2")
    files = [tmp_path / "samples", tmp_path / "notes.txt"]
    log = km.callbacks.MLflow(
        tmp_path / "store", "mine", "first", hparams={"units": [20, 10], "seed": None}, files=files
    )
    losses = fit(log)
    client, (run,) = find_runs(tmp_path / "store", "mine")
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params == {"units": "[20, 10]", "seed": "None"}
    assert find_losses(client, run) == list(enumerate(losses))
    assert run.data.metrics["learning_rate"] == 0.125
    names = [one.path for one in client.list_artifacts(run.info.run_id)]
    assert sorted(names) == ["model.keras", "notes.txt", "samples"]
    path = client.download_artifacts(run.info.run_id, "model.keras", tmp_path)
    assert keras.models.load_model(path).built


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise InterruptedError("stop")


def test_a_resumed_fit_continues_its_run_with_each_epoch_once(tmp_path):
    def make():
        return km.callbacks.MLflow(tmp_path / "store", hparams={"epochs": 3}, save_model=False)

    resume = km.callbacks.Resume(tmp_path / "progress")
    with pytest.raises(InterruptedError):
        fit(make(), Stop(), resume, epochs=3)  # The second epoch is logged, but not kept.
    client, (run,) = find_runs(tmp_path / "store")
    assert (run.info.status, len(find_losses(client, run))) == ("RUNNING", 2)
    losses = fit(make(), km.callbacks.Resume(tmp_path / "progress"), epochs=3)
    client, (run,) = find_runs(tmp_path / "store")
    assert run.info.status == "FINISHED"
    assert find_losses(client, run) == list(enumerate(losses))


def test_a_fit_that_was_cut_off_has_failed(tmp_path):
    log = km.callbacks.MLflow(tmp_path, save_model=False)
    with pytest.raises(InterruptedError):
        fit(log, Stop())
    log.on_train_end()
    _, (run,) = find_runs(tmp_path)
    assert run.info.status == "FAILED"


def test_a_run_that_is_active_takes_the_fit_and_stays_active(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "store"))
    import mlflow

    with mlflow.start_run() as active:
        losses = fit(km.callbacks.MLflow(save_model=False))
        client, (run,) = find_runs(tmp_path / "store")
        assert (run.info.run_id, run.info.status) == (active.info.run_id, "RUNNING")
        assert find_losses(client, run) == list(enumerate(losses))


def test_a_store_that_cannot_be_used_is_named():
    with pytest.raises(RuntimeError, match="`uri` must be a store of MLflow that can be used"):
        fit(km.callbacks.MLflow("nothing://here"))


def test_a_server_that_does_not_answer_is_named(monkeypatch, closed_address):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    message = f"`uri` must be a store .* no answer from {closed_address}. To wait longer, set"
    with pytest.raises(RuntimeError, match=message):
        fit(km.callbacks.MLflow(closed_address))


class BreakStore:
    """Lets the store of a callback fail, as a server that does not answer does, for some calls."""

    def __init__(self, log, monkeypatch, address, count):
        self.log, self.address, self.count, self.num_calls = log, address, count, 0
        own = log._client.log_batch, log._client.get_run
        for function in own:
            monkeypatch.setattr(log._client, function.__name__, functools.partial(self, function))

    def __call__(self, function, *args, **kwargs):
        self.num_calls += 1
        if self.num_calls <= self.count:
            import mlflow  # As above.

            mlflow.MlflowClient(self.address).get_run("1")
        return function(*args, **kwargs)


class BreakAfterFirst(keras.callbacks.Callback):
    def __init__(self, *args):
        super().__init__()
        self.args = args

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.store = BreakStore(*self.args)


@contextlib.contextmanager
def record_warnings():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        yield told


def test_a_server_that_stops_answering_gets_all_numbers_later(
    tmp_path, monkeypatch, closed_address
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("kerasmodes.callbacks.mlflow.WAITING_SHARE", 1e9)  # It tries each time.
    log = km.callbacks.MLflow(tmp_path / "store", save_model=False)
    with record_warnings() as told:
        losses = fit(log, BreakAfterFirst(log, monkeypatch, closed_address, 2), epochs=5)
    (words,) = [str(one.message) for one in told]
    assert f"no answer from {tmp_path}" in words
    assert told[0].filename.endswith("callbacks/mlflow.py")
    assert "The fit continues" in words
    client, (run,) = find_runs(tmp_path / "store")
    assert run.info.status == "FINISHED"
    assert find_losses(client, run) == list(enumerate(losses))


def test_a_server_that_never_answers_again_is_tried_rarely_and_ends_in_words(
    tmp_path, monkeypatch, closed_address
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("kerasmodes.callbacks.mlflow.WAITING_SHARE", 1e-9)
    log = km.callbacks.MLflow(tmp_path / "store")
    breaking = BreakAfterFirst(log, monkeypatch, closed_address, 1000)
    with record_warnings() as told:
        assert len(fit(log, breaking, epochs=5)) == 5
    assert breaking.store.num_calls == 2  # after the second epoch, and at the end
    assert [("lacks epochs 2 to 5, files" in str(one.message)) for one in told] == [False, True]
    _, (run,) = find_runs(tmp_path / "store")
    assert run.info.status == "RUNNING"


def test_a_server_is_waited_for_as_long_as_the_user_says(monkeypatch):
    retries, timeout = PATIENCE
    monkeypatch.setenv(retries, "5")
    monkeypatch.delenv(timeout, raising=False)
    with _set_patience():
        assert (os.environ[retries], os.environ[timeout]) == ("5", PATIENCE[timeout])
    assert (os.environ[retries], timeout in os.environ) == ("5", False)
