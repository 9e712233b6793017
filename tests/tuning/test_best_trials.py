"""Tests of what a finished search gives: the table of its best trials, the best model's file."""

import keras
import keras_tuner
import pytest
import rich.console
from tiny_searches import (
    NUM_FEATURES,
    list_scores,
    list_statuses,
    make_space,
    make_sum_tuner,
    make_sums,
    make_tuner,
    search_sums,
)

import kerasmodes as km


def render(table):
    console = rich.console.Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_divergence_fails_one_trial_and_is_last_in_the_table(tmp_path):
    tuner = make_sum_tuner(tmp_path, learning_rate=[1e-3, 1e30], batch_size=8)
    tuner.search(**make_sums())
    assert sorted(list_statuses(tuner)) == ["COMPLETED", "FAILED"]
    assert "Training diverged" in tuner.oracle.get_best_trials(2)[1].message
    last_row = render(km.tuning.best_trials_table(tuner)).strip().split("\n")[-1]
    assert "failed" in last_row and "1e+30" in last_row


def test_the_table_lists_the_best_trials_first(hyperband_search):
    table = km.tuning.best_trials_table(hyperband_search, num_trials=3)
    headings = [column.header.replace("\n", "") for column in table.columns]
    assert headings[:4] == ["trial", "val_loss", "batch_size", "hidden_layers"]
    assert "epochs" in headings and "tuner/bracket" not in headings
    listed = list(table.columns[1].cells)
    assert listed == [f"{score:.5g}" for score in sorted(list_scores(hyperband_search))[:3]]


def test_the_saved_model_is_the_best_with_its_optimizer(random_search, tmp_path):
    path = tmp_path / "new" / "best.keras"
    km.tuning.save_best_model(random_search, path)
    model = keras.models.load_model(path)
    x, y = km.data.sums(16, NUM_FEATURES, seed=0)
    assert model.evaluate(x[12:], y[12:], verbose=0) == pytest.approx(list_scores(random_search)[0])
    assert int(model.optimizer.iterations) > 0
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_the_saved_model_keeps_its_mode(mode, tmp_path):
    tuner = search_sums(tmp_path / "search", mode=mode, max_trials=1, epochs=1)
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    assert keras.models.load_model(tmp_path / "best.keras").mode == mode


def test_a_search_without_a_finished_trial_has_no_model(tmp_path):
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES)
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel, tmp_path, make_space())
    with pytest.raises(RuntimeError, match="`tuner` must have a finished trial"):
        km.tuning.save_best_model(tuner, tmp_path / "best.keras")


def test_another_file_name_is_refused(random_search, tmp_path):
    with pytest.raises(ValueError, match="`path` must end in .keras. Received: path='.*best.h5'"):
        km.tuning.save_best_model(random_search, tmp_path / "best.h5")
