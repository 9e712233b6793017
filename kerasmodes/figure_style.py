"""One style for all pictures: colours that colour-blind readers can tell apart, grid, sizes.

What is drawn is decided where it is drawn. The colours are Paul Tol's, "bright" and "vibrant"
(https://personal.sron.nl/~pault/).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Matplotlib takes long to import: only what draws does it.
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, RED, GREY = "#4477aa", "#cc3311", "#888888"
# In the order in which lines of one panel take them.
COLORS = (BLUE, "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44")
GRID = "#dddddd"
TITLE_SIZE, SMALL, SMALLEST = 11, 9, 8  # points


def make_figure(width: float, height: float, dpi: int = 120) -> "Figure":
    """Returns an empty figure without a window, so that it needs no display.

    Args:
        width, height: Inches.
        dpi: Pixels an inch.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def style_axes(axes: "Axes", grid: str = "both") -> None:
    """Gives a panel the grid, the frame and the text sizes that all have.

    Args:
        axes: The panel.
        grid: `"both"`, `"x"`, `"y"`, or `""` for none.
    """
    axes.tick_params(labelsize=SMALL)
    axes.xaxis.label.set_size(SMALL)
    axes.yaxis.label.set_size(SMALL)
    if grid:
        axes.grid(axis=grid, color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def set_title(axes: "Axes", title: str) -> None:
    """Writes the title of a panel, above its left edge."""
    axes.set_title(title, loc="left", fontsize=TITLE_SIZE)
