"""Which curves share a panel, what they are called, and in which unit they are.

How a panel is drawn is in `charts.py`.
"""

import dataclasses
import math
import re

from kerasmodes.reporting.run import Run

VALIDATION = "val_"
# What is known of the logs of this package: the panel, the axis, the name of the line.
KNOWN = {
    "d_loss": ("Losses", "loss (no unit)", "discriminator"),
    "g_loss": ("Losses", "loss (no unit)", "generator"),
    "real_accuracy": ("Discriminator", "share told right (0 to 1)", "real images"),
    "fake_accuracy": ("Discriminator", "share told right (0 to 1)", "generated images"),
    "frechet": ("Fréchet distance", "squared distance of features", "generated images"),
    "kernel": ("Kernel distance", "squared distance of features", "generated images"),
    "precision": ("Precision and recall", "share (0 to 1)", "precision"),
    "recall": ("Precision and recall", "share (0 to 1)", "recall"),
    "density": ("Density and coverage", "1 is as real images", "density"),
    "coverage": ("Density and coverage", "1 is as real images", "coverage"),
    "swd": ("Sliced Wasserstein distance", "distance of patches × 1,000", "mean"),
}
ORDER = ("Losses", "Loss", "Fréchet distance")  # First, side by side; then as in the logs.
UNITS = {
    "loss": "loss (no unit)",
    "accuracy": "share (0 to 1)",
    "mae": "mean absolute error",
    "mse": "mean squared error",
}
RATE = "learning_rate"


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve: its label, and its points (epoch from 1, value or `None`)."""

    label: str
    points: list[tuple[int, float | None]]


@dataclasses.dataclass
class Panel:
    """Curves that share two axes.

    Args:
        title: What it shows.
        unit: What the numbers are, for the upright axis.
        lines: The curves.
    """

    title: str
    unit: str
    lines: list[Line] = dataclasses.field(default_factory=list)


def list_panels(run: Run) -> list[Panel]:
    """Returns the panels of a run: those of its history, learning rates, and speed."""
    panels, names = {}, [name for name in run.history.names if name != "epoch"]
    names.sort(key=_find_height)  # Otherwise as in the logs.
    for name in names:
        if any(value is not None for _, value in run.points(name)):
            title, unit, label = _describe(name, names, run.config)
            panel = panels.setdefault(title, Panel(title, unit))
            panel.lines.append(Line(label, run.points(name)))
    found = list(panels.values())
    found.sort(key=lambda one: ORDER.index(one.title) if one.title in ORDER else len(ORDER))
    return [*found, *_list_recorded_panels(run, "Learning rate" in panels)]


def _describe(name, names, config):
    """Returns the title of a log's panel, its unit and the label of its line."""
    own = name.removeprefix(VALIDATION)
    if own.startswith(RATE):
        return "Learning rate", "learning rate", own.removeprefix(RATE).strip("_") or "optimizer"
    if own in KNOWN:
        title, unit, label = KNOWN[own]
        # Losses of validation stand beside those of training.
        has_pair = own in names and f"{VALIDATION}{own}" in names
        return title, unit, f"{label}, {_find_side(name)}" if has_pair else label
    if own.startswith("swd_"):
        title, unit, _ = KNOWN["swd"]
        return title, unit, f"{own.removeprefix('swd_')} pixels high"
    unit = UNITS.get(own, own.replace("_", " "))
    if own == "loss" and isinstance(config.get("loss"), str):
        unit = config["loss"].replace("_", " ")
    title = own.replace("_", " ")
    return title[:1].upper() + title[1:], unit, _find_side(name)


def _find_height(name):
    """Returns the height of the images of a level of the sliced distance; 0 for another log."""
    match = re.fullmatch(r"(?:val_)?swd_(\d+)", name)
    return int(match[1]) if match else 0


def _find_side(name):
    return "validation" if name.startswith(VALIDATION) else "training"


def _list_recorded_panels(run, has_rates):
    """Returns the panels of what `km.callbacks.RunRecord` has written of each epoch."""
    panels, rows = [], run.times()
    if not has_rates:
        rates = [row.get("learning_rates") for row in rows]
        names = dict.fromkeys(n for own in rates if isinstance(own, dict) for n in own)
        lines = [Line(_name_optimizer(name), _take(rows, "learning_rates", name)) for name in names]
        panels.append(Panel("Learning rate", "learning rate", lines))
    speeds = [Line("a step", _take(rows, "microseconds_per_step"))]
    panels.append(Panel("Time of a step", "µs per step", speeds))
    epochs = [Line("an epoch, all of it", _take(rows, "seconds"))]
    panels.append(Panel("Time of an epoch", "seconds", epochs))
    return [one for one in panels if any(v is not None for x in one.lines for _, v in x.points)]


def _name_optimizer(name):
    return str(name).removesuffix("_optimizer").strip("_") or "optimizer"


def _take(rows, *path):
    points = []
    for row in rows:
        value = row
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        points.append((row["epoch"] + 1, float(value) if is_number else None))
    return points


def has_log_axis(panel: Panel) -> bool:
    """Returns whether the values are all positive and span more than 1.5 decades."""
    values = [v for one in panel.lines for _, v in one.points if v is not None]
    values = [value for value in values if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 10**1.5
