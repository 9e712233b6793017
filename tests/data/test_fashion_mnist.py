"""Tests of how Fashion-MNIST is read from IDX files and made into a TFDS data set.

The files are small ones written here; only the last test looks at Debian's, if they are there.
"""

import gzip
import pathlib
import struct

import numpy as np
import pytest

from kerasmodes.data import fashion_mnist, prepare

COUNTS = {"train": 20, "test": 10}
TRAIN_IMAGES, TRAIN_LABELS = fashion_mnist.IDX_FILES["train"]
TEST_IMAGES, TEST_LABELS = fashion_mnist.IDX_FILES["test"]


def write_idx(path, array, magic=None):
    header = [0x0800 + array.ndim if magic is None else magic, *array.shape]
    data = struct.pack(f">{len(header)}I", *header) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def pixels(count, size=28):
    return np.random.default_rng(count).integers(0, 256, (count, size, size), "uint8")


def classes(count):
    return (np.arange(count) % 10).astype("uint8")


@pytest.fixture
def idx_dir(tmp_path, monkeypatch):
    """Four small files, two of them with `.gz`; no folder of Debian's."""
    monkeypatch.setattr(fashion_mnist, "NUM_EXAMPLES", COUNTS)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIR", tmp_path / "no_package")
    folder = tmp_path / "idx"
    folder.mkdir()
    write_idx(folder / TRAIN_IMAGES, pixels(20))
    write_idx(folder / TRAIN_LABELS, classes(20))
    write_idx(folder / f"{TEST_IMAGES}.gz", pixels(10))
    write_idx(folder / f"{TEST_LABELS}.gz", classes(10))
    return folder


def files_under(folder):
    return [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]


@pytest.mark.parametrize("split", ["train", "test"])
def test_read_split_returns_the_pixels_and_labels_of_the_files(idx_dir, split):
    images, labels = fashion_mnist.read_split(idx_dir, split)
    np.testing.assert_array_equal(images[..., 0], pixels(COUNTS[split]))
    np.testing.assert_array_equal(labels, classes(COUNTS[split]))
    assert (images.dtype, labels.dtype) == (np.uint8, np.uint8)


def test_an_unknown_split_is_named(idx_dir):
    with pytest.raises(ValueError, match="`split` must be one of 'train', 'test'. Rec.*='trian'"):
        fashion_mnist.read_split(idx_dir, "trian")


def test_prepared_set_is_read_by_plain_tfds_load(idx_dir, tmp_path):
    import tensorflow_datasets as tfds

    folder = prepare(idx_dir, tmp_path / "tfds")
    splits, info = tfds.load(
        "fashion_mnist", data_dir=tmp_path / "tfds", download=False, with_info=True
    )
    assert str(info.data_dir) == folder
    assert info.features["label"].names[9] == "Ankle boot"
    for split, count in COUNTS.items():
        examples = list(splits[split].as_numpy_iterator())
        found = {example["image"].tobytes(): example["label"] for example in examples}
        expected = zip(pixels(count), classes(count), strict=True)
        assert found == {image.tobytes(): label for image, label in expected}


def test_prepared_set_is_left_as_it_is(idx_dir, tmp_path):
    folder = prepare(idx_dir, tmp_path / "tfds")
    before = {path: path.stat().st_mtime_ns for path in files_under(folder)}
    assert prepare(idx_dir, tmp_path / "tfds") == folder
    assert prepare(data_dir=tmp_path / "tfds") == folder
    assert {path: path.stat().st_mtime_ns for path in files_under(folder)} == before


def test_a_given_folder_is_checked_even_if_the_set_is_prepared(idx_dir, tmp_path):
    prepare(idx_dir, tmp_path / "tfds")
    with pytest.raises(ValueError, match="nothing_here"):
        prepare(tmp_path / "nothing_here", tmp_path / "tfds")


def test_default_folder_is_that_of_debian(idx_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIR", idx_dir)
    assert files_under(prepare(data_dir=tmp_path / "tfds"))


def test_folder_without_a_prepared_set_is_named(idx_dir, tmp_path):
    (tmp_path / "tfds" / "fashion_mnist" / "3.0.1").mkdir(parents=True)
    with pytest.raises(RuntimeError, match="must hold a `dataset_info.json`.*3.0.1.*Remove"):
        prepare(idx_dir, tmp_path / "tfds")


def test_missing_package_is_named(idx_dir, tmp_path):
    with pytest.raises(ValueError, match="`idx_dir` must be a folder.*no_package.*dataset-fashion"):
        prepare(data_dir=tmp_path / "tfds")


def break_missing(folder):
    (folder / TRAIN_LABELS).unlink()


def break_truncated(folder):
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-1])


def break_too_long(folder):
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes() + b"\0")


def break_header(folder):
    (folder / TRAIN_IMAGES).write_bytes(b"\0\0\x08")


def break_truncated_gzip(folder):
    path = folder / f"{TEST_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-100])


def break_not_gzip(folder):
    (folder / f"{TEST_LABELS}.gz").write_bytes(b"<html>Not found</html>")


def break_damaged_gzip(folder):
    path = folder / f"{TEST_IMAGES}.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def break_magic(folder):
    write_idx(folder / TRAIN_IMAGES, pixels(20), magic=0x0D03)


def break_size(folder):
    write_idx(folder / TRAIN_IMAGES, pixels(20, size=32))


def break_count(folder):
    write_idx(folder / TRAIN_LABELS, classes(19))


def break_label(folder):
    write_idx(folder / TRAIN_LABELS, classes(20) + np.uint8(1))


def break_swapped(folder):
    (folder / TRAIN_IMAGES).write_bytes((folder / TRAIN_LABELS).read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_missing, f"{TRAIN_LABELS} or {TRAIN_LABELS}.gz. Received: idx_dir="),
        (break_truncated, f"{TRAIN_IMAGES}` must have bytes.*=15680. Received: .*=15679"),
        (break_too_long, f"{TRAIN_IMAGES}` must have bytes.*=15680. Received: .*=15681"),
        (break_header, f"{TRAIN_IMAGES}` must start with .* 16 bytes. Received: size=3 bytes"),
        (break_truncated_gzip, f"{TEST_IMAGES}.gz` must be a complete gzip file. Received: "),
        (break_not_gzip, f"{TEST_LABELS}.gz` must be a complete gzip file. Received: "),
        (break_damaged_gzip, f"{TEST_IMAGES}.gz` must be a complete gzip file. Received: "),
        (break_magic, f"{TRAIN_IMAGES}` must have magic number=2051. Received: .*=3331"),
        (break_size, f"{TRAIN_IMAGES}` must have image size=.28, 28.. Received: .*=.32, 32."),
        (break_count, f"{TRAIN_LABELS}` must have number of examples=20. Received: .*=19"),
        (break_label, f"{TRAIN_LABELS}` must hold labels from 0 to 9. Received: .*=10"),
        (break_swapped, f"{TRAIN_IMAGES}` must "),
    ],
)
def test_bad_file_is_named_and_nothing_is_written(idx_dir, tmp_path, damage, message):
    damage(idx_dir)
    with pytest.raises(ValueError, match=message):
        prepare(idx_dir, tmp_path / "tfds")
    assert not (tmp_path / "tfds").exists()


@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_preparation_leaves_nothing(idx_dir, tmp_path, monkeypatch, interruption):
    examples = fashion_mnist._generate_examples

    def interrupted(images, labels):
        for index, example in examples(images, labels):
            if index == 5:
                raise interruption
            yield index, example

    with monkeypatch.context() as patch:
        patch.setattr(fashion_mnist, "_generate_examples", interrupted)
        with pytest.raises(type(interruption)):
            prepare(idx_dir, tmp_path / "tfds")
    assert files_under(tmp_path / "tfds") == []
    assert files_under(prepare(idx_dir, tmp_path / "tfds"))


def test_second_preparation_at_the_same_time_is_harmless(idx_dir, tmp_path, monkeypatch):
    examples = fashion_mnist._generate_examples

    def overtaken(images, labels):
        with monkeypatch.context() as patch:
            patch.setattr(fashion_mnist, "_generate_examples", examples)
            prepare(idx_dir, tmp_path / "tfds")
        yield from examples(images, labels)

    monkeypatch.setattr(fashion_mnist, "_generate_examples", overtaken)
    folder = pathlib.Path(prepare(idx_dir, tmp_path / "tfds"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.skipif(
    not fashion_mnist.DEBIAN_DIR.is_dir(), reason="needs Debian's package dataset-fashion-mnist"
)
def test_debian_files_are_fashion_mnist():
    images, labels = fashion_mnist.read_split(fashion_mnist.DEBIAN_DIR, "test")
    assert images.shape == (10_000, 28, 28, 1)
    assert np.bincount(labels).tolist() == [1000] * 10


def test_a_file_in_the_place_of_the_data_sets_is_refused_before_the_files_are_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`data_dir` must be a folder. .* where '.*' is a file"):
        prepare(tmp_path / "nowhere", tmp_path / "file")
