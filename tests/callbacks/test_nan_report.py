"""Tests of a report's words and ranges; how its fields are found is tested with `NaNGuard`."""

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.callbacks import nan_report


def make_report(**fields):
    given = {"epoch": 1, "step": 4, "mode": "fused", "logs": ("loss",), "variables": ()}
    return str(nan_report.NaNReport(**{**given, **fields}))


def test_the_moment_is_counted_from_1():
    assert make_report().startswith(
        "Training was stopped in epoch 2, step 5 (mode 'fused'): NaN or infinity in log 'loss'."
    )
    assert "in epoch 2 (mode" in make_report(step=None)
    report = make_report(step=None, is_validation=True, validation_step=6)
    assert "in epoch 2, validation batch 7 (mode" in report


def test_outputs_are_no_log():
    assert "infinity in the outputs, log 'loss'." in make_report(logs=("outputs", "loss"))


def test_many_names_are_counted():
    assert "in log 'loss', 'a', 'b' and 2 more." in make_report(variables=tuple("abcd"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"stage": "data", "part": "x", "example": 3, "feature": (1,)},
            "the data: x[3, 1] of the batch",
        ),
        (
            {"stage": "forward", "operation": "Log", "layer": "a/b", "source": "c.py:3: log(x)"},
            "came from the operation Log in layer 'a/b' (c.py:3: log(x)).",
        ),
        ({"stage": "loss", "operation": "RealDiv"}, "from the operation RealDiv of the loss."),
        (
            {"stage": "metric", "operation": "Log", "metric": "m", "place": (1, 0)},
            "from the operation Log of metric 'm', at [1, 0] of its result.",
        ),
        ({"is_validation": True}, "The model is as it was after the last step."),
        ({"stage": "callback"}, "A callback has added it: the steps and their numbers are finite."),
        (
            {"stage": "backward", "operation": "SqrtGrad", "gradient_of": "Sqrt", "gradient": "w"},
            "in the gradient of Sqrt, then in the gradient of 'w'.",
        ),
        (
            {"stage": "update", "operation": "Mul", "variable": "w", "optimizer": "optimizer"},
            "in the update of 'w' by 'optimizer' (operation Mul).",
        ),
        ({"stage": "variable", "variable": "w"}, "It came from 'w', which was not finite before"),
        ({"restored_to": (1, 4)}, "have the state before epoch 2, step 5 again."),
        ({}, "There is no earlier state to restore."),
    ],
)
def test_the_origin_in_words(fields, words):
    assert words in make_report(**fields)


def test_ranges_are_of_the_finite_numbers():
    found = nan_report.describe_range("x", tf.constant([[1.0, np.nan, -3.0]]))
    assert (found.least, found.most, found.num_broken) == (-3.0, 1.0, 1)
    assert str(found) == "float32[1, 3]  -3 to 1, 1 of 3 not finite"
    assert "no finite number, 2 of 2" in str(nan_report.describe_range("x", np.full(2, np.inf)))
    assert nan_report.describe_range("x", tf.constant([1])) is None


def test_the_table_is_below_the_words():
    ranges = [nan_report.describe_range(name, np.ones(len(name))) for name in ("x", "yy")]
    _, first, second = make_report(ranges=ranges).splitlines()
    assert first == "  x   float64[1]  1 to 1" and second == "  yy  float64[2]  1 to 1"
