"""Which logs share a panel, in which order panels stand, what they are called, and in which unit.

How a panel is drawn is in `callbacks/pictures.py`, for a file, and in `reporting/charts.py`, for a
page.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

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
LOG_DECADES = 1.5  # Values that span more have a logarithmic axis.


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve: its label, and its points (epoch from 1, value or `None`)."""

    label: str
    points: Sequence[tuple[int, float | None]]


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


def list_panels(
    curves: Mapping[str, Sequence[tuple[int, float | None]]], loss: str | None = None
) -> list[Panel]:
    """Returns the panels of logs: losses first, beside them the Fréchet distance.

    Args:
        curves: The points of each log by its name.
        loss: Name of the loss function, for its axis; `None` if it is not known.
    """
    panels = {}
    for name in sorted(curves, key=_find_height):  # Otherwise as in the logs.
        if any(value is not None for _, value in curves[name]):
            title, unit, label = _describe(name, curves, loss)
            panel = panels.setdefault(title, Panel(title, unit))
            panel.lines.append(Line(label, curves[name]))
    found = list(panels.values())
    found.sort(key=lambda one: ORDER.index(one.title) if one.title in ORDER else len(ORDER))
    return found


def has_log_axis(panel: Panel) -> bool:
    """Returns whether the values are all positive and span more than `LOG_DECADES`."""
    values = [v for one in panel.lines for _, v in one.points if v is not None]
    values = [value for value in values if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 10**LOG_DECADES


def _describe(name, names, loss):
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
    if own == "loss" and loss is not None:
        unit = loss.replace("_", " ")
    title = own.replace("_", " ")
    return title[:1].upper() + title[1:], unit, _find_side(name)


def _find_height(name):
    """Returns the height of the images of a level of the sliced distance; 0 for another log."""
    match = re.fullmatch(r"(?:val_)?swd_(\d+)", name)
    return int(match[1]) if match else 0


def _find_side(name):
    return "validation" if name.startswith(VALIDATION) else "training"
