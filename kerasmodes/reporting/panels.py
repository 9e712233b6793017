"""The panels of a run: its history, learning rates, and speed.

Which logs share a panel is in `log_panels.py`; how a panel is drawn, in `charts.py`.
"""

from kerasmodes import log_panels
from kerasmodes.log_panels import Line, Panel
from kerasmodes.reporting.run import Run


def list_panels(run: Run) -> list[Panel]:
    """Returns the panels of a run: those of its history, learning rates, and speed."""
    curves = {name: run.points(name) for name in run.history.names if name != "epoch"}
    loss = run.config.get("loss")
    panels = log_panels.list_panels(curves, loss if isinstance(loss, str) else None)
    has_rates = any(panel.title == "Learning rate" for panel in panels)
    return [*panels, *_list_recorded_panels(run, has_rates)]


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
