"""Tests of what XLA is told through its environment variable."""

import os

import pytest

from kerasmodes.engine import xla_flags

FLAG = "--xla_backend_extra_options="
SMALL, ROLLED = "xla_cpu_small_while_loop_byte_threshold", "xla_cpu_disable_loop_unrolling"
OWN = f"{SMALL}=131072,{ROLLED}"


def test_importing_the_package_asks_for_whole_loops():
    assert OWN in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{FLAG}{OWN}"),
        ("--xla_a=1", f"--xla_a=1 {FLAG}{OWN}"),
        (f"{FLAG}b=2 --xla_a=1", f"--xla_a=1 {FLAG}b=2,{OWN}"),
        (f"{FLAG}{SMALL}=0", f"{FLAG}{SMALL}=0,{ROLLED}"),
        (f"{FLAG}{OWN}", f"{FLAG}{OWN}"),
    ],
)
def test_the_users_own_flags_stay(monkeypatch, before, after):
    monkeypatch.setenv("XLA_FLAGS", before)
    xla_flags.ask_for_whole_loops()
    assert os.environ["XLA_FLAGS"] == after
