"""Tests of who imports whom: the ladder as data, and what a plain import must not load."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

import kerasmodes

# From the bottom up. A room is a module or folder of the package; it may import from the rungs
# below its own, and from itself. `__init__` is what `import kerasmodes` gives.
LADDER = (
    ("arguments", "figure_style", "log_panels", "quiet_start", "replicas"),
    ("atomic_files", "modes", "random", "averaging"),
    ("engine",),
    ("models", "data", "metrics", "strategies", "launching", "comparison_files"),
    ("callbacks", "comparing", "reporting", "tuning"),
    ("trial_runs", "verifying"),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
RUNGS = {room: rung for rung, rooms in enumerate(LADDER) for room in rooms}
PACKAGE = pathlib.Path(kerasmodes.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
HEAVY = ("matplotlib", "keras_tuner", "tensorflow_datasets")
# What no help and no error in a flag needs: with these, they would take seconds.
HEAVY_OF_COMMAND = (*HEAVY, "tensorflow", "keras", "numpy", "PIL", "mlflow", "wandb")


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(source):
    """Yields the full name of each module that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def wrong_imports(room, source):
    """Returns the imports that do not lead down the ladder."""
    wrong = []
    for name in imported_modules(source):
        package, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        target = target if target in RUNGS else "__init__"
        if package == "kerasmodes" and target != room and RUNGS[target] >= RUNGS[room]:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_lead_down_the_ladder(path):
    assert room_of(path) in RUNGS
    assert wrong_imports(room_of(path), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("modes", "from kerasmodes import random"),  # sideways
        ("models", "import kerasmodes.data.synthetic"),  # sideways
        ("random", "def f():\n    from kerasmodes.engine import Model"),  # up, and hidden
        ("engine", "from kerasmodes.cli.flags import x"),  # up
        ("callbacks", "import kerasmodes as km"),  # up
        ("tuning", "from kerasmodes import __version__"),  # up
    ],
)
def test_a_step_up_or_sideways_is_found(room, source):
    assert wrong_imports(room, source) != []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("engine", "from kerasmodes import random"),
        ("models", "from kerasmodes.models.msg_gan import MSGGAN"),
        ("cli", "import kerasmodes\nfrom kerasmodes import data, tuning"),
        ("modes", "import dataclasses\nimport kerasmodesque"),
    ],
)
def test_a_step_down_or_at_home_is_allowed(room, source):
    assert wrong_imports(room, source) == []


def test_the_modes_know_no_tensorflow():
    names = {
        name.split(".")[0] for name in imported_modules((PACKAGE / "modes.py").read_text("utf-8"))
    }
    assert names == {"dataclasses", "kerasmodes", "math", "typing"}


@pytest.mark.slow
def test_help_and_errors_in_flags_import_nothing_heavy(tmp_path):
    program = f"""
import contextlib, io, sys
from kerasmodes import cli
from kerasmodes.cli import help
commands = [row[0].split() for row in help._list_commands((), cli.COMMANDS)]
words = [["--version"], [], ["train"], ["trian"], ["train", "sum", "--print-config"]]
for command in commands:
    words += [[*command, "--help"], [*command, "--no-such=3"], [*command, "--seed="]]
ends = []
for one in words:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            ends.append(cli.main(one))
        except SystemExit as end:
            ends.append(end.code)
print(sorted(set(ends)), sorted({set(HEAVY_OF_COMMAND)} & set(sys.modules)))
"""
    run = run_command(program, tmp_path)
    assert run.stdout == "[0, 2] []\n", run.stderr


@pytest.mark.slow
def test_the_command_imports_the_library_at_its_first_use(tmp_path):
    # That a program that trains needs nothing heavy is in `test_workers.py`.
    program = f"import kerasmodes as km, sys\nprint({set(HEAVY_OF_COMMAND)} & set(sys.modules))\n"
    run = run_command(program, tmp_path)
    assert run.stdout == "set()\n", run.stderr


def run_command(program, folder):
    """Returns the finished process of a program that has the command's name."""
    (folder / "kerasmodes").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    words = [sys.executable, str(folder / "kerasmodes")]
    return subprocess.run(words, capture_output=True, text=True, env=environment)
