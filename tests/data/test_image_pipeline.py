"""Tests of `kerasmodes.data.images`: what comes out, in which order, and what is refused."""

import socket
import struct

import keras
import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasmodes.data import fashion_mnist, image_pipeline, images

SAMPLE = "fashion_mnist_sample"
FULL = "fashion_mnist"


class TinyColours(tfds.core.GeneratorBasedBuilder):
    """A TFDS data set of twelve random 8×6 colour images, with a feature that is not needed."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = {}

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 6, 3)),
            "label": tfds.features.ClassLabel(num_classes=3),
            "caption": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "extra": self._generate_examples()}

    def _generate_examples(self):
        for index, image in enumerate(np.random.default_rng(0).integers(0, 256, (12, 8, 6, 3))):
            yield index, {"image": image.astype("uint8"), "label": index % 3, "caption": "?"}


class TinyDepths(TinyColours):
    """The same with 16-bit images."""

    def _info(self):
        features = {"image": tfds.features.Image(shape=(8, 6, 1), dtype=np.uint16)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """The folder in which the tiny data set is prepared."""
    folder = tmp_path_factory.mktemp("tfds")
    TinyColours(data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def idx_dir(tmp_path, monkeypatch):
    """Small IDX files of Fashion-MNIST; Debian's are out of sight."""
    monkeypatch.setattr(fashion_mnist, "NUM_EXAMPLES", {"train": 20, "test": 10})
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIR", tmp_path / "no_package")
    folder = tmp_path / "idx"
    folder.mkdir()
    for split, count in fashion_mnist.NUM_EXAMPLES.items():
        image_name, label_name = fashion_mnist.IDX_FILES[split]
        header = struct.pack(">4I", 2051, count, 28, 28)
        (folder / image_name).write_bytes(header + bytes(count * 28 * 28))
        (folder / label_name).write_bytes(struct.pack(">2I", 2049, count) + bytes(count))
    return folder


@pytest.fixture
def no_network(monkeypatch):
    """Sends every request to a port that refuses it at once."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield


def epoch(dataset):
    return np.concatenate(list(dataset.as_numpy_iterator()))


def sorted_rows(array):
    return sorted(image.tobytes() for image in array)


def test_bundled_sample_is_the_default():
    np.testing.assert_array_equal(epoch(images(seed=0)), epoch(images(SAMPLE, seed=0)))


def test_batches_are_float_images_from_minus_one_to_one():
    batch = next(iter(images(SAMPLE)))
    assert batch.shape == (64, 28, 28, 1)
    assert batch.dtype == tf.float32
    assert (tf.reduce_min(batch), tf.reduce_max(batch)) == (-1, 1)


def test_labels_belong_to_their_images():
    plain = epoch(images(SAMPLE, "test"))
    pairs = list(images(SAMPLE, "test", with_labels=True))
    labels = np.concatenate([label for _, label in pairs])
    np.testing.assert_array_equal(np.concatenate([image for image, _ in pairs]), plain)
    assert labels.dtype == np.int64
    brightness = [plain[labels == k].mean() for k in range(10)]
    assert np.argmin(brightness) == 5  # Sandals are mostly background.
    assert np.argmax(brightness) in (2, 4)  # Pullovers and coats fill the image.


def test_training_batches_have_a_static_size_and_a_known_number():
    dataset = images(SAMPLE, batch_size=100)
    assert dataset.element_spec.shape == (100, 28, 28, 1)
    assert dataset.cardinality() == 10
    assert len(epoch(dataset)) == 1000


def test_test_split_keeps_the_last_batch():
    dataset = images(SAMPLE, "test", batch_size=100)
    assert dataset.cardinality() == 3
    assert len(epoch(dataset)) == 256


def test_test_split_keeps_its_order():
    dataset = images(SAMPLE, "test", seed=0)
    np.testing.assert_array_equal(epoch(dataset), epoch(dataset))


def test_training_split_is_shuffled_again_each_epoch_over_the_whole_set():
    dataset = images(SAMPLE, seed=0)
    first, second = epoch(dataset), epoch(dataset)
    assert not np.array_equal(first, second)
    assert sorted_rows(first) == sorted_rows(second)
    stored = epoch(images(SAMPLE, "all"))[:1024]
    places = {image.tobytes(): place for place, image in enumerate(stored)}
    first_batch = [places[image.tobytes()] for image in first[:64]]
    assert max(first_batch) > 900
    assert min(first_batch) < 124


def test_same_seed_gives_the_same_batches_in_every_epoch():
    first, second = images(SAMPLE, seed=7), images(SAMPLE, seed=7)
    for _ in range(2):
        np.testing.assert_array_equal(epoch(first), epoch(second))


def test_other_seed_gives_another_order():
    assert not np.array_equal(epoch(images(SAMPLE, seed=7)), epoch(images(SAMPLE, seed=8)))


def test_without_a_seed_the_order_follows_keras():
    orders = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        orders.append(epoch(images(SAMPLE)))
    np.testing.assert_array_equal(*orders)


def test_sample_is_balanced():
    for split, share in (("train", {102, 103}), ("test", {25, 26})):
        dataset = images(SAMPLE, split, batch_size=256, with_labels=True)
        labels = np.concatenate([label for _, label in dataset])
        assert set(np.bincount(labels, minlength=10)) <= share


@pytest.mark.skipif(
    not fashion_mnist.DEBIAN_DIR.is_dir(), reason="needs Debian's package dataset-fashion-mnist"
)
def test_sample_is_a_part_of_the_real_set():
    real = fashion_mnist.read_split(fashion_mnist.DEBIAN_DIR, "test")[0] / np.float32(127.5) - 1
    sample = sorted_rows(epoch(images(SAMPLE, "test")))
    assert len(set(sample)) == 256
    assert set(sample) <= set(sorted_rows(real))


def test_sample_can_be_sliced():
    whole = epoch(images(SAMPLE, "test"))
    np.testing.assert_array_equal(epoch(images(SAMPLE, "test[10:30]")), whole[10:30])
    assert len(epoch(images(SAMPLE, "train[:25%]", batch_size=256))) == 256


def test_tfds_data_set_is_read_and_scaled(colours):
    dataset = images("tiny_colours", "extra", batch_size=5, data_dir=colours, with_labels=True)
    expected = list(tfds.load("tiny_colours", split="extra", data_dir=colours).as_numpy_iterator())
    found = [pair for batch in dataset.as_numpy_iterator() for pair in zip(*batch, strict=True)]
    assert dataset.cardinality() == 3
    for (image, label), example in zip(found, expected, strict=True):
        np.testing.assert_allclose(image, example["image"] / 127.5 - 1, atol=1e-6)
        assert label == example["label"]


def test_tfds_data_set_can_be_sliced(colours):
    dataset = images("tiny_colours", "train[:7]", batch_size=2, data_dir=colours)
    assert dataset.cardinality() == 3


def test_tfds_data_set_is_prepared_when_it_is_not(tmp_path):
    dataset = images("tiny_colours", batch_size=4, data_dir=tmp_path)
    assert dataset.cardinality() == 3
    assert tfds.builder("tiny_colours", data_dir=tmp_path).is_prepared()


def test_files_are_read_once(colours, tmp_path):
    TinyColours(data_dir=tmp_path).download_and_prepare()
    dataset = images("tiny_colours", batch_size=4, data_dir=tmp_path)
    first = epoch(dataset)
    for path in tmp_path.rglob("*.tfrecord*"):
        path.unlink()
    assert sorted_rows(epoch(dataset)) == sorted_rows(first)


def test_fashion_mnist_is_prepared_from_idx_files(idx_dir, tmp_path):
    dataset = images(FULL, batch_size=8, data_dir=tmp_path / "tfds", idx_dir=idx_dir)
    assert dataset.cardinality() == 2
    assert tfds.builder("fashion_mnist", data_dir=tmp_path / "tfds").is_prepared()


def test_fashion_mnist_is_prepared_from_debian(idx_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIR", idx_dir)
    assert images(FULL, batch_size=8, data_dir=tmp_path / "tfds").cardinality() == 2


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("given", [None, "nothing_here"])
def test_prepared_fashion_mnist_needs_no_files_and_no_network(idx_dir, tmp_path, given):
    fashion_mnist.prepare(idx_dir, tmp_path / "tfds")
    dataset = images(FULL, "test", data_dir=tmp_path / "tfds", idx_dir=given)
    assert len(epoch(dataset)) == 10


def test_given_idx_dir_without_files_is_an_error_even_if_debian_has_them(
    idx_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIR", idx_dir)
    with pytest.raises(ValueError, match="`idx_dir` must be a folder.*Received: idx_dir='nothing"):
        images(FULL, data_dir=tmp_path / "tfds", idx_dir="nothing_here")


@pytest.mark.usefixtures("idx_dir", "no_network")
def test_without_any_source_all_three_ways_are_named(tmp_path):
    with pytest.raises(RuntimeError) as error:
        images(FULL, data_dir=tmp_path / "tfds")
    for way in ("data_dir", "idx_dir", "dataset-fashion-mnist", "network", SAMPLE):
        assert way in str(error.value)
    assert error.value.__cause__ is not None


@pytest.mark.usefixtures("no_network")
def test_unreachable_hosts_fail_at_once():
    with pytest.raises(requests.ConnectionError):
        image_pipeline._check_connection(["http://one.invalid/a.gz", "https://two.invalid/b.gz"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "fashion_mnits"}, "`name` must be.*Received: name='fashion_mnits'"),
        ({"name": None}, "`name` must be a string. Received: name=None"),
        ({"name": "imdb_reviews"}, "`name` must be a data set of uint8 images of one size"),
        ({"name": "cats_vs_dogs"}, "images of one size.*Received: name='cats_vs_dogs'.*None, None"),
        ({"name": "tiny_depths"}, "uint8 images.*Received: name='tiny_depths'.*uint16"),
        ({"name": "celeb_a", "with_labels": True}, "`with_labels` must be False.*'celeb_a'"),
        ({"split": "trian"}, r"`split` must be one of \['train', 'test'\].*split='trian'"),
        ({"split": "train[:9999999]"}, "`split` must be one of.*Received: split='train.:9999999"),
        ({"split": "train["}, "`split` must be one of.*Received: split='train.'"),
        ({"split": None}, "`split` must be a string. Received: split=None"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer. Received: batch_size=0"),
        ({"batch_size": 2.0}, "`batch_size` must be a positive integer. Received: batch_size=2.0"),
        ({"batch_size": 1025}, "`batch_size` must be at most 1024.*Received: batch_size=1025"),
        ({"split": "train[:9]", "batch_size": 10}, "`batch_size` must be at most 9.*train.:9"),
        ({"seed": "0"}, "`seed` must be an integer or None. Received: seed='0'"),
        ({"data_dir": "x"}, "`data_dir` must be None for 'fashion_mnist_s.* Received: data_dir="),
        ({"idx_dir": "x"}, "`idx_dir` must be None for 'fashion_mnist_s.* Received: idx_dir="),
        ({"name": "mnist", "idx_dir": "x"}, "`idx_dir` must be None unless.*Received: idx_dir='x'"),
    ],
)
def test_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        images(**{"name": SAMPLE, **arguments})


def test_unknown_split_of_a_tfds_set_is_named(colours):
    with pytest.raises(ValueError, match="`split` must be one of.*extra.*Received: split='test'"):
        images("tiny_colours", "test", data_dir=colours)
