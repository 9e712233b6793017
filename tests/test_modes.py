"""Tests of the modes as data: what each asks of Keras, and where it can run."""

import pytest

from kerasmodes import comparing, modes
from kerasmodes.engine import executors


def test_each_mode_has_an_executor_and_is_compared_unless_it_stands_for_others():
    assert list(executors.EXECUTORS) == list(modes.MODES)
    compared = [row.name for row in modes.MODES.values() if not row.is_chosen_by_time]
    assert list(comparing.MODES) == [comparing.BASELINE, *compared]


@pytest.mark.parametrize(
    ("mode", "run_eagerly", "jit_compile", "steps_per_execution"),
    [
        ("eager", True, False, 1),
        ("graph", False, False, 1),
        ("xla", False, True, 1),
        ("fused", False, True, 1),
        ("auto", False, False, 1),
    ],
)
def test_a_mode_stands_for_arguments_of_keras(mode, run_eagerly, jit_compile, steps_per_execution):
    assert modes.resolve(mode) == {
        "run_eagerly": run_eagerly,
        "jit_compile": jit_compile,
        "steps_per_execution": steps_per_execution,
    }


def test_without_a_mode_the_arguments_of_keras_stay():
    assert modes.resolve(None) == {
        "run_eagerly": False,
        "jit_compile": "auto",
        "steps_per_execution": 1,
    }
    assert modes.resolve(None, run_eagerly=True, jit_compile=False, steps_per_execution=7) == {
        "run_eagerly": True,
        "jit_compile": False,
        "steps_per_execution": 7,
    }


@pytest.mark.parametrize(
    ("num_batches", "batch_bytes", "expected"),
    [
        (100, 84, 100),
        (10_000, 84, 10_000),
        (25_000, 84, 8_334),  # three equal shares
        (938, 64 * 28 * 28 * 4, 313),  # 64 MB hold 334
        (10, 200 * 2**20, 1),
        (1, 0, 1),
    ],
)
def test_a_super_batch_of_arrays_is_a_share_of_an_epoch(num_batches, batch_bytes, expected):
    assert modes.count_batches_in_memory(num_batches, batch_bytes) == expected
    assert expected == 1 or expected * batch_bytes <= modes.SUPER_BATCH_BYTES


@pytest.mark.parametrize(
    ("num_batches", "batch_bytes", "expected"),
    [(10, 84, 10), (50_000, 84, 1_000), (None, 84, 100), (None, 2**20, 64), (7, 2**30, 1)],
)
def test_a_stream_is_not_read_far_ahead(num_batches, batch_bytes, expected):
    assert modes.count_batches_of_stream(num_batches, batch_bytes) == expected


def test_an_execution_of_a_large_model_is_short():
    assert modes.count_steps_of_execution(num_weights=641, batch_size=1) > 100_000
    assert modes.count_steps_of_execution(num_weights=2_000_000, batch_size=32) == 10
    assert modes.count_steps_of_execution(num_weights=10**9, batch_size=64) == 1
    assert modes.count_steps_of_execution(num_weights=0, batch_size=1) > 0


@pytest.mark.parametrize("mode", ["eager", "graph", "xla", "fused", "auto"])
def test_the_number_of_steps_is_the_users(mode):
    assert modes.resolve(mode, steps_per_execution=7)["steps_per_execution"] == 7


@pytest.mark.parametrize("mode", ["grpah", "GRAPH", "keras", "", 3, True, ["graph"], {}])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(ValueError, match="`mode` must be one of 'eager', 'graph', 'xla', 'fused'"):
        modes.resolve(mode)


@pytest.mark.parametrize(
    ("mode", "argument", "value"),
    [
        ("eager", "run_eagerly", False),
        ("graph", "run_eagerly", True),
        ("xla", "run_eagerly", True),
        ("fused", "run_eagerly", True),
        ("eager", "jit_compile", True),
        ("graph", "jit_compile", True),
        ("xla", "jit_compile", False),
        ("fused", "jit_compile", False),
    ],
)
def test_an_argument_that_contradicts_the_mode_is_refused(mode, argument, value):
    words = rf"`{argument}` must agree with mode='{mode}'.*Received: {argument}={value}. Leave"
    with pytest.raises(ValueError, match=words):
        modes.resolve(mode, **{argument: value})


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("eager", {"run_eagerly": True, "jit_compile": False}),
        ("graph", {"run_eagerly": False, "jit_compile": False}),
        ("xla", {"run_eagerly": False, "jit_compile": True}),
        ("fused", {"run_eagerly": False, "jit_compile": True}),
        ("fused", {"jit_compile": "auto"}),
        ("xla", {"jit_compile": None}),
    ],
)
def test_an_argument_that_agrees_with_the_mode_changes_nothing(mode, arguments):
    assert modes.resolve(mode, **arguments) == modes.resolve(mode)


@pytest.mark.parametrize("mode", [None, "graph", "fused"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_the_number_of_steps_must_be_a_positive_integer(mode, value):
    with pytest.raises(ValueError, match="`steps_per_execution` must be a positive integer. Rec"):
        modes.resolve(mode, steps_per_execution=value)


@pytest.mark.parametrize(
    ("given", "run_eagerly", "jit_compile", "name"),
    [
        (None, False, False, "graph"),
        (None, False, True, "xla"),
        (None, True, True, "eager"),
        ("fused", False, True, "fused"),
        ("fused", True, True, "eager"),
        ("fused", False, False, "graph"),
        ("auto", False, False, "auto"),
        ("auto", True, False, "eager"),
        ("graph", False, True, "xla"),
    ],
)
def test_keras_flags_set_later_override_the_mode(given, run_eagerly, jit_compile, name):
    assert modes.find_name(given, run_eagerly, jit_compile) == name


@pytest.mark.parametrize("mode", ["eager", "graph", "xla", "fused"])
def test_one_replica_takes_every_mode(mode):
    modes.check_replicas(mode, num_replicas=1)


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_several_replicas_take_modes_of_single_steps(mode):
    modes.check_replicas(mode, num_replicas=2)


def test_several_replicas_refuse_fused_and_name_what_works():
    words = "must be one of 'eager', 'graph', 'xla' .* 3 replicas.*mode='fused'"
    with pytest.raises(ValueError, match=words):
        modes.check_replicas("fused", num_replicas=3)
