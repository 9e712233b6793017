"""Tests of `python -m kerasmodes`: a program of its own that prints no notice of TensorFlow."""

import re
import subprocess
import sys

import pytest
import tensorflow as tf
from test_quiet_start import clean_environment

# TensorFlow 2.20 says so once, whatever level of messages it is asked for.
FIRST_XLA = re.compile("(WARNING: All log messages.*\n)?I.*Compiled cluster using XLA.*\n")


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
def test_a_folder_that_hides_keras_is_named(tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "__init__.py").touch()
    process = subprocess.run(
        [sys.executable, "-m", "kerasmodes", "train", "sum", "--help"],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    words = f"error: `keras` must be Keras's own package. Received: {tmp_path / 'keras'}"
    assert (process.returncode, process.stderr.replace("\n", "")[: len(words)]) == (1, words)


@pytest.mark.slow
def test_the_command_prints_nothing_on_stderr(tmp_path):
    # A module of the user's own that uses the library within the command.
    source = "import keras\nimport kerasmodes as km\n\n\nclass Mine(keras.optimizers.SGD):\n"
    (tmp_path / "mine.py").write_text(f"{source}    model = km.SumRegressor\n")
    (tmp_path / "sklearn.py").write_text("raise ImportError")  # Keras imports it: a second.
    words = [
        "compare",
        "sum",
        "--modes=fused",
        "--units=2",
        "--steps=2",
        "--repeats=1",
        "--optimizer=mine.Mine",
    ]
    process = subprocess.run(
        [sys.executable, "-m", "kerasmodes", *words],
        env=clean_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    is_old = tf.__version__.startswith("2.20.")
    errors = FIRST_XLA.sub("", process.stderr) if is_old else process.stderr
    assert (process.returncode, errors) == (0, "")
    assert "fused" in process.stdout
