"""Tests of a best trial's `config.yaml`: `train` repeats the trial with its numbers."""

import csv
import json

import jsonargparse
import keras
import numpy as np
import pytest
from formula_searches import search_formula
from tiny_searches import make_space

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import best_trial

SUM = ["tune", "sum", "--num-samples=32", "--mode=eager", "--seed=3", "--batch-sizes=12,32"]
HYPERBAND = ["--tuner=hyperband", "--max-trials=4", "--epochs=3", "--optimizers=adam,rmsprop"]
RANDOM = ["--tuner=random", "--max-trials=2", "--epochs=2", "--optimizers=sgd"]
RANDOM += ["--hidden-layers=1", "--units=2,8"]
# The last images of an epoch fill no batch.
GAN = ["tune", "msggan", "--split=train[:20]", "--test-split=test[:16]", "--num-images=16"]
GAN += ["--num-scales=1", "--filters=2", "--latent-dims=2", "--batch-sizes=8", "--mode=eager"]
# The rates and the penalty fall fast enough to be seen.
GAN += ["--learning-rate-decay-steps=2,3", "--gamma-decay-steps=1,4", "--half-lives=20,40"]
GAN += ["--max-trials=1", "--epochs=2", "--seed=3"]


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
    "tuner",
    [
        pytest.param(RANDOM, id="random"),
        pytest.param(HYPERBAND, id="promoted", marks=pytest.mark.sweep),
    ],
)
def test_train_repeats_the_best_trial_of_sums_also_one_that_was_promoted(tuner, own_folder, capsys):
    score, values = search_and_repeat([*SUM, *tuner], own_folder, capsys)
    assert min(values) == score
    if values[-1] == score:
        assert_same_model("run/model.keras", "tuning/best.keras")
    epoch = values.index(score) + 1
    note = (own_folder / "tuning" / "config.yaml").read_text().splitlines()[1]
    assert note.endswith(f"val_loss {score:.5g}, in epoch {epoch}, whose model is best.keras.")


@pytest.mark.sweep
def test_train_repeats_the_best_trial_of_a_gan(own_folder, capsys):
    score, values = search_and_repeat(GAN, own_folder, capsys)
    assert min(values) == score
    if values[-1] == score:
        assert_same_model("run/model.keras", "tuning/best.keras")


def test_a_fall_is_described_by_the_flags_of_train():
    flags = {"learning_rate_decay_steps": 700, "penalty_gamma_decay_steps": 900}
    flags |= {"generator_learning_rate": 2e-3, "penalty_gamma": 0.5}
    drawn = {name.removeprefix("penalty_"): value for name, value in flags.items()}
    space = make_space(**drawn, generator_filters=2, discriminator_filters=2)
    gan = km.tuning.MSGGANHyperModel((4, 4, 1), 1).build(space)
    names = ("data", "split", "data_dir", "idx_dir", "num_images", "test_split", "every")
    found = best_trial._describe_msggan(jsonargparse.Namespace(dict.fromkeys(names)), gan)
    assert {name: found[name] for name in flags} == flags
    adam = {"class_name": "Adam", "config": {"beta_1": 0.0, "beta_2": 0.99}}
    assert found["generator_optimizer"] == found["discriminator_optimizer"] == adam


def test_the_note_of_a_mean_says_so(tmp_path):
    tuner = search_formula(tmp_path, max_trials=1, executions_per_trial=2)
    note = best_trial._describe_trial(tuner, tuner.oracle.trials["0"])
    assert note.endswith(", the mean of 2 runs; this is the first of them.")


def test_a_gan_without_a_penalty_is_described_as_one():
    space = make_space(penalty="none", generator_filters=2, discriminator_filters=2)
    hypermodel = km.tuning.MSGGANHyperModel((4, 4, 1), 1, penalties=("r1", "none"))
    assert best_trial._describe_penalty(hypermodel.build(space).penalties) == {"penalties": None}
