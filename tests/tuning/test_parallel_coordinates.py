"""Tests of the panel of hyperparameters: where lines cross the axes, ticks, colours, names."""

import keras_tuner
import matplotlib
import matplotlib.figure
import numpy as np
import pytest
from formula_searches import score_valley, search_formula

from kerasmodes.tuning import parallel_coordinates

LABEL = "val_loss (lower is better)"


@pytest.fixture(scope="module")
def valley(tmp_path_factory):
    return search_formula(tmp_path_factory.mktemp("valley"), fails=(3, 7))


def draw(tuner, *names):
    figure = matplotlib.figure.Figure()
    axes = figure.add_subplot()
    parallel_coordinates.draw_parallel_coordinates(axes, tuner, list(names), LABEL)
    return figure


@pytest.fixture(scope="module")
def figure(valley):
    return draw(valley, "learning_rate", "shape", "depth", "width")


def list_texts(axes):
    return [text.get_text() for text in axes.texts]


def test_each_completed_trial_is_a_line_through_its_values(valley, figure):
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        *("learning_rate", "shape", "depth", "width")
    ]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(lines) == 23
    best = max(lines, key=lambda line: line.get_linewidth())
    trial = valley.oracle.get_best_trials(1)[0]
    rate = np.log10(trial.hyperparameters["learning_rate"] / 1e-4) / 3
    heights = best.get_ydata()
    assert heights[0] == pytest.approx(rate)
    shapes = ["flat", "round", "a name that is very long indeed"]
    assert heights[1] == pytest.approx(shapes.index(trial.hyperparameters["shape"]) / 2, abs=0.1)
    assert heights[2] == (trial.hyperparameters["depth"] - 1) / 2
    is_used = trial.hyperparameters["depth"] > 1
    assert heights[3] == pytest.approx(parallel_coordinates.INACTIVE, abs=0.05) or is_used


def test_values_of_an_axis_have_ticks(figure):
    texts = list_texts(figure.axes[0])
    assert {"0.0001", "0.001", "0.01", "0.1"} <= set(texts)
    assert {"flat", "round", "a name that i…"} <= set(texts)
    assert {"1", "2", "3"} <= set(texts) and {"8", "16", "64", "not used"} <= set(texts)


def test_colours_tell_the_objective(figure):
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 4]
    colors = {line.get_color() for line in lines}
    assert len(colors) > 15
    best = max(lines, key=lambda line: line.get_linewidth())
    assert best.get_color() == matplotlib.colormaps["viridis"](0.0)
    assert "val_loss (lower is better)" in [axes.get_ylabel() for axes in figure.axes]


def test_of_a_maximum_the_highest_has_the_colour_of_the_best(tmp_path):
    tuner = search_formula(
        tmp_path,
        lambda hp: -score_valley(hp),
        max_trials=6,
        objective=keras_tuner.Objective("accuracy", "max"),
    )
    lines = draw(tuner, "shape", "learning_rate", "depth").axes[0].lines
    best = max(lines, key=lambda line: line.get_linewidth())
    rate = tuner.oracle.get_best_trials(1)[0].hyperparameters["learning_rate"]
    assert best.get_ydata()[1] == pytest.approx(np.log10(rate / 1e-4) / 3)
    assert best.get_color() == matplotlib.colormaps["viridis_r"](1.0)


def test_trials_of_the_same_choice_do_not_hide_each_other(valley):
    axes = draw(valley, "shape", "depth", "width").axes[0]
    heights = [line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 3]
    assert len(set(heights)) == 23


def test_choices_of_numbers_are_equally_spaced(tmp_path):
    sizes = [1, 8, 32, 128]
    tuner = search_formula(tmp_path, lambda hp: 1.0 * hp.Choice("size", sizes), max_trials=4)
    heights = {text.get_text(): text.xy[1] for text in draw(tuner, "size").axes[0].texts}
    assert heights == {"1": 0, "8": pytest.approx(1 / 3), "32": pytest.approx(2 / 3), "128": 1}


def test_of_many_names_every_second_is_lower():
    names = ["generator_learning_rate", "a_b", "tuner/epochs", "d", "e", "f", "g"]
    broken = parallel_coordinates._break_names(names)
    assert broken[:4] == ["generator_\nlearning_rate", "\n\na_b", "epochs", "\n\nd"]
    assert parallel_coordinates._break_names(names[1:4]) == ["a_b", "epochs", "d"]
