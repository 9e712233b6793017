"""Tests of `measure_importance`: it finds what matters, and says when it cannot tell."""

import random

import numpy as np
import pytest
from formula_searches import search_formula

import kerasmodes as km
from kerasmodes.tuning import importance


@pytest.fixture(autouse=True)
def _small_forest(monkeypatch):
    monkeypatch.setattr(importance, "NUM_TREES", 8)


def score_sum(hp):
    """Returns a score that one number and one choice decide; the rest is for nothing."""
    choice = hp.Choice("choice", ["a", "b", "c"])
    hp.Float("nothing", 0.0, 1.0)
    hp.Fixed("fixed", 3)
    return 2 * hp.Float("number", 0.0, 1.0) + (1.0 if choice == "b" else 0.0)


@pytest.mark.slow
def test_what_decides_the_objective_is_most_important(tmp_path):
    measured, r_squared = km.tuning.measure_importance(
        search_formula(tmp_path, score_sum, max_trials=30, fails=(4,))
    )
    assert list(measured)[:2] == ["number", "choice"]
    assert set(measured) == {"number", "choice", "nothing"}
    assert measured["number"][0] > 4 * measured["number"][1] > 0
    assert abs(measured["nothing"][0]) < 0.1 < measured["choice"][0]
    assert 0.6 < r_squared < 1


@pytest.mark.slow
def test_an_objective_of_many_decades_is_explained_by_its_logarithm(tmp_path):
    plain = search_formula(tmp_path / "plain", score_sum, max_trials=20)
    power = search_formula(tmp_path / "power", lambda hp: 10 ** score_sum(hp), max_trials=20)
    expected, r_squared = km.tuning.measure_importance(plain)
    measured = km.tuning.measure_importance(power)
    # Rounding may change a tree.
    assert measured[1] == pytest.approx(r_squared, abs=0.03)
    assert measured[0]["number"] == pytest.approx(expected["number"], abs=0.1)


# The picture of such a search says so, in `test_pictures.py`.
@pytest.mark.sweep
@pytest.mark.slow
def test_noise_is_not_explained(tmp_path):
    generator = random.Random(0)
    tuner = search_formula(
        tmp_path, lambda hp: generator.random() + 0 * hp.Float("x", 0, 1), max_trials=20
    )
    assert km.tuning.measure_importance(tuner)[1] <= 0


def test_an_objective_that_is_always_the_same_is_not_explained(tmp_path):
    tuner = search_formula(tmp_path, lambda hp: 1.0 + 0 * hp.Float("x", 0, 1), max_trials=12)
    assert km.tuning.measure_importance(tuner) == ({"x": (0.0, 0.0)}, 0.0)


@pytest.mark.slow
def test_the_same_search_gives_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "NUM_REPEATS", 2)
    tuner = search_formula(tmp_path, score_sum, max_trials=12)
    assert km.tuning.measure_importance(tuner) == km.tuning.measure_importance(tuner)


@pytest.mark.slow
def test_what_decides_a_condition_gets_its_importance(tmp_path):
    def score(hp):
        is_deep = hp.Boolean("is_deep")
        with hp.conditional_scope("is_deep", [True]):
            hp.Float("width", 0.0, 1.0)
        hp.Float("nothing", 0.0, 1.0)  # Otherwise only one trial would be shallow.
        return float(is_deep)

    measured, _ = km.tuning.measure_importance(search_formula(tmp_path, score, max_trials=20))
    assert measured["is_deep"][0] > 1
    assert measured["width"][0] < 0.1


def test_too_few_trials_are_an_error(tmp_path):
    tuner = search_formula(tmp_path, score_sum, max_trials=10, fails=(0,))
    with pytest.raises(RuntimeError, match="`tuner` must have at least 10 .*Received: 9"):
        km.tuning.measure_importance(tuner)


def test_trials_of_the_same_hyperparameters_count_once(tmp_path):
    tuner = search_formula(tmp_path, score_sum, max_trials=12)
    for trial in list(tuner.oracle.trials.values())[6:]:  # as Hyperband's promoted trials
        trial.hyperparameters.values = {
            **tuner.oracle.trials["00"].hyperparameters.values,
            "tuner/epochs": int(trial.trial_id),
        }
    with pytest.raises(RuntimeError, match="Received: 6"):
        km.tuning.measure_importance(tuner)


def test_a_log_sampled_hyperparameter_is_encoded_by_its_logarithm(tmp_path):
    def score(hp):
        hp.Int("depth", 1, 2)
        with hp.conditional_scope("depth", [2]):
            hp.Choice("kind", ["a", "b"])
        return hp.Float("rate", 1e-4, 1e-1, sampling="log")

    tuner = search_formula(tmp_path, score, max_trials=12)
    rates = np.log([trial.score for trial in tuner.oracle.trials.values()])
    expected = (rates - rates.min()) / (rates.max() - rates.min())
    np.testing.assert_allclose(importance.encode_column(tuner, "rate")[:, 0], expected)
    kinds = importance.encode_column(tuner, "kind")
    depths = [trial.hyperparameters["depth"] for trial in tuner.oracle.trials.values()]
    assert kinds.shape == (12, 2) and set(depths) == {1, 2}
    for depth, row in zip(depths, kinds, strict=True):
        assert sorted(row) == ([0.5, 0.5] if depth == 1 else [0.0, 1.0])


@pytest.mark.parametrize(
    ("scores", "expected"), [((0.01, 1.1), True), ((0.02, 1.1), False), ((-1, 1000), False)]
)
def test_a_log_scale_needs_two_decades_of_positive_scores(scores, expected):
    assert importance.has_log_scale(scores) == expected
