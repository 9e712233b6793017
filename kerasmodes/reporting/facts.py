"""Facts of a run in words and numbers, for the page and the model card: how it ended, its results.

A fact that no file states is not made up: it is left out.
"""

import math
import re
import statistics
from typing import Any

from kerasmodes.reporting.run import Run

# Of the metrics that `kerasmodes evaluate` writes: their names and which is better.
METRICS = {
    "frechet": ("Fréchet distance", "min"),
    "kernel": ("Kernel distance", "min"),
    "precision": ("Precision", "max"),
    "recall": ("Recall", "max"),
    "density": ("Density", "max"),
    "coverage": ("Coverage", "max"),
    "swd": ("Sliced Wasserstein distance", "min"),
}
GOOD, WARN, BAD = "good", "warn", "bad"


def describe_status(run: Run) -> tuple[str, str]:
    """Returns how a run has ended, in a few words, and how good that is."""
    status = run.record.get("status")
    if status == "finished":
        names = ", ".join(list_broken_logs(run))
        return (f"finished, with {names} not finite", BAD) if names else ("finished", GOOD)
    if status is None:
        return ("end not recorded", WARN)
    if status == "running":
        return "running, or killed", WARN
    kind = BAD if "not finite" in str(status) or "ended by" in str(status) else WARN
    return str(status), kind


def list_broken_logs(run: Run) -> list[str]:
    """Returns the logs whose last value is NaN or infinite."""
    values = {name: [v for _, v in run.points(name) if v is not None] for name in run.history.names}
    return [name for name, own in values.items() if own and not math.isfinite(own[-1])]


def describe_metric(name: str) -> tuple[str, str]:
    """Returns the name of a metric for people, and which is better, `"min"` or `"max"`."""
    if name in METRICS:
        return METRICS[name]
    if match := re.fullmatch(r"swd_(\d+)", name):
        return f"Sliced Wasserstein distance, {match[1]} pixels high", "min"
    return name, ""


def find_headline(run: Run) -> tuple[str, int, float] | None:
    """Returns the best value of the log that tells most: its name, epoch and value."""
    for name in ("val_frechet", "val_loss", "loss"):
        if best := run.best(name):
            return name, *best
    return None


def measure_speed(run: Run) -> dict[str, Any]:
    """Returns the median µs of a step and seconds of an epoch, and the seconds of all epochs.

    The first epoch, which traces and compiles, is left out of the medians if there are others.
    Empty if nothing is recorded.
    """
    rows = run.times()
    seconds = _list_numbers(rows, "seconds")
    if not seconds:
        return {}
    later = rows[1:] if len(rows) > 1 else rows
    steps = _list_numbers(later, "microseconds_per_step")
    return {
        "microseconds_per_step": statistics.median(steps) if steps else None,
        "seconds_per_epoch": statistics.median(_list_numbers(later, "seconds") or seconds),
        "seconds": sum(seconds),
        "num_epochs": len(seconds),
        "has_first": len(rows) == 1,
    }


def list_results(run: Run) -> list[tuple[str, float | None, float | None]]:
    """Returns the metrics of `evaluation.json`: name, result and baseline."""
    results = run.evaluation.get("results")
    baselines = run.evaluation.get("baselines")
    results = results if isinstance(results, dict) else {}
    baselines = baselines if isinstance(baselines, dict) else {}
    return [
        (str(name), take_number(value), take_number(baselines.get(name)))
        for name, value in results.items()
    ]


def describe_evaluation(run: Run) -> str:
    """Returns on which images the metrics of `evaluation.json` were computed."""
    names = ("num_images", "num_real", "num_equal", "data", "split")
    found = {name: run.evaluation.get(name) for name in names}
    if None in found.values():
        return ""
    counts = {name: _count(found[name]) for name in names[:3]}
    return (
        f"Fréchet distance: {counts['num_images']} generated images against {counts['num_real']} "
        f"real ones, the split {found['split']!r} of {found['data']!r}. The other metrics: "
        f"{counts['num_equal']} against {counts['num_equal']}"
    )


def describe_run(run: Run) -> list[tuple[str, str]]:
    """Returns how a run really ran: pairs of name and value."""
    record = run.record
    pairs = [
        ("model", run.model_name),
        ("parameters", _count(record.get("parameters"))),
        ("mode", record.get("mode")),
        ("strategy", record.get("strategy")),
        ("replicas", record.get("replicas")),
        ("workers", record.get("workers")),
        ("devices", _join(record.get("devices"))),
        ("CPUs of the machine", record.get("cpus")),
        ("system", record.get("platform")),
        ("started", record.get("started")),
        ("last written", record.get("updated")),
    ]
    versions = record.get("versions")
    pairs += list(versions.items()) if isinstance(versions, dict) else []
    return [(str(name), str(value)) for name, value in pairs if value not in (None, "")]


def format_seconds(seconds: float) -> str:
    """Returns a duration in the unit that suits it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"


def take_number(value: Any) -> float | None:
    """Returns a number as a float; `None` for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None


def _list_numbers(rows, name):
    found = [take_number(row.get(name)) for row in rows]
    return [value for value in found if value is not None and math.isfinite(value)]


def _count(value):
    return f"{value:,}" if isinstance(value, int) else value


def _join(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else value
