"""Tests of what flags take: from words, from files, and what signatures tell."""

import inspect
import os
from collections.abc import Sequence

import pytest

from kerasmodes.cli import kinds


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20,10", [20, 10]),
        ("[20, 10]", [20, 10]),
        ("(20,)", [20]),
        ("20", [20]),
        (20, [20]),
        ("graph,fused", ["graph", "fused"]),
        ("()", []),
        ("null", None),
        ((1, 2), (1, 2)),
    ],
)
def test_a_list_needs_no_brackets(value, expected):
    assert kinds.LIST(value) == expected
    assert kinds.LIST(kinds.LIST(value)) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("3,4", [3, 4]), ("r1", "r1"), ("[r1]", ["r1"])]
)
def test_one_or_more(value, expected):
    assert kinds.ONE_OR_MORE(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("1e-3", 0.001), ("true", True), ("None", None), ("a b", "a b")]
)
def test_a_value_is_that_of_yaml(value, expected):
    assert kinds.VALUE(value) == expected


def test_a_name_stays_a_text():
    assert kinds.NAME("007") == "007"
    assert kinds.PATH("a,b") == "a,b"
    assert kinds.NAME("null") is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kinds.INT, "2.5"), (kinds.INT, True), (kinds.FLOAT, "x"), (kinds.BOOL, "flase")),
        *((kinds.BOOL, ""), (kinds.PATH, ""), (kinds.VALUE, " "), (kinds.CHECKPOINT, 0)),
        *((kinds.WANDB_MODE, "off"), (kinds.URI, 3)),
    ],
)
def test_what_a_strict_kind_does_not_take(kind, value):
    with pytest.raises(ValueError, match="must be .*Received: "):
        kind(value)


def test_yaml_makes_no_objects():
    with pytest.raises(ValueError, match="could not determine a constructor"):
        kinds.load_yaml("!!python/object/apply:os.getcwd []")


def draw(
    count: int = 3,
    sizes: Sequence[int] = (2, 3),
    scales: int | Sequence[int] = 3,
    rate: float | None = 1,
    path: str | os.PathLike | None = None,
    name: str | None = None,
    is_old: bool = False,
    shape=(2, 3),
    mode=None,
    anything=None,
):
    pass


def test_signatures_tell_the_kind():
    parameters = inspect.signature(draw).parameters.values()
    found = [kinds.find_kind(parameter).metavar for parameter in parameters]
    assert found == [
        *("INT", "A,B,...", "A or A,B,...", "FLOAT", "PATH", "NAME", "{true,false}", "A,B,..."),
        *("{eager,graph,xla,fused,auto}", "VALUE"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"), [((20, 10), "20,10"), (True, "true"), (("a", 0.5), "a,0.5")]
)
def test_a_value_is_shown_as_it_is_written(value, expected):
    assert kinds.format_value(value) == expected


@pytest.mark.parametrize("text", ["[" * 1_000, "{a: " * 1_000])
def test_yaml_that_is_nested_too_deeply_is_said_to_be_so(text):
    with pytest.raises(ValueError, match="it is nested too deeply"):
        kinds.load_yaml(text)


def test_yaml_that_names_a_list_again_and_again_is_read_at_once():
    lists = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    found = kinds.load_yaml("\n".join(["a0: &a0 [x]", *lists]))
    assert found["a19"][0] is found["a18"]


def test_a_key_that_is_there_twice_is_found_below_a_list():
    with pytest.raises(ValueError, match="'b' is there twice"):
        kinds.load_yaml("a: [{b: 1, b: 2}]")
