"""The panel of hyperparameters in a search's picture: a line a trial, an axis a hyperparameter.

The other panels are in `pictures.py`.
"""

import typing

import keras_tuner
import numpy as np
from keras_tuner.engine import hyperparameters

from kerasmodes.figure_style import SMALL, SMALLEST
from kerasmodes.tuning import importance
from kerasmodes.tuning import trials as trial_records

if typing.TYPE_CHECKING:  # A plain import of the package must not need matplotlib.
    import matplotlib.axes

COLORMAP = "viridis"  # legible for colour-blind readers, and in grey
MAX_NAMES_IN_A_ROW = 6
MAX_STEPS = 9  # ticks of an axis
INACTIVE = -0.16  # where lines cross the axis of a hyperparameter whose condition is not met
CHOICES = (hyperparameters.Boolean, hyperparameters.Choice)


def draw_parallel_coordinates(
    axes: "matplotlib.axes.Axes", tuner: keras_tuner.Tuner, names: list[str], label: str
) -> None:
    """Draws the scored trials as lines, coloured by the objective; the best is thick.

    Args:
        axes: The panel.
        tuner: A keras-tuner tuner with a scored trial.
        names: The hyperparameters, from left to right.
        label: What the colours tell.
    """
    import matplotlib.cm

    trials = trial_records.list_scored_trials(tuner)
    is_min = tuner.oracle.objective.direction == "min"
    trials.sort(key=lambda trial: trial.score, reverse=is_min)  # The best is drawn last.
    norm = _make_norm([trial.score for trial in trials])
    colors = matplotlib.colormaps[COLORMAP if is_min else f"{COLORMAP}_r"]
    scales = {name: _make_scale(tuner, name) for name in names}
    for rank, trial in enumerate(trials):
        values = trial_records.find_values(trial)
        heights = [scales[name][0](values.get(name), rank / len(trials)) for name in names]
        is_best = rank == len(trials) - 1
        width, size = (3.2, 5) if is_best else (1.3, 2.5)
        axes.plot(heights, color=colors(norm(trial.score)), lw=width, marker="o", ms=size)
    for place, name in enumerate(names):
        axes.axvline(place, color="black", lw=0.8, zorder=1)
        _write_ticks(axes, place, scales[name][1], 14 if len(names) <= MAX_NAMES_IN_A_ROW else 9)
    axes.set_xticks(range(len(names)), _break_names(names), fontsize=SMALL)
    axes.set_yticks([])
    axes.set_xlim(-0.15, len(names) - 0.4)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    colored = matplotlib.cm.ScalarMappable(norm, colors)
    bar = axes.figure.colorbar(colored, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALLEST)


def _make_norm(scores):
    """Returns what maps scores to 0 to 1, for colours."""
    import matplotlib.colors

    if importance.has_log_scale(scores):
        return matplotlib.colors.LogNorm(min(scores), max(scores))
    return matplotlib.colors.Normalize(min(scores), max(scores))


def _write_ticks(axes, place, ticks, length):
    """Writes the values of an axis beside it, in at most `length` characters each."""
    for height, text in ticks:
        axes.annotate(
            _shorten(text, length),
            (place, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALLEST,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
            zorder=5,
        )


def _make_scale(tuner, name):
    """Returns the axis of a hyperparameter, from 0 to 1.

    Returns:
        A function from a value and a number of 0 to 1, which moves lines through the same choice
        apart, to a height; and the ticks, pairs of height and text.
    """
    trials = trial_records.list_scored_trials(tuner)
    values = [trial_records.find_values(trial).get(name) for trial in trials]
    known = [value for value in values if value is not None]
    parameter = importance.find_parameter(tuner, name)
    has_choices = isinstance(parameter, CHOICES) or not importance.is_number(known)
    make = _scale_choices if has_choices else _scale_numbers
    place_value, ticks = make(parameter, known)
    if None in values:
        ticks = [(INACTIVE, "not used"), *ticks]
    return (
        lambda value, share: (
            INACTIVE + 0.04 * (share - 0.5) if value is None else place_value(value, share)
        ),
        ticks,
    )


def _scale_choices(parameter, known):
    choices = list(dict.fromkeys([*getattr(parameter, "values", []), *known]))
    step = 1 / max(1, len(choices) - 1)
    heights = {str(c): n * step if len(choices) > 1 else 0.5 for n, c in enumerate(choices)}
    ticks = [(heights[str(choice)], str(choice)) for choice in choices]
    spread = 0.25 * min(step, 0.2)
    return lambda value, share: heights[str(value)] + spread * (share - 0.5), ticks


def _scale_numbers(parameter, known):
    low = min([getattr(parameter, "min_value", known[0]), *known])
    high = max([getattr(parameter, "max_value", known[0]), *known])
    is_log = getattr(parameter, "sampling", None) == "log"
    if low == high:
        return (lambda value, share: 0.5), [(0.5, f"{low:.3g}")]
    transform = np.log if is_log else np.asarray
    start, length = transform(low), transform(high) - transform(low)

    def place_value(value, share=0):
        return float((transform(value) - start) / length)

    inner = _list_inner_ticks(parameter, known, low, high)
    ends = [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
    ticks = [(place_value(v), f"{v:.3g}") for v in inner if 0.08 < place_value(v) < 0.92]
    return place_value, [*ends, *ticks]


def _list_inner_ticks(parameter, known, low, high):
    """Returns round values between the ends of an axis; all values, if they are few."""
    from matplotlib import ticker

    if getattr(parameter, "sampling", None) == "log":
        is_long = high / low > 30
        locator = ticker.LogLocator(subs=(1.0,) if is_long else (1.0, 2.0, 5.0))
    elif getattr(parameter, "step", None) and (high - low) / parameter.step < MAX_STEPS:
        return np.arange(low, high, parameter.step)
    else:
        has_whole = all(isinstance(value, int) for value in known)
        locator = ticker.MaxNLocator(5, integer=has_whole)
    return [value for value in locator.tick_values(low, high) if low < value < high]


def _shorten(text, length):
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _break_names(names):
    """Returns names in lines; of many, every second one is lower than its neighbours."""
    broken = [_break_name(trial_records.shorten_name(name)) for name in names]
    if len(names) <= MAX_NAMES_IN_A_ROW:
        return broken
    num_lines = max(name.count("\n") + 1 for name in broken[::2])
    return [name if n % 2 == 0 else "\n" * num_lines + name for n, name in enumerate(broken)]


def _break_name(name, length=16):
    """Returns a name in lines of at most `length` characters, broken after underscores."""
    lines = [""]
    for part in name.replace("_", "_ ").split(" "):
        if lines[-1] and len(lines[-1] + part) > length:
            lines.append("")
        lines[-1] += part
    return "\n".join(_shorten(line, length) for line in lines)
