"""Tests of the charts: curves go through their points, text is escaped, odd values are harmless."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from kerasmodes.log_panels import Line, Panel
from kerasmodes.reporting import charts

NAN = float("nan")


def draw(*values, label="a"):
    points = [(epoch + 1, value) for epoch, value in enumerate(values)]
    figure = charts.draw_panel(Panel("Loss", "no unit", [Line(label, points)]))
    return ElementTree.fromstring(str(figure))


def find_path(figure):
    """Returns the stretches of the curve, lists of places."""
    path = figure.find("./svg//path").get("d")
    return [re.findall(r"([\d.-]+) ([\d.-]+)", part) for part in path.split("M")[1:]]


def test_a_curve_goes_from_edge_to_edge_and_up_with_its_values():
    ((first, second, third),) = find_path(draw(1.0, 2.0, 1.5))
    assert float(first[0]) == charts.LEFT
    assert float(third[0]) == charts.WIDTH - charts.RIGHT
    assert float(second[1]) < float(third[1]) < float(first[1])  # y points down.


def test_a_number_that_is_not_finite_is_a_gap_and_a_missing_one_is_none():
    assert [len(part) for part in find_path(draw(1.0, 2.0, NAN, 3.0))] == [2, 1]
    assert [len(part) for part in find_path(draw(1.0, None, 3.0))] == [2]
    assert "(not finite in 1)" in "".join(draw(1.0, NAN).itertext())


@pytest.mark.parametrize("values", [(0.0,), (5.0, 5.0), (NAN,), (-1e30, 1e30), (1e-9, 1e3)])
def test_odd_values_are_drawn_within_the_chart(values):
    for part in find_path(draw(*values)):
        for x, y in part:
            assert charts.LEFT <= float(x) <= charts.WIDTH
            assert 0 <= float(y) <= charts.HEIGHT


def test_axes_name_their_units():
    figure = draw(1.0, 2.0)
    texts = [one.text for one in figure.findall(".//text[@class='unit']")]
    assert texts == ["epoch", "no unit"]
    figure = draw(1.0, 1000.0)
    assert figure.findall(".//text[@class='unit']")[1].text == "no unit, log axis"


def test_each_epoch_tells_its_numbers():
    titles = [one.text for one in draw(1.25, NAN).findall(".//title")]
    assert titles == ["epoch 1\na: 1.25", "epoch 2\na: NaN"]


def test_text_is_escaped():
    label = "<script>alert(1)</script>"
    figure = draw(1.0, label=label)
    assert figure.find(".//script") is None
    assert label in "".join(figure.itertext())


def test_ticks_of_large_numbers_are_short():
    texts = [one.text for one in draw(0.0, 1.6e6).findall(".//text[@class='tick']")]
    assert "800k" in texts and "1.6M" in texts


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.123456, "0.1235"),
        (1234.5678, "1,235"),
        (0.00001234, "1.23e-05"),
        (214_012.3, "214,012"),
        (1e12, "1e+12"),
        (-2.5, "-2.5"),
        (100.0, "100"),
        (NAN, "NaN"),
        (None, "–"),
    ],
)
def test_numbers_have_four_digits(number, text):
    assert charts.format_number(number) == text
