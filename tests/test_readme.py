"""Every Python block of the README runs as it stands, in a folder of its own."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_there_are_blocks():
    assert len(BLOCKS) >= 6


# Keras warns of its own default, shuffle=True, whenever `fit` is given a data set.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("mode", ["graph", "fused"])
def test_the_regressor_takes_targets_of_one_dimension(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in BLOCKS if "class Regressor" in block]
    program = {"__name__": "readme"}
    exec(compile(block, str(README), "exec"), program)
    model, x, y = program["model"], program["x"], program["y"]
    expected = model.evaluate(x, y, verbose=0)
    model.compile("adam", mode=mode)
    assert model.evaluate(x, y[:, 0], verbose=0) == pytest.approx(expected, rel=1e-5)
