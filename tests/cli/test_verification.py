"""Tests of `kerasmodes verify`."""

import json
import re
import sys

import pytest

from kerasmodes import cli

MODULE = """
import keras
import numpy as np

def build():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

def load():
    return np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
"""
FLAGS = ["--optimizer=sgd", "--loss=mse", "--replicas=1", "--resume=false", "--batch-size=2"]


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_model.py").write_text(MODULE)
    yield "own_model"
    sys.modules.pop("own_model", None)


def test_a_model_of_the_user_is_verified(module, tmp_path, capsys):
    words = [f"{module}:build", f"--data={module}:load", "--modes=[eager,graph]", "--steps=2"]
    assert cli.main(["verify", *words, *FLAGS, "--path=report.json"]) == 0
    printed = capsys.readouterr().out
    assert "the numbers are the same" in printed
    assert "[/]" not in printed  # Colours are shown, not spelled.
    assert "Written: report.json" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["way"] for one in report["findings"]] == ["eager", "graph"]


def test_other_numbers_are_an_error(module, capsys):
    words = [f"{module}:build", f"--data={module}:load", "--modes=[graph]", "--loss=nothing"]
    assert cli.main(["verify", *words, *FLAGS[:1], *FLAGS[2:]]) == 1
    assert "error:" in capsys.readouterr().err


def test_a_function_that_is_not_there_is_named(module, capsys):
    assert cli.main(["verify", f"{module}:nothing", f"--data={module}:load"]) == 1
    message = "`build_model` must name a function. Received: build_model=.own_model:nothing."
    assert re.search(message, capsys.readouterr().err)
