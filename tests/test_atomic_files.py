"""Tests of files that appear whole or not at all."""

import subprocess
import sys

import pytest
from processes import WITHOUT_TENSORFLOW

from kerasmodes import atomic_files


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "note.txt"
    with atomic_files.atomic_write(path) as temporary:
        temporary.write_text("done")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "done"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic_files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_no_folder_that_was_made_for_another(tmp_path):
    with (
        pytest.raises(OSError, match="disk full"),
        atomic_files.atomic_folder(tmp_path / "a" / "b" / "c"),
    ):
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_programs_have_left_is_removed(tmp_path):
    program = WITHOUT_TENSORFLOW + "import os; from kerasmodes import atomic_files\n"
    program += "with atomic_files.atomic_write(sys.argv[1]) as temporary:\n"
    program += "    temporary.write_text('half'); os._exit(9)"
    path = tmp_path / "note.txt"
    assert subprocess.run([sys.executable, "-c", program, path], check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    with atomic_files.atomic_write(path) as temporary:
        temporary.write_text("ours")
        atomic_files.remove_parts(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["note.txt"]
