"""Tests of the files of a comparison of modes: those for TensorBoard are read by its server."""

import json

import pytest
from board import get, list_sessions, open_board

from kerasmodes import comparison_files, figure_style

pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning")

ROW = {"compile_seconds": 0.5, "loss": 2.0, "logs": {"loss": 2.0}}
ROWS = [
    {**ROW, "mode": "keras", "microseconds_per_step": 800.0, "times_faster": 1.0},
    {**ROW, "mode": "fused", "microseconds_per_step": 2.0, "times_faster": 400.0},
]
ROWS = [{**row, "difference_from_graph": None} for row in ROWS]


@pytest.mark.slow
def test_tensorboard_shows_a_run_and_a_row_of_settings_for_each_mode(tmp_path):
    comparison_files.save_comparison(ROWS, tmp_path)
    client = open_board(tmp_path)
    tags = get(client, "scalars/tags")
    assert set(tags) == {"modes_events/keras", "modes_events/fused"}
    path = "scalars/scalars?run=modes_events/fused&tag=microseconds_per_step"
    assert [row[2] for row in get(client, path)] == [2.0]
    found = {one["hparams"]["mode"]: one for one in list_sessions(client)}
    assert found["fused"]["values"]["times_faster"] == 400
    assert found["keras"]["values"]["loss"] == 2
    assert {one["status"] for one in found.values()} == {"STATUS_SUCCESS"}
    assert "difference_from_graph" not in found["keras"]["values"]


@pytest.mark.slow
def test_a_second_comparison_takes_the_place_of_the_first(tmp_path):
    for rows in (ROWS, ROWS[1:]):
        comparison_files.save_comparison(rows, tmp_path)
    assert json.loads((tmp_path / "modes.json").read_text()) == ROWS[1:]
    (folder,) = (tmp_path / "modes_events").iterdir()
    assert (folder.name, len(list(folder.iterdir()))) == ("fused", 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(comparison_files.FILES)


def test_stock_keras_is_grey_and_fused_is_red():
    (axes,) = comparison_files.draw_comparison(ROWS).axes
    colors = [figure_style.GREY, figure_style.RED]
    assert [bar.get_facecolor() for bar in axes.patches] == [
        tuple(int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)) + (1.0,) for color in colors
    ]
