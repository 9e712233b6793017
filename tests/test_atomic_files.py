"""Tests of files that appear whole or not at all."""

import os
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


def test_a_folder_is_tried_and_not_made(tmp_path):
    atomic_files.check_writable("directory", tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"`directory` must be a folder. Received: .*file. is a file"
    ):
        atomic_files.check_writable("directory", tmp_path / "file" / "b")


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    other = tmp_path / "other"
    other.write_text("old")
    link = tmp_path / "run" / f".{os.getpid()}{atomic_files.MARK}a.json"
    link.symlink_to(other)
    with atomic_files.atomic_write(tmp_path / "run" / "a.json") as temporary:
        temporary.write_text("new")
    assert (other.read_text(), (tmp_path / "run" / "a.json").read_text()) == ("old", "new")


def test_temporary_folders_of_killed_programs_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files.tempfile, "tempdir", str(tmp_path))
    program = f"""
import os, signal, tempfile
from kerasmodes import atomic_files
tempfile.tempdir = {str(tmp_path)!r}
with atomic_files.temporary_folder() as folder:
    (folder / "file").write_text("kept")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", WITHOUT_TENSORFLOW + program], check=False)
    (left,) = tmp_path.iterdir()
    assert [path.name for path in left.iterdir()] == ["file"]
    (tmp_path / ".1.part.others").mkdir()  # Not from here.
    with atomic_files.temporary_folder() as folder, atomic_files.temporary_folder() as other:
        assert folder.is_dir() and other.is_dir() and not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == [".1.part.others"]
