"""Tests of `kerasmodes train msggan --metrics-every`; the rest is in `tests/test_cli.py`."""

import functools

import numpy as np

import kerasmodes as km
from kerasmodes import cli


def test_metrics_go_into_the_history(tmp_path, monkeypatch):
    monkeypatch.setitem(km.presets.PRESETS, "default", functools.partial(km.presets.Default, 8, 8))
    words = ["--split=train[:32]", "--batch-size=32", "--num-scales=1", "--metrics-every=2"]
    run = tmp_path / "run"
    assert cli.main(["train", "msggan", *words, "--epochs=2", f"--run={run}"]) == 0
    history = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
    assert history["val_frechet"][0] != history["val_frechet"][1]
    assert np.isfinite(history["val_swd_28"]).all()
