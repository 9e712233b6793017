"""Tests of what is read from sources: the same as what an import gives."""

import ast
import inspect
import operator

import keras
import pytest

import kerasmodes as km
from kerasmodes import cli
from kerasmodes.cli import declared, help, kinds

COMMANDS = [row[0].split() for row in help._list_commands((), cli.COMMANDS)]


def describe_flags(words):
    """Returns the help of a command, and the defaults of its flags."""
    path, command = cli.find_command(words)
    parser, _ = cli.make_parser(path, command)
    return parser.format_help(), parser.get_defaults().as_dict()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_has_the_flags_that_the_imported_library_would_give(words, monkeypatch):
    found = describe_flags(words)
    monkeypatch.setattr(declared, "km", km)
    monkeypatch.setattr(declared, "keras", keras)
    assert found == describe_flags(words)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (declared.km.MSGGAN, km.MSGGAN),  # of a class, its constructor
        (declared.km.MSGGAN.generate, km.MSGGAN.generate),  # inherited
        (declared.km.tuning.SumRegressorHyperModel, km.tuning.SumRegressorHyperModel),
        (declared.km.verify, km.verify),  # a default that another module has
        (declared.keras.Model.fit, keras.Model.fit),  # of the first of several backends
        (declared.keras.Model.compile, keras.Model.compile),
    ],
)
def test_a_signature_and_its_docstring_are_those_of_the_object(found, expected):
    found_parameters, parameters = (
        inspect.signature(one).parameters.values() for one in (found, expected)
    )
    assert [(one.name, one.kind, one.default) for one in found_parameters] == [
        (one.name, one.kind, one.default) for one in parameters
    ]
    for one, other in zip(found_parameters, parameters, strict=True):
        assert kinds.find_kind(one).metavar == kinds.find_kind(other).metavar
    assert found.__module__ == expected.__module__
    if found.__doc__ is not None:  # It would be inherited.
        assert inspect.getdoc(found) == inspect.getdoc(expected)


def test_constants_are_evaluated():
    assert declared.km.metrics.image_evaluator.METRICS == km.metrics.image_evaluator.METRICS
    assert [*declared.km.presets.PRESETS] == [*km.presets.PRESETS]


@pytest.mark.parametrize("text", ["print('run')", "[1 for _ in 'ab']", "1 + 1"])
def test_an_expression_that_would_run_is_refused(text, capsys):
    node = ast.parse(text, mode="eval").body
    with pytest.raises(NotImplementedError, match="^kerasmodes has .*, which is not read$"):
        declared._read_value(node, declared.km)
    assert capsys.readouterr().out == ""


def test_what_is_declared_cannot_be_called_by_mistake():
    with pytest.raises(NotImplementedError, match="declared, not imported"):
        declared.km.data.sums()


@pytest.mark.parametrize("name", ["no_such", "data.no_such", "MSGGAN.no_such"])
def test_what_is_not_declared_is_named(name):
    with pytest.raises(AttributeError, match="declares no 'no_such'"):
        operator.attrgetter(name)(declared.km)
