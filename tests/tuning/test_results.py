"""Tests of what a search gives: tables of its trials, the best model's file, runs of HParams."""

import csv

import keras
import keras_tuner
import numpy as np
import pytest
import rich.console
import tensorflow as tf
from formula_searches import search_formula
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
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
from kerasmodes.tuning import trials


def render(table, width=200):
    console = rich.console.Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.mark.slow
def test_divergence_fails_one_trial_and_is_last_in_the_table(tmp_path):
    tuner = make_sum_tuner(tmp_path, learning_rate=[1e-3, 1e30], batch_size=8)
    tuner.search(**make_sums())
    assert sorted(list_statuses(tuner)) == ["COMPLETED", "FAILED"]
    assert "numbers must be finite" in tuner.oracle.get_best_trials(2)[1].message
    failed = list(km.tuning.best_trials_table(tuner).columns[-1].cells)
    assert failed[0] == "failed" and "1e+30" in failed


def test_the_table_lists_the_best_trials_first(hyperband_search):
    table = km.tuning.best_trials_table(hyperband_search, num_trials=3)
    names, *trials = ([*column.cells] for column in table.columns)
    assert names[:3] == ["val_loss", "batch_size", "hidden_layers"]
    assert "epochs" in names and "tuner/bracket" not in names
    best = sorted(list_scores(hyperband_search))[:3]
    assert [cells[0] for cells in trials] == [f"{score:.5g}" for score in best]


def test_as_many_trials_are_listed_as_fit_the_terminal(tmp_path, monkeypatch):
    def score(hp):
        hp.Choice("discriminator_normalization", ["batch", "none"])
        return hp.Float("generator_learning_rate", 1e-4, 4e-3, sampling="log")

    tuner = search_formula(tmp_path, score, max_trials=10)
    for width, num_listed in ((80, 4), (200, 10), (20, 1)):
        monkeypatch.setenv("COLUMNS", str(width))
        table = km.tuning.best_trials_table(tuner)
        assert len(table.columns) == 1 + num_listed
        text = render(table, width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text  # What is too wide is folded, not cut.


@pytest.mark.slow
def test_the_saved_model_is_the_best_with_its_optimizer(hyperband_search, tmp_path):
    path = tmp_path / "new" / "best.keras"
    km.tuning.save_best_model(hyperband_search, path)
    model = keras.models.load_model(path)
    x, y = km.data.sums(16, NUM_FEATURES, seed=0)
    assert model.evaluate(x[12:], y[12:], verbose=0) == pytest.approx(
        list_scores(hyperband_search)[0]
    )
    assert (model.mode, int(model.optimizer.iterations) > 0) == ("eager", True)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.sweep
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


def test_another_file_name_is_refused(hyperband_search, tmp_path):
    with pytest.raises(ValueError, match="`path` must end in .keras. Received: path='.*best.h5'"):
        km.tuning.save_best_model(hyperband_search, tmp_path / "best.h5")


def read_rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_trial_is_a_row_in_the_order_of_the_starts(tmp_path):
    tuner = search_formula(tmp_path, max_trials=12, fails=(3,))
    # A resumed search finds its trials in the order of its files.
    tuner.oracle.trials = dict(reversed(tuner.oracle.trials.items()))
    km.tuning.save_trials(tuner, tmp_path / "new" / "trials.csv")
    rows = read_rows(tmp_path / "new" / "trials.csv")
    assert [row["trial"] for row in rows] == [f"{n:02d}" for n in range(12)]
    assert list(rows[0]) == [
        *("trial", "status", "score", "best_epoch", "seconds"),
        *("learning_rate", "shape", "depth", "width", "val_loss", "error"),
    ]
    trial = tuner.oracle.trials["05"]
    assert float(rows[5]["score"]) == float(rows[5]["val_loss"]) == trial.score
    assert float(rows[5]["learning_rate"]) == trial.hyperparameters["learning_rate"]
    assert rows[5]["error"] == ""
    assert rows[3]["status"] == "FAILED"
    assert rows[3]["error"] == "FailedTrialError: It diverged: loss=inf."
    assert rows[3]["score"] == rows[3]["best_epoch"] == rows[3]["val_loss"] == ""


def test_a_hyperparameter_whose_condition_is_not_met_is_empty(tmp_path):
    tuner = search_formula(tmp_path, max_trials=12)
    # keras-tuner may keep a value of a condition that is not met any more.
    shallow = [t for t in tuner.oracle.trials.values() if t.hyperparameters["depth"] == 1]
    shallow[0].hyperparameters.values["width"] = 8
    km.tuning.save_trials(tuner, tmp_path / "trials.csv")
    rows = read_rows(tmp_path / "trials.csv")
    assert {row["depth"] for row in rows} == {"1", "2", "3"}
    assert all((row["width"] == "") == (row["depth"] == "1") for row in rows)


def test_best_epochs_are_counted_as_fit_prints_them(hyperband_search, tmp_path):
    km.tuning.save_trials(hyperband_search, tmp_path / "trials.csv")
    rows = read_rows(tmp_path / "trials.csv")
    promoted = list(hyperband_search.oracle.trials.values())[-1]
    assert rows[-1]["tuner/initial_epoch"] == "1"
    assert int(rows[-1]["best_epoch"]) == promoted.best_step + 2
    assert int(rows[0]["best_epoch"]) == 1
    assert {"loss", "val_loss"} <= set(rows[0])


def test_a_hyperparameter_named_as_another_column_is_kept(tmp_path):
    def score(hp):
        return hp.Float("score", 0.0, 1.0) + hp.Float("val_loss", 0.0, 1.0)

    tuner = search_formula(tmp_path, score, max_trials=1)
    km.tuning.save_trials(tuner, tmp_path / "trials.csv")
    (row,) = read_rows(tmp_path / "trials.csv")
    parts = float(row["hyperparameter/score"]), float(row["hyperparameter/val_loss"])
    assert float(row["score"]) == sum(parts)


def test_a_file_stays_whole_if_writing_fails(tmp_path, monkeypatch):
    tuner = search_formula(tmp_path / "search", max_trials=2)
    km.tuning.save_trials(tuner, tmp_path / "trials.csv")
    before = (tmp_path / "trials.csv").read_bytes()
    monkeypatch.setattr(trials, "find_error", lambda trial: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        km.tuning.save_trials(tuner, tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_bytes() == before


def read_run(folder):
    """Returns hyperparameters, metrics and status of a run, which has one file of events."""
    (path,) = folder.glob("events.out.tfevents.*")
    values, metrics, status = {}, {}, None
    for event in event_file_loader.EventFileLoader(str(path)).Load():
        for summary in event.summary.value:
            content = summary.metadata.plugin_data.content
            if summary.tag == hparams_metadata.SESSION_START_INFO_TAG:
                info = hparams_metadata.parse_session_start_info_plugin_data(content)
                values = {n: getattr(v, v.WhichOneof("kind")) for n, v in info.hparams.items()}
            elif summary.tag == hparams_metadata.SESSION_END_INFO_TAG:
                info = hparams_metadata.parse_session_end_info_plugin_data(content)
                status = api_pb2.Status.Name(info.status)
            elif summary.tag != hparams_metadata.EXPERIMENT_TAG:
                metrics[summary.tag] = event.step, tf.make_ndarray(summary.tensor).item()
    return values, metrics, status


def test_each_trial_is_a_run_of_hparams(tmp_path):
    tuner = search_formula(tmp_path / "search", max_trials=12, fails=(3,))
    km.tuning.write_hparams(tuner, tmp_path / "logs")
    for trial in tuner.oracle.trials.values():
        values, metrics, status = read_run(tmp_path / "logs" / f"trial_{trial.trial_id}")
        assert values == trial.hyperparameters.values
        if trial.trial_id == "03":
            assert (metrics, status) == ({}, "STATUS_FAILURE")
        else:
            assert metrics == {"val_loss": (0, pytest.approx(trial.score, rel=1e-6))}
            assert status == "STATUS_SUCCESS"


def test_a_run_has_every_metric_at_the_best_epoch(hyperband_search, tmp_path):
    km.tuning.write_hparams(hyperband_search, tmp_path)
    trial = hyperband_search.oracle.trials["0"]
    _, metrics, _ = read_run(tmp_path / f"trial_{trial.trial_id}")
    assert {"loss", "val_loss"} <= set(metrics)
    assert metrics["val_loss"] == (trial.best_step, pytest.approx(trial.score, rel=1e-6))


def test_writing_again_replaces_only_what_was_written(tmp_path):
    tuner = search_formula(tmp_path / "search", max_trials=1)
    km.tuning.write_hparams(tuner, tmp_path / "logs")
    other = tmp_path / "logs" / "events.out.tfevents.1.others"
    other.touch()
    km.tuning.write_hparams(tuner, tmp_path / "logs")
    values, _, _ = read_run(tmp_path / "logs" / "trial_0")
    assert values == tuner.oracle.trials["0"].hyperparameters.values
    assert other.exists()


def build_sequential(hp):
    """Returns a model whose optimizer, and itself, are built by the first step."""
    model = km.with_modes(keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1)]))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-2)), "mse", mode="eager")
    return model


def build_functional(hp):
    inputs = keras.Input((NUM_FEATURES,))
    model = km.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-2)), "mse", mode="eager")
    return model


def build_stock(hp):
    inputs = keras.Input((NUM_FEATURES,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-2)), "mse")
    return model


def check_optimizer(path, num_steps):
    """Checks that a file has the steps of an Adam optimizer, and its moments of each weight."""
    model = keras.models.load_model(path)
    assert int(model.optimizer.iterations) == num_steps
    moments = [v for v in model.optimizer.variables if "momentum" in v.path or "velocity" in v.path]
    assert len(moments) == 2 * len(model.trainable_variables)
    assert all(np.any(np.asarray(moment) != 0) for moment in moments)


@pytest.mark.sweep  # Training that continues exactly needs such a state, below.
@pytest.mark.parametrize("build", [build_sequential, build_functional, build_stock])
def test_an_optimizer_that_build_does_not_build_keeps_its_state(build, tmp_path):
    arguments = {"max_trials": 1, "epochs": 2, "directory": tmp_path, "seed": 0}
    tuner = km.tuning.search(build, **arguments, **make_sums())
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    best_step = tuner.oracle.get_best_trials(1)[0].best_step
    check_optimizer(tmp_path / "best.keras", num_steps=best_step + 1)  # an epoch has one batch
    assert int(tuner.get_best_models()[0].optimizer.iterations) == best_step + 1


# The best of `hyperband_search` may have one, too; the next has one that continues.
@pytest.mark.sweep
@pytest.mark.slow
def test_an_optimizer_that_build_builds_keeps_its_state(tmp_path):
    space = make_space(optimizer="adam", hidden_layers=1, batch_size=8)
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel, tmp_path, space)
    tuner.oracle.max_trials = 1
    tuner.search(**make_sums())
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    check_optimizer(tmp_path / "best.keras", num_steps=2)  # an epoch has two batches


@pytest.mark.slow
def test_training_continues_from_the_saved_model_exactly(tmp_path):
    arguments = {"max_trials": 1, "directory": tmp_path, "seed": 0, "epochs": 2}
    tuner = km.tuning.search(build_functional, **arguments, **make_sums())
    km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    trial = tuner.oracle.trials["0"]
    assert trial.best_step == 1
    data = {**make_sums(), "shuffle": False}
    continued = keras.models.load_model(tmp_path / "best.keras")
    continued.fit(**data, epochs=1)
    keras.utils.set_random_seed(0)
    model = build_functional(trial.hyperparameters)
    model.fit(**data, epochs=3)
    np.testing.assert_allclose(continued(data["x"]), model(data["x"]), rtol=1e-5)


class Pair(km.Model):
    """A model with a second optimizer that its first step builds."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = keras.layers.Dense(1), keras.layers.Dense(1)
        self.second_optimizer = keras.optimizers.Adam()

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x):
        return self.first(x) + self.second(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients[:2], self.trainable_variables[:2])
        self.second_optimizer.apply(gradients[2:], self.trainable_variables[2:])
        return {"loss": loss}


@pytest.mark.slow
def test_an_optimizer_that_cannot_be_built_is_an_error(tmp_path):
    def build(hp):
        model = Pair()
        model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-2)), "mse", mode="eager")
        return model

    arguments = {"objective": "loss", "max_trials": 1, "epochs": 1, "directory": tmp_path}
    tuner = km.tuning.search(build, **arguments, **{**make_sums(), "validation_split": 0.0})
    with pytest.raises(RuntimeError, match=r"returns a model with built optimizers.*Pair.*second_"):
        km.tuning.save_best_model(tuner, tmp_path / "best.keras")
    assert not (tmp_path / "best.keras").exists()


@pytest.mark.slow
def test_state_that_does_not_fit_the_optimizer_is_an_error(tmp_path):
    is_searching = True

    def build(hp):
        model = build_functional(hp)
        if not is_searching:
            model.optimizer = keras.optimizers.SGD()
        return model

    arguments = {"max_trials": 1, "epochs": 1, "directory": tmp_path}
    tuner = km.tuning.search(build, **arguments, **make_sums())
    is_searching = False
    with pytest.raises(RuntimeError, match="(?s)cannot be restored.*Skipping variable loading"):
        km.tuning.save_best_model(tuner, tmp_path / "best.keras")
