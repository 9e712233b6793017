"""`plot_search`: one picture of a search, four panels on how it went and what mattered.

Its panel of hyperparameters is in `parallel_coordinates.py`, its numbers come from `trials.py` and
`importance.py`.
"""

import os
import typing

import keras_tuner
import numpy as np

from kerasmodes import atomic_files, figure_style
from kerasmodes.figure_style import BLUE, GREY, RED, SMALL, SMALLEST, TITLE_SIZE
from kerasmodes.tuning import importance, parallel_coordinates
from kerasmodes.tuning import trials as trial_records

if typing.TYPE_CHECKING:  # A plain import of the package must not need matplotlib.
    from matplotlib.figure import Figure

MAX_AXES = 10  # of parallel coordinates: more would not be legible at 1000 pixels
TIME_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
WEAK = 0.3  # R² below which the picture warns


def plot_search(tuner: keras_tuner.Tuner, path: str | os.PathLike) -> None:
    """Draws a search into a PNG: its course, its hyperparameters, and which of them matter.

    The panels are:

    - the objective of each trial, the best so far, and failed trials at the bottom edge;
    - the same over elapsed time, if the times are known: `verbose` of the search is not 0;
    - the hyperparameters of each completed trial as a line, coloured by its objective; those that
      never vary are left out, and if more than 10 vary, the least important ones;
    - the importance of each hyperparameter, as `measure_importance` gives it, and how sure it is.

    An objective that is positive and spans more than two decades has a log axis.

    Args:
        tuner: A keras-tuner tuner, during its search or after it.
        path: Path that ends in `.png`, written by an atomic write; its folder is made if missing.

    Raises:
        ValueError: If the path ends otherwise.
        RuntimeError: If no trial is finished with a finite score.

    Example: `km.tuning.plot_search(tuner, "search.png")`, after that of `search`.
    """
    if not str(path).endswith(".png"):
        raise ValueError(f"`path` must end in .png. Received: path={str(path)!r}")
    figure = draw_search(tuner)
    with atomic_files.atomic_write(path) as temporary:
        figure.savefig(temporary)


def draw_search(tuner: keras_tuner.Tuner) -> "Figure":
    """Returns the picture of `plot_search` as a figure that needs no display."""
    trial_records.check_completed(tuner)
    scored = trial_records.list_scored_trials(tuner)
    if not scored:
        raise RuntimeError("`tuner` must have a trial with a finite score. Received: none")
    measured, r_squared = _measure(tuner)
    names = _list_shown_names(tuner, measured)
    times = trial_records.find_times(tuner)
    heights = [
        2.9,
        *([3.6] if names else []),
        1.0 + 0.28 * max(3, len(measured)) if measured else 0.5,
    ]
    figure = figure_style.make_figure(10, sum(heights), dpi=150)
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)
    rows = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    if all(trial.trial_id in times for trial in scored):
        course = figure.add_subplot(rows[0, 0])
        _draw_over_time(figure.add_subplot(rows[0, 1], sharey=course), tuner, times)
    else:
        course = figure.add_subplot(rows[0, :])
    places = {t.trial_id: n for n, t in enumerate(trial_records.list_trials(tuner))}
    _draw_course(course, tuner, places, "trial (0: the first that started)")
    course.set_title("Objective of each trial", loc="left", fontsize=TITLE_SIZE)
    course.xaxis.get_major_locator().set_params(integer=True)
    _add_legend(figure.axes[-1])  # Both panels side by side share it.
    if names:
        _draw_hyperparameters(figure.add_subplot(rows[1, :]), tuner, names)
    _draw_importance(figure.add_subplot(rows[-1, :]), measured, r_squared)
    figure.suptitle(_describe_search(tuner), fontsize=12, fontweight="bold")
    return figure


def _draw_over_time(axes, tuner, times):
    ends = {name: end for name, (_, end) in times.items()}
    size, unit = next((s, u) for s, u in TIME_UNITS if max(ends.values()) >= 2 * s or s == 1)
    ends = {name: end / size for name, end in ends.items()}
    _draw_course(axes, tuner, ends, f"elapsed time at the end of the trial, {unit}")
    axes.set_title("Objective over time", loc="left", fontsize=TITLE_SIZE)
    axes.set_xlim(left=0)


def _draw_hyperparameters(axes, tuner, names):
    label = _describe_objective(tuner)
    parallel_coordinates.draw_parallel_coordinates(axes, tuner, names, label)
    title = "Hyperparameters of completed trials (thick line: the best)"
    num_tuned = len(trial_records.list_tuned_names(tuner))
    if num_tuned > len(names):
        title += f", {len(names)} of {num_tuned}"
    axes.set_title(title, loc="left", fontsize=TITLE_SIZE)


def _measure(tuner):
    """Returns what `measure_importance` returns; without importance if it means nothing."""
    if importance.count_different_trials(tuner) < importance.MIN_TRIALS:
        return {}, None
    measured, r_squared = importance.measure_importance(tuner)
    return (measured, r_squared) if r_squared > 0 else ({}, r_squared)


def _list_shown_names(tuner, measured):
    """Returns the hyperparameters of the parallel coordinates, in the order of the space."""
    names = trial_records.list_tuned_names(tuner) or trial_records.list_names(tuner)
    kept = list(measured or names)[:MAX_AXES]
    return [name for name in names if name in kept]


def _describe_search(tuner):
    """Returns a line: how many trials, how many failed, and the best."""
    trials = trial_records.list_trials(tuner)
    choose = min if tuner.oracle.objective.direction == "min" else max
    best = choose(trial_records.list_scored_trials(tuner), key=lambda trial: trial.score)
    statuses = [trial.status for trial in trials]
    counts = [f"{len(trials)} trials" if len(trials) > 1 else "1 trial"]
    counts += [
        f"{statuses.count(status)} {word}"
        for status, word in (("FAILED", "failed"), ("RUNNING", "running"))
        if status in statuses
    ]
    objective = tuner.oracle.objective.name
    return f"{', '.join(counts)}; best {objective}: {best.score:.4g} (trial {best.trial_id})"


def _describe_objective(tuner):
    direction = {"min": "lower", "max": "higher"}[tuner.oracle.objective.direction]
    return f"{tuner.oracle.objective.name} ({direction} is better)"


def _draw_course(axes, tuner, places, xlabel):
    """Draws each trial's objective, the best so far and failed trials.

    Args:
        axes: The panel.
        tuner: The tuner.
        places: Dict from trial ids to the trials' places on the horizontal axis.
        xlabel: Text below the axis.
    """
    trials = [t for t in trial_records.list_trials(tuner) if t.trial_id in places]
    trials.sort(key=lambda trial: places[trial.trial_id])
    scored = [trial for trial in trials if trial_records.is_scored(trial)]
    failed = [t for t in trials if t not in scored and t.status in ("COMPLETED", "FAILED")]
    x = [places[trial.trial_id] for trial in scored]
    scores = [trial.score for trial in scored]
    is_min = tuner.oracle.objective.direction == "min"
    best = (np.minimum if is_min else np.maximum).accumulate(scores)
    end = max([places[trial.trial_id] for trial in trials])
    if importance.has_log_scale(scores):
        axes.set_yscale("log")
    axes.step([*x, end], [*best, best[-1]], where="post", color=BLUE, lw=2, label="best so far")
    axes.plot(x, scores, "o", color=GREY, ms=5, mec="white", mew=0.5, label="trial")
    axes.margins(y=0.12)
    if failed:
        axes.plot(
            [places[trial.trial_id] for trial in failed],
            [0.03] * len(failed),
            "x",
            transform=axes.get_xaxis_transform(),
            color=RED,
            ms=7,
            mew=2,
            clip_on=False,
            label="failed",
        )
    axes.set_xlabel(xlabel, fontsize=SMALL)
    axes.set_ylabel(_describe_objective(tuner), fontsize=SMALL)
    figure_style.style_axes(axes)


def _add_legend(axes):
    # Above the panel, where no trial can be.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.02, 0.98),
        ncols=3,
        fontsize=SMALLEST,
        frameon=False,
        columnspacing=1,
        handlelength=1.5,
        handletextpad=0.4,
    )


def _draw_importance(axes, measured, r_squared):
    """Draws a bar a hyperparameter, or says why there is none."""
    title = "Importance of each hyperparameter"
    if not measured:
        why = (
            f"fewer than {importance.MIN_TRIALS} different trials are completed"
            if r_squared is None
            else f"a model does not predict trials it has not seen: R² = {r_squared:.2f}"
        )
        axes.set_title(title, loc="left", fontsize=TITLE_SIZE)
        axes.text(0, 0.95, f"too few trials to tell ({why})", va="top", fontsize=SMALL)
        axes.set_axis_off()
        return
    names = [trial_records.shorten_name(name) for name in measured]
    means, spreads = zip(*measured.values(), strict=True)
    axes.barh(names, means, xerr=spreads, color=BLUE, capsize=3, ecolor="black")
    axes.invert_yaxis()
    axes.axvline(0, color="black", lw=0.8)
    axes.set_xlabel(
        "R² lost when the values are replaced by other trials' (error bars: ± 1 standard error)",
        fontsize=SMALL,
    )
    sure = f"A model explains {r_squared:.0%} of the variance of trials it has not seen"
    axes.set_title(f"{title}\n", loc="left", fontsize=TITLE_SIZE)
    axes.annotate(
        f"{sure} (R² = {r_squared:.2f}){'' if r_squared >= WEAK else ': a weak model, take care'}.",
        (0, 1),
        xytext=(0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=SMALL,
    )
    figure_style.style_axes(axes)
