"""Tests of files that appear whole or not at all."""

import pytest

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
