"""Tests of replicas in a process of their own: all with one process."""

import pathlib
import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import kerasmodes as km
import verification_zoo as zoo

if __name__ == "__main__":
    report = zoo.verify(zoo.FAULTS["plain mean, SGD"])
    print(report["graph"].verdict, report.causes)
    try:
        zoo.verify(zoo.Case(lambda: km.SumRegressor()), replicas=2)
    except ValueError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.workers
def test_replicas_run_in_a_process_of_their_own_where_tensorflow_has_started(tmp_path):
    tests = pathlib.Path(__file__).parents[1]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=str(tests)))
    run = subprocess.run([sys.executable, program], capture_output=True, text=True)
    lines = run.stdout.strip().splitlines()
    assert lines[0] == "agrees {'plain mean'}", run.stderr
    assert "must be a function at the top of a module" in lines[-1]
