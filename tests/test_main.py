"""Tests of `python -m kerasmodes`: a program of its own that prints no notice of TensorFlow."""

import subprocess
import sys

import pytest
from test_quiet_start import clean_environment


@pytest.mark.slow
def test_help_is_quiet_and_starts_no_tensorflow(tmp_path):
    process = subprocess.run(
        [sys.executable, "-W", "error", "-X", "importtime", "-m", "kerasmodes", "train", "--help"],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stdout[:23]) == (0, "usage: kerasmodes train")
    lines = process.stderr.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"import time"}
    assert {line.rpartition("|")[2].strip() for line in lines} & {"tensorflow", "numpy"} == set()


@pytest.mark.slow
def test_the_command_prints_nothing_on_stderr(tmp_path):
    # A module of the user's own that uses the library within the command.
    source = "import keras\nimport kerasmodes as km\n\n\nclass Mine(keras.optimizers.SGD):\n"
    (tmp_path / "mine.py").write_text(f"{source}    model = km.SumRegressor\n")
    words = ["compare", "sum", "--modes=fused", "--steps=2", "--repeats=1", "--optimizer=mine.Mine"]
    process = subprocess.run(
        [sys.executable, "-m", "kerasmodes", *words],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "fused" in process.stdout
