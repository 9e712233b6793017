"""Tests of what a source distribution holds."""

import pathlib
import subprocess
import sys
import tarfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.slow
def test_a_source_distribution_holds_the_tests_with_what_they_read(tmp_path):
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    command += ["sdist", "--dist-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("scripts/guides/*.md")]
    assert {str(one.relative_to(ROOT)) for one in wanted} <= held
    assert {"CHANGELOG.md", "LICENSE", "kerasmodes/py.typed"} <= held
    assert not [name for name in held if name.endswith(".pyc")]
