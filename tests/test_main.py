"""Tests of `python -m kerasmodes`: a program of its own that prints no notice of TensorFlow."""

import subprocess
import sys

import pytest
from test_quiet_start import clean_environment


@pytest.mark.slow
def test_the_command_prints_nothing_on_stderr(tmp_path):
    words = ["compare", "sum", "--modes=fused", "--steps=2", "--repeats=1"]
    process = subprocess.run(
        [sys.executable, "-m", "kerasmodes", *words],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "fused" in process.stdout
