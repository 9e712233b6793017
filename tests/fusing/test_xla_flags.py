"""Tests of what XLA is told through its environment variable."""

import os

import pytest

from kerasmodes.fusing import xla_flags

OPTION = "xla_cpu_small_while_loop_byte_threshold=131072"


def test_importing_the_package_asks_for_whole_loops():
    assert OPTION in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"--xla_backend_extra_options={OPTION}"),
        ("--xla_a=1", f"--xla_a=1 --xla_backend_extra_options={OPTION}"),
        (
            "--xla_backend_extra_options=b=2 --xla_a=1",
            f"--xla_a=1 --xla_backend_extra_options=b=2,{OPTION}",
        ),
        ("--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=0", None),
    ],
)
def test_the_users_own_flags_stay(monkeypatch, before, after):
    if before is None:
        monkeypatch.delenv("XLA_FLAGS")
    else:
        monkeypatch.setenv("XLA_FLAGS", before)
    xla_flags.ask_for_whole_loops()
    assert os.environ["XLA_FLAGS"] == (after or before)
