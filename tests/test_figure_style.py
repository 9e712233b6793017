"""Tests of the style that all pictures share."""

from kerasmodes import figure_style


def test_lines_of_a_panel_have_different_colours():
    assert len(set(figure_style.COLORS)) == len(figure_style.COLORS) >= 6


def test_a_figure_has_its_size_in_pixels():
    figure = figure_style.make_figure(2, 1, dpi=50)
    assert tuple(figure.bbox.size) == (100, 50)


def test_a_panel_has_a_grid_behind_its_curves_and_no_frame_above():
    axes = figure_style.make_figure(2, 1).add_subplot()
    figure_style.style_axes(axes, grid="y")
    figure_style.set_title(axes, "loss")
    assert axes.get_axisbelow() is True
    assert axes.yaxis.get_gridlines()[0].get_visible()
    assert not axes.xaxis.get_gridlines()[0].get_visible()
    assert not axes.spines["top"].get_visible() and axes.spines["left"].get_visible()
    assert axes.get_title(loc="left") == "loss"
