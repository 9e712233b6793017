"""Tests of `plot_search`: what each panel shows, and that each text is inside the picture."""

import random

import keras_tuner
import matplotlib.pyplot
import numpy as np
import pytest
from formula_searches import score_valley, search_formula
from PIL import Image

import kerasmodes as km
from kerasmodes.tuning import pictures


@pytest.fixture(autouse=True, scope="module")
def _small_forest():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures.importance, "NUM_TREES", 5)
        patch.setattr(pictures.importance, "NUM_REPEATS", 2)
        yield


@pytest.fixture(scope="module")
def valley(tmp_path_factory):
    return search_formula(tmp_path_factory.mktemp("valley"), fails=(3, 7), verbose=1)


@pytest.fixture(scope="module")
def figure(valley):
    return pictures.draw_search(valley)


@pytest.fixture(scope="module")
def panels(figure):
    return find_panels(figure)


def find_panels(figure):
    """Returns the panels by title; the bar of colours has none."""
    return {axes.get_title(loc="left").split("\n")[0]: axes for axes in figure.axes}


def find_line(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.array(line.get_xdata()), np.array(line.get_ydata())


def list_texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.slow
def test_the_file_is_a_picture_of_four_panels(valley, tmp_path):
    km.tuning.plot_search(valley, tmp_path / "new" / "search.png")
    with Image.open(tmp_path / "new" / "search.png") as image:
        assert image.format == "PNG" and image.width == 1500
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "search.png"]
    assert matplotlib.pyplot.get_fignums() == []


def test_the_title_counts_trials(valley, figure):
    best = valley.oracle.get_best_trials(1)[0]
    title = figure.get_suptitle()
    expected = f"25 trials, 2 failed; best val_loss: {best.score:.4g} (trial {best.trial_id})"
    assert title == expected


def test_each_trial_is_a_dot_and_the_best_so_far_a_line(valley, panels):
    axes = panels["Objective of each trial"]
    x, y = find_line(axes, "trial")
    scores = {int(t.trial_id): t.score for t in valley.oracle.trials.values() if t.score}
    assert dict(zip(x, y, strict=True)) == scores and len(scores) == 23
    x, y = find_line(axes, "best so far")
    assert list(x) == [*scores, 24]
    assert list(y[:-1]) == [min(list(scores.values())[: n + 1]) for n in range(23)]
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "val_loss (lower is better)"


def test_failed_trials_are_at_the_bottom_edge(panels):
    axes = panels["Objective of each trial"]
    x, y = find_line(axes, "failed")
    (line,) = [line for line in axes.lines if line.get_label() == "failed"]
    assert list(x) == [3, 7]
    assert line.get_transform() == axes.get_xaxis_transform() and max(y) < 0.05


def test_the_objective_is_drawn_over_time(panels):
    axes = panels["Objective over time"]
    x, _ = find_line(axes, "trial")
    assert len(x) == 23 and np.all(np.diff(x) >= 0)
    assert axes.get_xlabel() == "elapsed time at the end of the trial, seconds"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "unit"),
    [
        pytest.param(60, "seconds", marks=pytest.mark.sweep),
        pytest.param(600, "minutes", marks=pytest.mark.sweep),
        (36_000, "hours"),
    ],
)
def test_time_has_a_unit_that_fits(seconds, unit, valley, monkeypatch):
    times = dict.fromkeys(valley.oracle.trials, (0, seconds))
    monkeypatch.setattr(pictures.trial_records, "find_times", lambda tuner: times)
    known = {"learning_rate": (1.0, 0.1)}, 0.9
    monkeypatch.setattr(pictures.importance, "measure_importance", lambda tuner: known)
    axes = find_panels(pictures.draw_search(valley))["Objective over time"]
    assert axes.get_xlabel().endswith(unit)
    assert find_line(axes, "trial")[0][0] == {"seconds": 60, "minutes": 10, "hours": 10}[unit]


def test_without_times_there_is_no_panel_over_time(tmp_path):
    tuner = search_formula(tmp_path, max_trials=3)
    assert "Objective over time" not in find_panels(pictures.draw_search(tuner))


def test_a_maximum_rises(tmp_path):
    tuner = search_formula(
        tmp_path,
        lambda hp: -score_valley(hp),
        max_trials=6,
        objective=keras_tuner.Objective("accuracy", "max"),
    )
    figure = pictures.draw_search(tuner)
    axes = find_panels(figure)["Objective of each trial"]
    _, y = find_line(axes, "best so far")
    assert np.all(np.diff(y) >= 0) and y[-1] == max(t.score for t in tuner.oracle.trials.values())
    assert axes.get_yscale() == "linear"
    assert "higher is better" in axes.get_ylabel()


def find_parallel_coordinates(figure):
    (axes,) = [
        axes for title, axes in find_panels(figure).items() if title.startswith("Hyperparameters")
    ]
    return axes


@pytest.mark.slow
def test_of_many_hyperparameters_the_most_important_are_shown(tmp_path):
    def score(hp):
        numbers = [hp.Float(f"a_long_name_of_number_{n:02d}", 0.0, 1.0) for n in range(12)]
        return 10 * numbers[11] + numbers[10] + 0.01 * numbers[0]

    figure = pictures.draw_search(search_formula(tmp_path, score, max_trials=30))
    axes = find_parallel_coordinates(figure)
    assert "10 of 12" in axes.get_title(loc="left")
    labels = ["".join(label.get_text().split()) for label in axes.get_xticklabels()]
    assert len(labels) == 10 and "a_long_name_of_number_11" in labels


@pytest.mark.slow
def test_importance_has_a_bar_and_an_error_bar_each(valley, panels):
    measured, r_squared = km.tuning.measure_importance(valley)
    axes = panels["Importance of each hyperparameter"]
    assert [bar.get_width() for bar in axes.patches] == [mean for mean, _ in measured.values()]
    (errors,) = [c for c in axes.collections if len(c.get_segments()) == 4]
    lengths = [np.ptp(segment[:, 0]) / 2 for segment in errors.get_segments()]
    assert lengths == pytest.approx([spread for _, spread in measured.values()])
    assert f"R² = {r_squared:.2f}" in " ".join(list_texts(axes))
    assert "standard error" in axes.get_xlabel()


def test_a_weak_model_is_called_weak(valley, monkeypatch):
    weak = {"learning_rate": (0.1, 0.1)}, 0.2
    monkeypatch.setattr(pictures.importance, "measure_importance", lambda tuner: weak)
    axes = find_panels(pictures.draw_search(valley))["Importance of each hyperparameter"]
    assert "R² = 0.20): a weak model" in " ".join(list_texts(axes))


def test_few_trials_are_too_few_to_tell(tmp_path):
    tuner = search_formula(tmp_path, max_trials=9)
    axes = find_panels(pictures.draw_search(tuner))["Importance of each hyperparameter"]
    assert list_texts(axes)[0].startswith("too few trials to tell (fewer than 10")
    assert not axes.patches


@pytest.mark.slow
def test_noise_is_too_little_to_tell(tmp_path):
    generator = random.Random(0)
    tuner = search_formula(
        tmp_path, lambda hp: generator.random() + 0 * hp.Float("x", 0, 1), max_trials=20
    )
    axes = find_panels(pictures.draw_search(tuner))["Importance of each hyperparameter"]
    assert list_texts(axes)[0].startswith("too few trials to tell (a model does not predict")
    assert not axes.patches


@pytest.mark.slow
def test_one_trial_and_one_that_runs_are_drawn(tmp_path):
    tuner = search_formula(tmp_path / "search", max_trials=2)
    running = tuner.oracle.trials["1"]
    running.status, running.score = "RUNNING", None
    assert pictures.draw_search(tuner).get_suptitle().startswith("2 trials, 1 running; best")
    km.tuning.plot_search(tuner, tmp_path / "search.png")


def test_an_infinite_score_is_drawn_as_failed(tmp_path):
    def score(hp):
        return float("inf") if hp.Boolean("is_wrong") else hp.Float("x", 1.0, 2.0)

    tuner = search_formula(tmp_path, score, max_trials=8)
    axes = find_panels(pictures.draw_search(tuner))["Objective of each trial"]
    infinite = [
        n for n, t in enumerate(tuner.oracle.trials.values()) if t.hyperparameters["is_wrong"]
    ]
    assert infinite and list(find_line(axes, "failed")[0]) == infinite


@pytest.mark.slow
@pytest.mark.parametrize("num_trials", [pytest.param(4, marks=pytest.mark.sweep), 25])
def test_every_text_is_inside_the_picture(num_trials, figure, tmp_path):
    if num_trials < 25:
        tuner = search_formula(tmp_path, max_trials=num_trials, fails=(2,), verbose=1)
        figure = pictures.draw_search(tuner)
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height


def test_a_search_without_a_finished_trial_has_no_picture(tmp_path):
    tuner = search_formula(tmp_path / "search", max_trials=1, fails=(0,))
    with pytest.raises(RuntimeError, match="`tuner` must have a finished trial"):
        km.tuning.plot_search(tuner, tmp_path / "search.png")
    tuner.oracle.trials["0"].status, tuner.oracle.trials["0"].score = "COMPLETED", float("inf")
    with pytest.raises(RuntimeError, match="must have a trial with a finite score"):
        km.tuning.plot_search(tuner, tmp_path / "search.png")


def test_another_file_name_is_refused(valley, tmp_path):
    with pytest.raises(ValueError, match="`path` must end in .png. Received: path='.*search.jpg'"):
        km.tuning.plot_search(valley, tmp_path / "search.jpg")
