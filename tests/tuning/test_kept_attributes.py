"""Tests of attributes of a `PyDataset` in a file."""

import copy
import json
import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.engine import packing
from kerasmodes.tuning import kept_attributes


def is_unchanged(value, before):
    return kept_attributes.is_unchanged(value, before, "Batches.kept")


def pass_through_a_file(value, own=None, before=None):
    """Returns what a reader makes of a value that was described, packed and written as JSON."""
    arrays = []
    content = kept_attributes.AttributeWriter().describe(value, before, "Batches.kept")
    words = json.dumps(packing.pack(content, arrays))
    flat = [np.frombuffer(one.tobytes(), np.uint8).copy() for one in arrays]
    content = packing.unpack(json.loads(words), flat)
    return kept_attributes.AttributeReader().read(content, own, "Batches.kept")


@pytest.mark.parametrize(
    "value",
    [
        None,
        -0.0,
        float("nan"),
        2**100,
        (1, [2.5, ("a",)], True),
        {0: "int", "0": "text", (1, None): {}, "list": [3]},
        np.float32(0.1),
        np.str_("a"),
        np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::2],
        np.array(2.0),
        np.ones(2, tf.bfloat16.as_numpy_dtype),
        np.array([["a.png"], ["bc.png"]]),
        np.array(["2026-01-01"], "datetime64[D]"),
        np.array(["a.png", None, 3], object),
        np.zeros((0, 2)),
        tf.constant([1, 2]),
    ],
    ids=str,
)
def test_a_value_comes_back_as_it_was(value):
    found = pass_through_a_file(value)
    check_equal(found, value)
    assert is_unchanged(found, value)


def check_equal(found, value):
    assert type(found) is type(value)
    if isinstance(value, (list, tuple, dict)):
        assert repr(found) == repr(value)
    elif hasattr(value, "dtype"):
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found, value)
    else:
        np.testing.assert_equal(found, value)


def test_what_is_one_object_stays_one():
    rows = [0, 1]
    found = pass_through_a_file({"a": rows, "b": (rows, np.arange(2)), "c": rows})
    assert found["a"] is found["c"] is found["b"][0]
    circle = []
    circle.append(circle)
    found = pass_through_a_file(circle)
    assert found[0] is found


GENERATORS = {
    "numpy": (np.random.default_rng, lambda g: g.normal()),
    "mt19937": (lambda s: np.random.Generator(np.random.MT19937(s)), lambda g: g.normal()),
    "spawned": (np.random.default_rng, lambda g: g.spawn(1)[0].normal()),
    "legacy": (np.random.RandomState, lambda g: g.normal()),
    "python": (random.Random, lambda g: g.gauss(0, 1)),
    "keras": (keras.random.SeedGenerator, lambda g: float(keras.random.normal((), seed=g))),
    "tensorflow": (tf.random.Generator.from_seed, lambda g: float(g.normal(()))),
}


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_continues_in_the_object_that_is_there(kind):
    make, draw = GENERATORS[kind]
    used, own = make(1), make(1)
    assert is_unchanged(used, own)
    draw(used)
    assert not is_unchanged(used, own)
    found = pass_through_a_file([used, {3: used}], [own], before=[make(1)])
    assert found[0] is found[1][3] is own
    assert [draw(own) for _ in range(3)] == [draw(used) for _ in range(3)]


def test_two_generators_that_were_one_at_first_are_two():
    one = np.random.default_rng(0)
    used = [np.random.default_rng(1), np.random.default_rng(2)]
    found = pass_through_a_file(used, [one, one], before=[one, one])
    assert [g.normal() for g in found] == [g.normal() for g in used]


class Own(random.Random):
    """May keep more than its class."""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1}, "Batches.kept, a set"),
        ([{"a": Own()}], r"Batches.kept\[0\]\['a'\], a Own"),
        (np.arange(2, dtype=">i4"), "Batches.kept, an array of >i4"),
        (np.zeros(1, "i4,f4"), "Batches.kept, an array of"),
        (random.Random(), "Batches.kept, a Random"),  # There was none at first.
    ],
    ids=["a set", "an object", "bytes in another order", "a structure", "a new generator"],
)
def test_what_cannot_be_kept_is_named(value, words):
    with pytest.raises(TypeError, match=words):
        kept_attributes.AttributeWriter().describe(value, None, "Batches.kept")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"array": {"typed": ["|O", [1], np.zeros(8, np.uint8)]}}, "must hold text or times"),
        ({"class": "os.system"}, "must be numbers.*Received: 'class'"),
        ({"generator": [3, 4]}, "must be a random generator.*Received: None"),
    ],
    ids=["objects", "a class", "a generator that is not there"],
)
def test_a_file_makes_nothing_else(content, words):
    with pytest.raises(ValueError, match=words):
        kept_attributes.AttributeReader().read(content, None, "Batches.kept")


def test_an_object_is_unchanged_where_pickle_says_the_same():
    used, before = Own(1), Own(1)
    assert is_unchanged([used, {"a": len}], [before, {"a": len}])
    used.random()
    assert not is_unchanged([used], [before])
    values = {"a": [np.zeros(2), 1]}
    changed = copy.deepcopy(values)
    changed["a"][0][1] = -0.0
    assert not is_unchanged(changed, values)
    with pytest.raises(TypeError, match="Batches.kept, cannot pickle"):
        is_unchanged([threading.Lock()], [threading.Lock()])
