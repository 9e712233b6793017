"""Tests of the page of a run, without a browser: what it holds, and what it does not ask for."""

import dataclasses
import html.parser
import re

import pytest
from written_runs import CONFIG, HISTORY

from kerasmodes.reporting import page, read_run, write_page
from kerasmodes.reporting.run_files import Table

EVIL = "</title><script>alert('x')</script><img src=x onerror=alert(1)>"
VOID = {"meta", "img", "input", "br"}


class Reader(html.parser.HTMLParser):
    """Collects the elements of a page, and checks that each that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.cells, self._open, self.text = [], [], [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "tr":
            self.cells.append([])

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[-1].append(data)

    def count(self, tag):
        return sum(own == tag for own, _ in self.elements)


def make(run):
    return page.make_page(run, version="1.2.3")


def test_nothing_is_asked_of_a_server(run):
    text = make(run)
    for _, attributes in Reader(text).elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|url\(|@import|\bfetch\b|XMLHttpRequest", text)


def test_the_numbers_are_those_of_the_history(run):
    text = make(run)
    table = Reader(
        text[
            text.index('<table id="history"') : text.index("</table></div></details>")
            + len("</table>")
        ]
    )
    assert table.cells == [line.split(",") for line in HISTORY.splitlines()]


def test_what_tells_most_stands_first(run):
    tiles = re.findall(r'<div class="tile"><b>(.*?)</b><span>(.*?)</span>', make(run))
    assert ("3 of 4", "epochs") in tiles
    assert ("3", "best val_frechet, epoch 3") in tiles
    assert ("3.25", "Fréchet distance, evaluated (baseline 1)") in tiles
    assert ("2,000 µs", "a step, median without the first epoch") in tiles
    assert ("17 s", "training, all epochs") in tiles
    assert ("1,234,567", "parameters") in tiles


def test_all_pictures_and_samples_are_embedded(run):
    reader = Reader(make(run))
    images = [attributes for tag, attributes in reader.elements if tag == "img"]
    assert [one.get("data-epoch") for one in images[:3]] == ["1", "2", "1000"]
    assert ["hidden" in one for one in images[:3]] == [True, True, False]
    assert [one["alt"] for one in images[3:]] == ["classes.png", "interpolation.gif"]
    assert ("input", "2") in [(tag, one.get("max")) for tag, one in reader.elements]


def test_names_of_classes_stay_legible_on_a_telephone(run):
    found = make(run)
    assert '<div class="scroll named"><img alt="classes.png"' in found
    for num_classes in (None, 2):
        other = dataclasses.replace(run, config={**run.config, "num_classes": num_classes})
        found = make(other)
        assert ('<div class="scroll named"><img class="frame"' in found) == bool(num_classes)


def test_metrics_stand_beside_their_baselines(run):
    cells = Reader(make(run)).cells
    assert ["Fréchet distance", "3.25", "1", "↓"] in cells
    assert ["bag", "75.0%", "50.0%"] in cells


def test_covered_factors_stand_beside_those_of_real_images(run):
    coverage = {"generated": {"covered": 0.5}, "real": {"covered": 0.875}}
    evaluation = {**run.evaluation, "factor_coverage": coverage}
    cells = Reader(make(dataclasses.replace(run, evaluation=evaluation))).cells
    assert ["covered", "50.0%", "87.5%"] in cells and ["bag", "75.0%", "50.0%"] in cells


def test_the_report_of_a_nan_is_shown(run):
    record = {"status": "stopped at a number that is not finite", "message": "NaN in\n  'loss'"}
    text = make(dataclasses.replace(run, record=record))
    assert "<pre>NaN in\n  &#39;loss&#39;</pre>" in text
    assert '<span class="status bad">' in text


def test_all_text_of_files_is_escaped(run):
    elements = Reader(make(run)).count("script"), Reader(make(run)).count("img")
    evil = dataclasses.replace(
        run,
        name=EVIL,
        config={**CONFIG, "model": EVIL, "data": EVIL, EVIL: {EVIL: [EVIL]}, "loss": EVIL},
        record={
            **dict.fromkeys(run.record, EVIL),
            "versions": {EVIL: EVIL},
            "devices": [EVIL],
            "epochs": [{"epoch": 0, "seconds": 1.0, "learning_rates": {EVIL: 1.0}}],
        },
        evaluation={
            **dict.fromkeys(run.evaluation, EVIL),
            "results": {EVIL: 1.0},
            "class_shares": {"generated": {EVIL: 1.0}, "real": {EVIL: EVIL}},
        },
        history=Table(["epoch", EVIL, "loss"], [["0", "1", "2"], ["1", EVIL, EVIL]]),
    )
    text = make(evil)
    reader = Reader(text)
    assert (reader.count("script"), reader.count("img")) == elements
    assert not any(name.startswith("on") for _, own in reader.elements for name in own)
    assert "<script>alert" not in text and "".join(reader.text).count("alert('x')") > 9


@pytest.mark.parametrize(
    "left",
    [
        {},
        {"history.csv"},
        {"history.csv", "run.json"},
        {"run.json", "samples/epoch_001.png"},
        {"evaluation.json"},
    ],
)
def test_a_run_may_lack_any_file(folder, left):
    for path in list(folder.rglob("*")):
        if path.is_file() and str(path.relative_to(folder)) not in left:
            path.unlink()
    text = make(read_run(folder, CONFIG))
    assert Reader(text).count("h2") >= 2
    if "history.csv" not in left:
        assert "No epoch has ended." in text or "Time of a step" in text


def test_the_page_is_written_as_a_whole(run, folder):
    write_page(run, folder / "report.html", "1.2.3")
    text = (folder / "report.html").read_text("utf-8")
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert "kerasmodes 1.2.3" in text
    assert not list(folder.glob(".*"))
