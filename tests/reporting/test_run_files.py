"""Tests of what is read of a run's folder, and of what is not."""

import math

import pytest

from kerasmodes.reporting import run_files


@pytest.fixture
def files(folder):
    return run_files.RunFiles(folder)


def test_a_table_has_texts_and_numbers(files, folder):
    (folder / "history.csv").write_text('epoch,loss\n0,1.5\n1,nan\n2,NA\n3,"[1, 2]"\n4')
    table = files.read_table("history.csv")
    assert table.names == ["epoch", "loss"]
    assert table.rows[3] == ["3", "[1, 2]"]
    assert table.rows[4] == ["4", ""]  # A program was killed while it wrote.
    loss = table.column("loss")
    assert (loss[0], loss[2:]) == (1.5, [None, None, None])
    assert math.isnan(loss[1])
    assert table.column("other") == [None] * 5


def test_a_picture_is_embedded_with_its_size(files):
    picture = files.read_picture("classes.png")
    assert (picture.width, picture.height) == (8, 4)
    assert picture.data_uri.startswith("data:image/png;base64,iVBOR")
    picture = files.read_picture("interpolation.gif")
    assert (picture.width, picture.height) == (6, 4)
    assert picture.data_uri.startswith("data:image/gif;base64,")


def test_a_large_picture_is_not_embedded(files, monkeypatch):
    monkeypatch.setattr(run_files, "MOST_PICTURE_BYTES", 40)
    picture = files.read_picture("classes.png")
    assert (picture.width, picture.data_uri) == (8, "")


def test_files_that_are_not_there_are_empty(files):
    assert files.read_json("none.json") == {}
    assert files.read_table("none.csv").rows == []
    assert files.read_picture("none.png") is None


@pytest.mark.parametrize("name", ["evaluation.json", "classes.png", "history.csv", "samples"])
def test_a_link_out_of_the_folder_is_not_followed(files, folder, name):
    outside = folder.parent / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    inside = "samples/epoch_001.png" if name == "samples" else name
    assert outside.exists() and not files.has(inside)
    assert files.list_names(inside) == []


def test_a_path_out_of_the_folder_is_not_followed(files, folder):
    (folder.parent / "secret.json").write_text("{}")
    assert not files.has("../secret.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", b"{ half", "evaluation.json that can be read, or none"),
        ("evaluation.json", b"[1]", "it holds a list"),
        ("evaluation.json", b"[" * 20_000, "maximum recursion depth"),
        ("history.csv", b"\xff\xfe", "history.csv that can be read"),
        ("classes.png", b"<svg onload='steal()'>" * 9, "it is no PNG and no GIF"),
    ],
)
def test_a_damaged_file_is_named(files, folder, name, content, message):
    (folder / name).write_bytes(content)
    read = {"json": files.read_json, "csv": files.read_table, "png": files.read_picture}
    with pytest.raises(ValueError, match=message):
        read[name.rpartition(".")[2]](name)


def test_a_file_that_is_too_large_is_refused(files, monkeypatch):
    monkeypatch.setattr(run_files, "MOST_BYTES", 10)
    with pytest.raises(ValueError, match="it is larger than 10 bytes"):
        files.read_table("history.csv")


def test_what_is_no_folder_is_refused(folder):
    with pytest.raises(ValueError, match="`run` must be the folder of a run. Received: run="):
        run_files.RunFiles(folder / "history.csv")
