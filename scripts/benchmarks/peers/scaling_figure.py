"""The picture of the scaling section: times over width for three batch sizes, and fused's gain."""

import matplotlib.colors
import matplotlib.patches

from kerasmodes import figure_style
from kerasmodes.figure_style import BLUE, GREY, RED

# name in the cells: label, colour, line style, width
LINES = {
    "stock": ("stock fit", GREY, (0, (1, 1.2)), 2.2),
    "graph": ("graph", BLUE, "-", 1.6),
    "JAX": ("JAX scan", "#b8860b", (0, (4, 1.5)), 1.8),
    "fused": ("fused", RED, "-", 2.4),
}
GRIDS = {"graph": "Fused is so many times faster than graph", "JAX": "... than JAX's scan"}


def save(section, path):
    """Draws the section's cells into a PNG and returns its path."""
    figure = figure_style.make_figure(9, 7, dpi=150)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1), hspace=0.04)
    cells = section["cells"]
    batch_sizes = sorted({cell["batch_size"] for cell in cells})
    shown = sorted({batch_sizes[0], batch_sizes[len(batch_sizes) // 2], batch_sizes[-1]})
    panels = upper.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, batch_size in zip(panels, shown, strict=True):
        _draw_lines(axes, [cell for cell in cells if cell["batch_size"] == batch_size])
        axes.set_title(f"batch {batch_size:,}", fontsize=11)
    panels[0].set_ylabel("µs per step")
    _label_lines(panels[0], [cell for cell in cells if cell["batch_size"] == shown[0]])
    for axes, (name, title) in zip(lower.subplots(1, 2), GRIDS.items(), strict=True):
        _draw_grid(axes, cells, name, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _draw_lines(axes, cells):
    widths = [cell["width"] for cell in cells]
    for name, (_, color, style, line_width) in LINES.items():
        times = [cell["microseconds"][name] or float("nan") for cell in cells]
        axes.plot(widths, times, color=color, ls=style, lw=line_width, marker="o", ms=3.5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.margins(y=0.13)
    axes.set_xticks(widths, [str(width) for width in widths])
    axes.set_xlabel("width of both hidden layers")
    figure_style.style_axes(axes, grid="y")


def _label_lines(axes, cells):
    """Writes each line's name at its left end: from the lowest line up, below and above in turn."""
    first = min(cells, key=lambda cell: cell["width"])
    times = {name: time for name, time in first["microseconds"].items() if time}
    for index, name in enumerate(sorted(times, key=times.get)):
        is_below = index % 2 == 0
        axes.annotate(
            LINES[name][0],
            (first["width"], times[name]),
            xytext=(0, -7 if is_below else 9),
            textcoords="offset points",
            va="top" if is_below else "bottom",
            color=LINES[name][1],
            weight="bold" if name == "fused" else "normal",
        )


def _draw_grid(axes, cells, name, title):
    """Draws one coloured square a cell: how many times faster fused is than `name`."""
    widths = sorted({cell["width"] for cell in cells})
    batch_sizes = sorted({cell["batch_size"] for cell in cells})
    colors = matplotlib.colors.LinearSegmentedColormap.from_list(
        "gain", [RED, "#ffffff", "#2f6f9f"]
    )
    scale = matplotlib.colors.LogNorm(1 / 32, 32, clip=True)
    for cell in cells:
        times = cell["microseconds"]
        if not times[name] or not times["fused"]:
            continue
        gain = times[name] / times["fused"]
        column, line = widths.index(cell["width"]), batch_sizes.index(cell["batch_size"])
        color = colors(scale(gain))
        axes.add_patch(_make_square(column, line, color))
        is_dark = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] < 0.55
        axes.text(
            column,
            line,
            f"{gain:.0f}" if gain >= 10 else f"{gain:.1f}" if gain >= 0.95 else f"{gain:.2f}",
            ha="center",
            va="center",
            color="white" if is_dark else "black",
        )
    axes.set(xlim=(-0.5, len(widths) - 0.5), ylim=(-0.5, len(batch_sizes) - 0.5))
    axes.set_xticks(range(len(widths)), [str(width) for width in widths])
    axes.set_yticks(range(len(batch_sizes)), [f"{size:,}" for size in batch_sizes])
    axes.set(xlabel="width of both hidden layers", ylabel="batch size")
    axes.set_title(title, fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _make_square(column, line, color):
    return matplotlib.patches.Rectangle(
        (column - 0.48, line - 0.48), 0.96, 0.96, facecolor=color, edgecolor="none"
    )
