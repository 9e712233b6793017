"""Tests of where a data set stands, kept in memory."""

import tempfile

import pytest
import tensorflow as tf

from kerasmodes.engine import datasets


def read(dataset):
    return [int(number) for number in dataset]


def test_a_data_set_goes_back_to_where_it_stood_without_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dataset = tf.data.Dataset.range(9).shuffle(9)
    read(dataset)
    start = datasets.DataStart(dataset)
    orders = [read(dataset), read(dataset)]
    assert not list(tmp_path.glob("data-start-*"))
    start.restore(dataset)
    assert [read(dataset), read(dataset)] == orders
    assert not list(tmp_path.glob("data-start-*"))


def test_random_numbers_outside_of_shuffle_are_refused_without_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dataset = tf.data.Dataset.range(3).map(lambda number: tf.random.uniform([]))
    with pytest.raises(ValueError, match="must draw no random numbers but those of `shuffle`"):
        datasets.DataStart(dataset)
    assert not list(tmp_path.glob("data-start-*"))
