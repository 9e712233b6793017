"""Tests of the checks that many parts of the package share: what passes, and what is said."""

import numpy as np
import pytest

from kerasmodes import arguments


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(1)])
def test_positive_integers_pass(value):
    arguments.check_positive_integers(k=value)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None, np.float32(1)])
def test_what_is_no_positive_integer_is_named(value):
    with pytest.raises(ValueError, match="`k` must be a positive integer. Received: k="):
        arguments.check_positive_integers(n=2, k=value)


def test_integers_have_a_least_size():
    arguments.check_integers(2, size=2)
    with pytest.raises(ValueError, match="`size` must be an integer, at least 2. Received: size=1"):
        arguments.check_integers(2, size=1)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int64(3)])
def test_positive_numbers_pass(value):
    arguments.check_positive_numbers(timeout=value)


@pytest.mark.parametrize("value", [0, -0.5, True, "1", None, float("nan"), float("inf"), 1j])
def test_what_is_no_positive_number_is_named(value):
    with pytest.raises(ValueError, match="`timeout` must be a positive number. Received: timeout="):
        arguments.check_positive_numbers(timeout=value)


@pytest.mark.parametrize(
    ("seed", "permissions"),
    [
        (0, {}),
        (np.int64(3), {}),
        (None, {"can_be_none": True}),
        (-1, {"can_be_negative": True}),
    ],
)
def test_seeds_pass(seed, permissions):
    arguments.check_seed(seed, **permissions)


@pytest.mark.parametrize(
    ("seed", "permissions", "expected"),
    [
        (-1, {}, "a non-negative integer"),
        (None, {}, "a non-negative integer"),
        (True, {}, "a non-negative integer"),
        (-1, {"can_be_none": True}, "a non-negative integer or None"),
        (0.5, {"can_be_negative": True}, "an integer"),
        ("0", {"can_be_none": True, "can_be_negative": True}, "an integer or None"),
    ],
)
def test_what_is_no_seed_is_named(seed, permissions, expected):
    with pytest.raises(ValueError, match=f"`seed` must be {expected}. Received: seed={seed!r}"):
        arguments.check_seed(seed, **permissions)


def test_a_choice_passes():
    arguments.check_choice("mode", "xla", {"eager": 1, "xla": 2})


@pytest.mark.parametrize("value", ["grpah", None, 3, ["eager"]])
def test_what_is_no_choice_is_named(value):
    with pytest.raises(
        ValueError, match="`mode` must be one of 'eager', 'xla', or None. Rec.*mode="
    ):
        arguments.check_choice("mode", value, ("eager", "xla"), otherwise=", or None")


def test_a_file_to_write_is_in_a_folder_and_is_none(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for path in ("file", "missing/a.json"):
        arguments.check_file("path", tmp_path / path)
    arguments.check_file("path", tmp_path / "missing" / "A.PNG", ".png")
    for path, words in (
        ("folder.png", "must be the path of a file. Received: path=.*folder.png', a folder"),
        ("a.txt", "must end in '.png'. Received: path=.*a.txt'"),
        ("file/b/a.png", "must be a path in a folder. Received: path=.*where .*file' is a file"),
    ):
        with pytest.raises(ValueError, match=f"`path` {words}$"):
            arguments.check_file("path", tmp_path / path, ".png")


def test_what_a_folder_already_has_may_be_replaced_by_its_kind_only(tmp_path):
    (tmp_path / "a.json").touch()
    (tmp_path / "events").mkdir()
    arguments.check_places("out", tmp_path, ("a.json", "missing"), ("events", "missing"))
    arguments.check_places("out", tmp_path / "missing", ("a.json",), ("events",))
    words = "`out` must be a folder in which events is a file, or missing, at all. Received: out="
    with pytest.raises(ValueError, match=f"{words}.*, where it is a folder"):
        arguments.check_places("out", tmp_path, ("events",), purpose=", at all")
    with pytest.raises(ValueError, match="in which a.json is a folder, .* where it is a file"):
        arguments.check_places("out", tmp_path, folders=("a.json",))


@pytest.mark.parametrize("shape", [(28, 14, 1), [4, 4, np.int64(3)]])
def test_an_image_shape_passes(shape):
    arguments.check_image_shape(shape)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 0), (28.0, 28, 1), (28, 28, True), 28, None])
def test_what_is_no_image_shape_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"`image_shape` must be \(height, width, channels\), three"
    ):
        arguments.check_image_shape(shape)


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(arguments.tempfile, "TemporaryFile", refuse)
    with pytest.raises(ValueError, match="`run` must be a folder to write to. .* Permission den"):
        arguments.check_folder("run", tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["file", "file/folder"])
def test_a_folder_is_no_file_and_below_none(path, tmp_path):
    (tmp_path / "file").write_text("")
    arguments.check_folder("run", tmp_path / "new" / "folder")
    with pytest.raises(ValueError, match="`run` must be a folder. .* where '.*file' is a file"):
        arguments.check_folder("run", tmp_path / path)
