"""Tests of kept executions and of which logs are broken; the search is tested with `NaNGuard`."""

import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.engine import replay, super_batches

BLOCK = tf.reshape(tf.range(12), [6, 2])
RANGES = [super_batches.BatchRange(BLOCK, 1, 4), super_batches.BatchRange(BLOCK + 100, 0, 3)]


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 6, [2, 4, 6, 100, 102, 104]), (2, 4, [6, 100]), (3, 4, [100]), (1, 2, [4])],
)
def test_some_of_the_steps_of_an_execution(start, stop, expected):
    execution = replay.KeptExecution(0, 0, RANGES)
    assert execution.num_steps == 6
    batches = super_batches.iterate_batches(execution.cut(start, stop))
    assert [int(batch[0]) for batch in batches] == expected
    assert int(execution.read(start)[0]) == expected[0]


def test_some_of_the_steps_of_single_batches():
    execution = replay.KeptExecution(0, 0, [(np.array([n]), None) for n in range(4)])
    assert execution.num_steps == 4
    assert [int(batch[0][0]) for batch in execution.cut(1, 3)] == [1, 2]
    assert int(execution.read(2)[0][0]) == 2


def test_logs_that_are_not_finite_are_found_in_any_form():
    logs = {
        "float": 1.0,
        "nan": float("nan"),
        "tensor": tf.constant(np.inf),
        "vector": tf.constant([1.0, np.nan]),
        "finite": tf.constant([1.0, 2.0]),
        "text": "nan?",
        "nested": {"inner": np.float32(np.inf), "count": 3},
    }
    assert list(replay.find_broken_numbers(logs)) == ["nan", "tensor", "vector", "inner"]


@pytest.mark.parametrize(
    "number",
    [[1.0, np.nan], (np.inf,), [{"a": np.nan}], complex(1.0, np.nan), np.complex64(np.inf)],
)
def test_a_log_that_is_no_tensor_is_looked_at_too(number):
    assert list(replay.find_broken_numbers({"log": number})) == ["log"]


def test_text_and_integers_of_any_size_are_finite():
    logs = {"text": tf.constant("nan"), "texts": ["inf"], "large": 10**400, "none": None}
    assert replay.find_broken_numbers(logs) == {}
