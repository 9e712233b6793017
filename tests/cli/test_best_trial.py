"""Tests of a best trial's `config.yaml`: `train` repeats the trial with its numbers."""

import csv
import json

import keras
import numpy as np
import pytest

from kerasmodes import cli
from kerasmodes.cli import config_files

SUM = ["tune", "sum", "--num-samples=64", "--mode=graph", "--seed=3", "--units=8,16"]
GAN = ["tune", "msggan", "--split=train[:40]", "--test-split=test[:32]", "--num-images=32"]
GAN += ["--num-scales=1,2", "--filters=2,3", "--latent-dims=2,3", "--batch-sizes=8,12"]
GAN += ["--penalties=r1,none", "--mode=eager", "--seed=3", "--epochs=2"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search_and_repeat(words, folder, capsys):
    """Returns the score of the best trial, and the values of the objective in its repetition."""
    assert cli.main(words) == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    command = shown.removeprefix("The best trial again: kerasmodes ").split()
    assert cli.main([*command, "--run=run"]) == 0
    states = [json.loads(path.read_text()) for path in folder.glob("tuning/*/trial_*/trial.json")]
    score = min(one["score"] for one in states if one["status"] == "COMPLETED")
    objective = "val_frechet" if "msggan" in words else "val_loss"
    with open("run/history.csv", newline="") as file:
        return score, [float(row[objective]) for row in csv.DictReader(file)]


def assert_same_model(one, other):
    pairs = zip(
        *(keras.models.load_model(path).get_weights() for path in (one, other)), strict=True
    )
    for weights, expected in pairs:
        np.testing.assert_array_equal(weights, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["--max-trials=2", "--epochs=2"], ["--tuner=hyperband", "--max-trials=4", "--epochs=3"]],
)
def test_train_repeats_the_best_trial_of_sums(words, own_folder, capsys):
    score, values = search_and_repeat([*SUM, *words], own_folder, capsys)
    assert min(values) == score
    if values[-1] == score:
        assert_same_model("run/model.keras", "tuning/best.keras")
    epoch = values.index(score) + 1
    note = (own_folder / "tuning" / "config.yaml").read_text().splitlines()[1]
    assert note.endswith(f"val_loss {score:.5g}, in epoch {epoch}, whose model is best.keras.")


@pytest.mark.slow
def test_train_repeats_the_best_trial_of_a_gan(own_folder, capsys):
    score, values = search_and_repeat([*GAN, "--max-trials=2"], own_folder, capsys)
    assert min(values) == score


@pytest.mark.slow
def test_the_config_of_a_mean_says_so(own_folder):
    words = ["--max-trials=1", "--epochs=1", "--executions-per-trial=2", "--batch-sizes=8"]
    assert cli.main([*SUM, *words]) == 0
    text = (own_folder / "tuning" / "config.yaml").read_text()
    assert ", the mean of 2 runs; this is the first of them." in text.splitlines()[1]
    settings = config_files.read_settings("tuning/config.yaml")
    assert (settings["batch_size"], settings["model"], settings["seed"]) == (8, "sum", 3)
