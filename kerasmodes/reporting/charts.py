"""Draws a panel of curves as SVG that takes its colours from the page, light or dark.

Which curves there are is in `panels.py`; the colours are in `page.css`.
"""

import math

from markupsafe import Markup

from kerasmodes.log_panels import Panel, has_log_axis

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 68, 12, 30, 42
MOST_DOTS = 40  # points of a line that get a dot each
MOST_HINTS = 400
LEAST_MARGIN = 0.005  # above and below, of the largest value
NUM_COLORS = 6  # each with dashes of its own, in page.css


def draw_panel(panel: Panel) -> Markup:
    """Returns a panel as a `<figure>`: title, legend and chart, all text escaped."""
    is_log = has_log_axis(panel)
    scale = _Scale(panel, is_log)
    parts = [
        _draw_axes(panel, scale),
        *(_draw_line(line, number, scale) for number, line in enumerate(panel.lines)),
        _draw_hints(panel, scale),
    ]
    chart = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{} by epoch">{}</svg>').format(
        WIDTH, HEIGHT, panel.title, Markup("").join(parts)
    )
    legend = Markup("").join(_draw_legend(one, n) for n, one in enumerate(panel.lines))
    return Markup(
        '<figure class="panel"><figcaption><h3>{}</h3><div class="legend">{}</div></figcaption>'
        "{}</figure>\n"
    ).format(panel.title, legend, chart)


def format_number(value: float | None) -> str:
    """Returns a number with four digits, as people write it; `–` for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN"
    if value == 0 or 1e-3 <= abs(value) < 1e9:
        digits = 4 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


class _Scale:
    """Where an epoch and a value are in the chart."""

    def __init__(self, panel, is_log):
        points = [point for line in panel.lines for point in line.points]
        values = [v for _, v in points if v is not None and math.isfinite(v)] or [0.0]
        epochs = [epoch for epoch, _ in points] or [1]
        self.is_log = is_log
        self.first, self.last = min(epochs), max(epochs)
        low, high = (math.log10(v) if is_log else v for v in (min(values), max(values)))
        if not is_log and 0 < low < 0.4 * high:
            low = 0.0  # An axis that begins near 0 begins at 0.
        # Values that hardly change get an axis that does not show their last digits.
        margin = max(0.06 * (high - low), LEAST_MARGIN * abs(high)) or 1.0
        self.low = low if low == 0 else low - margin
        self.high = high + margin

    def x(self, epoch):
        share = (epoch - self.first) / (self.last - self.first) if self.last > self.first else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value):
        value = math.log10(value) if self.is_log else value
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def list_value_ticks(self):
        """Returns round values on the upright axis."""
        from matplotlib import ticker

        if not self.is_log:
            ticks = ticker.MaxNLocator(5).tick_values(self.low, self.high)
        else:
            is_long = self.high - self.low > 3
            locator = ticker.LogLocator(subs=(1.0,) if is_long else (1.0, 3.0), numticks=8)
            ticks = locator.tick_values(10**self.low, 10**self.high)
            low, high = 10**self.low, 10**self.high
            return [float(tick) for tick in ticks if low <= tick <= high]
        return [float(tick) for tick in ticks if self.low <= tick <= self.high]

    def list_epoch_ticks(self):
        """Returns round epochs on the lower axis."""
        from matplotlib import ticker

        if self.first == self.last:
            return [self.first]
        ticks = ticker.MaxNLocator(6, integer=True).tick_values(self.first, self.last)
        return [int(tick) for tick in ticks if self.first <= tick <= self.last]


def _format_tick(value):
    """Returns a round number in few letters: 1.6M, 400k."""
    if 1e4 <= abs(value) < 1e9:
        return f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1e3:g}k"
    return format_number(value)


def _draw_axes(panel, scale):
    parts = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in scale.list_value_ticks():
        height = scale.y(value)
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>'
            ).format(LEFT, right, height, height, LEFT - 7, height + 4, _format_tick(value))
        )
    for epoch in scale.list_epoch_ticks():
        place = scale.x(epoch)
        parts.append(
            Markup(
                '<line class="mark" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>'
            ).format(place, place, bottom, bottom + 4, place, bottom + 17, epoch)
        )
    unit = f"{panel.unit}, log axis" if scale.is_log else panel.unit
    parts.append(
        Markup(
            '<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>'
            '<text class="unit" x="{}" y="{}" text-anchor="middle">epoch</text>'
            '<text class="unit" x="2" y="14">{}</text>'
        ).format(LEFT, right, bottom, bottom, (LEFT + right) / 2, HEIGHT - 6, unit)
    )
    return Markup("").join(parts)


def _draw_line(line, number, scale):
    """Returns a curve with gaps where there is no finite number, and its dots."""
    runs, present = [], []
    for epoch, value in line.points:
        if value is None:
            continue  # Not measured in this epoch: the line passes over it.
        if not math.isfinite(value) or (scale.is_log and value <= 0):
            runs, present = [*runs, present], []
        else:
            present.append((scale.x(epoch), scale.y(value)))
    runs = [run for run in [*runs, present] if run]
    path = " ".join("M" + " L".join(f"{x} {y}" for x, y in run) for run in runs)
    name = f"line c{number % NUM_COLORS}"
    dots = [point for run in runs for point in run]
    dots = dots if len(dots) <= MOST_DOTS else [run[0] for run in runs if len(run) == 1]
    circles = Markup("").join(Markup('<circle cx="{}" cy="{}" r="2.4"/>').format(*d) for d in dots)
    return Markup('<g class="{}"><path d="{}"/>{}</g>').format(name, path, circles)


def _draw_hints(panel, scale):
    """Returns a strip for each epoch, which shows its numbers when the pointer is on it."""
    epochs = sorted({epoch for line in panel.lines for epoch, _ in line.points})
    if len(epochs) > MOST_HINTS:
        return Markup("")
    values = [dict(line.points) for line in panel.lines]
    width = round((WIDTH - LEFT - RIGHT) / max(1, scale.last - scale.first), 1)
    strips = []
    for epoch in epochs:
        words = [
            f"{line.label}: {format_number(own.get(epoch))}"
            for line, own in zip(panel.lines, values, strict=True)
        ]
        strips.append(
            Markup(
                '<rect class="hint" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
            ).format(
                round(scale.x(epoch) - width / 2, 1),
                TOP,
                width,
                HEIGHT - BOTTOM - TOP,
                "\n".join([f"epoch {epoch}", *words]),
            )
        )
    return Markup("").join(strips)


def _draw_legend(line, number):
    num_broken = sum(v is not None and not math.isfinite(v) for _, v in line.points)
    words = f"{line.label} (not finite in {num_broken})" if num_broken else line.label
    return Markup(
        '<span><svg viewBox="0 0 26 8" class="key"><g class="{}"><path d="M1 4 L25 4"/></g></svg>'
        "{}</span>"
    ).format(f"line c{number % NUM_COLORS}", words)
