"""Tests of where two records part, on records made by hand."""

import numpy as np
import pytest

from kerasmodes.verifying.comparison import compare, find_broken_step, find_precision
from kerasmodes.verifying.runs import Record, Way

START = [np.zeros(2, "float32"), np.array(0)]


def make_record(*weights, losses=(1.0, 1.0), iterations=(1, 2)):
    """Returns a record of two steps of a weight and a counter."""
    steps = {
        step: [np.array(weight, "float32"), np.array(number)]
        for step, (weight, number) in enumerate(zip(weights, iterations, strict=True), 1)
    }
    logs = {step: {"loss": np.array(loss)} for step, loss in enumerate(losses, 1)}
    return Record(
        Way("graph"), ["kernel", "iteration"], ["weight", "optimizer"], START, steps, logs
    )


ONE = make_record([1.0, 2.0], [2.0, 4.0])


def test_records_with_the_same_numbers_do_not_part():
    difference = compare(ONE, ONE)
    assert (difference.largest, difference.step, difference.is_fault) == (0.0, None, False)


def test_plain_rounding_is_no_difference():
    other = make_record([1.0, 2.0 + 1e-6], [2.0, 4.0])
    assert compare(other, ONE).step is None
    assert compare(other, ONE).largest == pytest.approx(5e-7, rel=0.1)


def test_the_first_step_and_its_variables_are_named():
    difference = compare(make_record([1.0, 2.0], [2.0, 4.5], losses=(1.0, 3.0)), ONE)
    assert (difference.step, difference.names) == (2, ("kernel", "log 'loss'"))
    assert difference.largest == 2.0
    assert difference.is_fault


def test_whole_numbers_must_be_equal():
    difference = compare(make_record([1.0, 2.0], [2.0, 4.0], iterations=(1, 3)), ONE)
    assert (difference.step, difference.names) == (2, ("iteration",))


def test_what_a_shifted_start_makes_of_rounding_is_no_fault():
    other = make_record([1.0, 2.0], [2.0, 4.5])
    shifted = make_record([1.0, 2.0], [2.0, 4.1])
    difference = compare(other, ONE, (ONE, shifted))
    assert difference.step == 2
    assert not difference.is_fault
    assert compare(other, ONE, (ONE, ONE)).is_fault


@pytest.mark.parametrize("dtype, part", [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_the_coarsest_type_of_a_layer_says_what_rounding_is(dtype, part):
    precision = find_precision(["float32", dtype])
    assert part / 2 < precision.shift < part and dtype in precision.words
    shifted = ONE, make_record([1.0 + precision.shift, 2.0], [2.0, 4.0])
    for times, is_fault in ((precision.times, False), (2 * precision.times, True)):
        other = make_record([1.0 + times * precision.shift, 2.0], [2.0, 4.0])
        assert compare(other, ONE, shifted, precision).is_fault is is_fault


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_number_that_only_one_has_is_a_fault(broken):
    other = make_record([1.0, broken], [2.0, 4.0])
    difference = compare(other, ONE, (ONE, other))
    assert (difference.step, difference.is_fault, difference.is_finite) == (1, True, False)
    assert compare(other, other).step is None


def test_another_number_of_variables_is_a_fault():
    other = Record(Way("graph"), ["kernel"], ["weight"], START[:1], ONE.steps, ONE.logs)
    assert compare(other, ONE).names == ("iteration",)
    assert compare(other, ONE).is_fault


def test_a_missing_log_is_a_fault():
    other = make_record([1.0, 2.0], [2.0, 4.0])
    other.logs[1].clear()
    assert compare(other, ONE).names == ("log 'loss'",)


def test_the_first_number_that_is_not_finite_is_found():
    assert find_broken_step(ONE) is None
    assert find_broken_step(make_record([1.0, 2.0], [2.0, np.nan])) == (2, "kernel")
    assert find_broken_step(make_record([1.0, 2.0], [2.0, 4.0], losses=(np.inf, 1))) == (1, "loss")
