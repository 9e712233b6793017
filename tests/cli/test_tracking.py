"""Tests of `--mlflow` and `--wandb`, read back by MLflow's client."""

import importlib.util

import numpy as np
import pytest

from kerasmodes import cli
from kerasmodes.callbacks import run_logger
from kerasmodes.cli import run_folders

SUM = ["train", "sum", "--num-samples=32", "--batch-size=8", "--seed=1", "--mode=eager"]
SUM = [*SUM, "--optimizer=sgd"]


def find_runs(uri):
    import mlflow  # Here: it takes long, and each process collects all files.

    client = mlflow.MlflowClient(str(uri))
    return client, client.search_runs(["0"])


@pytest.mark.slow
@pytest.mark.sweep
def test_a_run_and_what_resumes_it_are_one_run_of_mlflow(tmp_path, monkeypatch, file_store):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "store")
    words = [*SUM, "--run=runs/mine", "--resume", "--mlflow"]
    assert cli.main([*words, "--epochs=1"]) == 0
    assert cli.main([*words, "--epochs=3"]) == 0
    client, (run,) = find_runs("store")
    assert (run.info.run_name, run.info.status) == ("mine", "FINISHED")
    config = run_folders.read_config("runs/mine")
    assert run.data.params == {name: str(v) for name, v in {**config, "epochs": 1}.items()}
    history = np.genfromtxt("runs/mine/history.csv", delimiter=",", names=True)
    points = client.get_metric_history(run.info.run_id, "val_loss")
    assert [point.step for point in points] == [0, 1, 2]
    np.testing.assert_allclose([p.value for p in points], history["val_loss"], rtol=1e-6)
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert names == {"config.yaml", "history.csv", "losses.png", "model.keras", "run.json"}


@pytest.mark.slow
def test_a_run_that_is_interrupted_has_failed_and_keeps_its_model(
    tmp_path, monkeypatch, file_store
):

    def interrupt(callback, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr("kerasmodes.callbacks.LossCurves.on_epoch_end", interrupt)
    words = [f"--run={tmp_path / 'run'}", f"--mlflow={tmp_path / 'store'}"]
    assert cli.main([*SUM, *words]) == 130
    client, (run,) = find_runs(tmp_path / "store")
    assert run.info.status == "FAILED"
    assert "model.keras" in {one.path for one in client.list_artifacts(run.info.run_id)}


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_package_is_named_before_training(name, tmp_path, monkeypatch, capsys):
    find_spec = importlib.util.find_spec

    def find_others(wanted, *args):  # What is imported meanwhile asks for itself.
        return None if wanted == name else find_spec(wanted, *args)

    monkeypatch.setattr(run_logger.importlib.util, "find_spec", find_others)
    assert cli.main([*SUM, f"--run={tmp_path / 'run'}", f"--{name}"]) == 1
    found = capsys.readouterr().err
    assert f"Run: pip install {name}" in found
    assert (len(found.splitlines()), list(tmp_path.iterdir())) == (1, [])


def test_a_mode_that_wandb_does_not_have_is_refused(tmp_path, capsys):
    assert cli.main([*SUM, f"--run={tmp_path / 'run'}", "--wandb=off"]) == 2
    assert "--wandb: invalid {offline,online} value: 'off'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_one_line_and_leaves_no_folder(
    tmp_path, monkeypatch, capsys, closed_address
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert cli.main([*SUM, f"--mlflow={closed_address}"]) == 1
    found = capsys.readouterr().err
    assert f"store of MLflow that can be used. Received: --mlflow='{closed_address}'" in found
    assert (len(found.splitlines()), list(tmp_path.iterdir())) == (1, [])
