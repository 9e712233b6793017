"""Tests of what a program with `kerasmodes` prints on stderr: what its user can act on, no more."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from test_readme import BLOCKS

from kerasmodes import quiet_start

ROOT = pathlib.Path(quiet_start.__file__).parent.parent

INFO = b"I0000 00:00:1795706625.315801   13957 port.cc:153] oneDNN is on\n"
WARNING = b"W0000 00:00:1795706625.315801   13957 port.cc:153] slow\n"
ERROR = b"E0000 00:00:1795706625.315801   13957 port.cc:153] broken\n"
OTHER = b"Something else.\n"
NOTICES = [re.compile(rb"I\d{4} "), re.compile(rb"W\d{4} ")]


def clean_environment():
    """Returns the environment of a program whose user asks for no level of messages."""
    names = (quiet_start.LEVEL, *quiet_start.OTHER_VARIABLES)
    environment = {name: value for name, value in os.environ.items() if name not in names}
    return {**environment, "PYTHONPATH": str(ROOT)}


def run(program, folder, **variables):
    """Returns the finished process of a program to which the user has given only these levels."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**clean_environment(), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.sweep  # By default, the command's: `test_main.py`.
def test_the_first_program_of_the_readme_prints_nothing_on_stderr(tmp_path):
    assert run(BLOCKS[0][1].replace("10_000", "100"), tmp_path).stderr == ""


@pytest.mark.sweep
def test_who_asks_for_all_messages_gets_them(tmp_path):
    program = "import os, kerasmodes; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    process = run(program, tmp_path, TF_CPP_MIN_LOG_LEVEL="0")
    assert process.stdout == "0\n"
    assert re.search(r"^I\d{4} ", process.stderr, re.MULTILINE)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_in_the_environment_is_refused_at_once(backend, tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("import kerasmodes", tmp_path, KERAS_BACKEND=backend)
    *_, last = failed.value.stderr.splitlines()
    assert last == (
        "ImportError: kerasmodes needs Keras's TensorFlow backend. "
        f"Received: KERAS_BACKEND={backend}"
    )


@pytest.mark.slow
def test_another_backend_in_the_settings_of_keras_is_refused(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "numpy"}')
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("import kerasmodes", tmp_path, KERAS_HOME=str(tmp_path), KERAS_BACKEND="")
    *_, last = failed.value.stderr.splitlines()
    assert "TensorFlow backend. Received: Keras on 'numpy'. Set KERAS_BACKEND=tensorflow" in last


@pytest.mark.parametrize(
    ("words", "number", "expected"),
    [
        (["/venv/bin/kerasmodes", "train"], 2, True),
        (["-W", "error", "-m", "kerasmodes", "train", "sum"], 3, True),
        (["scripts/kerasmodes"], 1, True),
        (["train.py", "kerasmodes"], 2, False),
        (["-c", "import kerasmodes", "kerasmodes"], 2, False),
        (["-m", "pytest"], 1, False),
        ([], 1, False),  # Python's own prompt, whose first word is empty.
    ],
)
def test_only_the_command_waits_with_the_import(words, number, expected, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", *words])
    monkeypatch.setattr(sys, "argv", ["", *words[len(words) - number + 1 :]])
    assert not quiet_start.is_deferred()  # It is imported.
    monkeypatch.delitem(sys.modules, quiet_start.FIRST)
    assert quiet_start.is_deferred() == expected


def test_a_process_that_the_command_has_spawned_does_not_wait(monkeypatch):
    monkeypatch.delitem(sys.modules, quiet_start.FIRST)
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-c", "spawn_main()"])
    for words in (["verify"], ["verify", "mine:build"], ["verify", "mine:build", "--loss", "mse"]):
        monkeypatch.setattr(sys, "argv", ["/venv/bin/kerasmodes", *words])
        assert not quiet_start.is_deferred()


def test_a_tensorflow_that_runs_already_is_left_alone(monkeypatch):
    assert "tensorflow" in sys.modules
    for name in (quiet_start.LEVEL, *quiet_start.OTHER_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    quiet_start.import_tensorflow()
    assert quiet_start.LEVEL not in os.environ


def test_only_notices_are_held_back(capfd):
    with quiet_start.hold_back(NOTICES):
        os.write(2, INFO + OTHER + WARNING + ERROR)
    assert capfd.readouterr().err.encode() == OTHER + ERROR


def test_all_is_shown_when_the_start_fails(capfd):
    with pytest.raises(ImportError), quiet_start.hold_back(NOTICES):
        os.write(2, INFO + WARNING)
        raise ImportError
    assert capfd.readouterr().err.encode() == INFO + WARNING


def test_nothing_is_held_back_without_a_folder_for_temporary_files(capfd, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", "/nowhere")
        with quiet_start.hold_back(NOTICES):
            os.write(2, INFO)
    assert capfd.readouterr().err.encode() == INFO
