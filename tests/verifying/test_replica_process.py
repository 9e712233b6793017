"""Tests of replicas in a process of their own: all with one process."""

import gc
import pathlib
import subprocess
import sys
import tempfile
import types

import pytest
import verification_zoo as zoo

import kerasmodes as km
from kerasmodes.verifying import causes

# TensorFlow starts while the process reads this.
SCRIPT = """
import pathlib
import sys

sys.modules.update(jax=None, sklearn=None)  # TensorFlow and Keras would import them: 2 s.

import kerasmodes as km
import tensorflow as tf

pathlib.Path({path!r}).write_text(f"{{__name__}} {{tf.ones(1).numpy()}}")
"""
PROGRAM = """
import sys
import tempfile
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


# The tests have two devices.
THREE = {"replicas": 3, "batch_size": 6}


@pytest.mark.slow
@pytest.mark.workers
def test_replicas_run_in_a_process_that_reads_the_script_where_tensorflow_has_started(
    tmp_path, monkeypatch
):
    script = types.ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    (tmp_path / "script.py").write_text(SCRIPT.format(path=str(tmp_path / "read")))
    monkeypatch.setitem(sys.modules, "__main__", script)
    report = zoo.verify(zoo.FAULTS["plain mean, SGD"], **THREE)
    assert (tmp_path / "read").read_text() == "__mp_main__ [1.]"
    assert report["graph"].is_ok and report.causes == {causes.MEAN}
    assert all(
        words in report["3 replicas"].words
        for words in ("every weight", "3 times", "km.average_loss")
    )


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_a_function_that_cannot_be_sent_to_the_process_is_refused():
    with pytest.raises(ValueError, match="must be a function at the top of a module"):
        zoo.verify(zoo.Case(lambda: km.SumRegressor(())), **THREE)
    gc.collect()  # Here: what is left of the folder for the process says so.


@pytest.mark.sweep
@pytest.mark.workers
def test_the_process_of_the_replicas_reads_a_script(tmp_path):
    tests = pathlib.Path(__file__).parents[1]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=str(tests)))
    run = subprocess.run([sys.executable, program], capture_output=True, text=True)
    lines = run.stdout.strip().splitlines()
    assert lines[0] == "agrees {'plain mean'}", run.stderr
    assert "must be a function at the top of a module" in lines[-1]


def test_what_cannot_be_sent_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="`build_model` must be sent to another process"):
        zoo.verify(zoo.Case(lambda: km.SumRegressor()), **THREE)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
