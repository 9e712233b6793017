"""Tests of what every metric keeps: how examples come in, state, configuration and errors."""

import functools
import importlib
import inspect
import re
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes import metrics
from kerasmodes.metrics import sliced_wasserstein_distance

METRICS = {
    "FrechetDistance": {"num_features": 4},
    "KernelDistance": {"num_features": 4, "num_subsets": 3, "subset_size": 10, "max_samples": 40},
    "PrecisionRecall": {"num_features": 4, "k": 2, "max_samples": 40},
    "DensityCoverage": {"num_features": 4, "k": 2, "max_samples": 40},
    "SlicedWassersteinDistance": {"image_shape": (14, 16, 1), "num_scales": 2, "max_samples": 40},
}
SWEEP = pytest.mark.sweep
COMPILED = [("FrechetDistance", True), ("KernelDistance", False)]
KEEPING = [name for name in METRICS if name != "FrechetDistance"]
MODULES = (
    "density_coverage",
    "examples",
    "factor_coverage",
    "feature_metric",
    "feature_network",
    "frechet_distance",
    "image_evaluator",
    "kernel_distance",
    "memorisation",
    "nearest_neighbours",
    "precision_recall",
    "sliced_wasserstein_distance",
    "two_samples",
)


@pytest.fixture(autouse=True, scope="module")
def few_directions():
    """A sixteenth of the directions: these tests compare the metric only with itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliced_wasserstein_distance, "NUM_DIRECTIONS", 32)
        yield


@pytest.fixture(params=METRICS)
def name(request):
    return request.param


def pair_metrics(values):
    """Returns each metric with each value; by default each is tested once, or one value twice."""
    return [
        pytest.param(name, value, marks=[] if row % len(values) == column else SWEEP)
        for row, name in enumerate(METRICS)
        for column, value in enumerate(values)
    ]


def make(kind, **changes):
    return getattr(metrics, kind)(**{**METRICS[kind], **changes})


def draw(name, count, seed=0):
    shape = METRICS[name].get("image_shape", (4,))
    return np.random.default_rng(seed).normal(1, 2, (count, *shape)).astype("float32")


def filled(name, real=30, generated=24):
    metric = make(name)
    metric.update_state(draw(name, real), draw(name, generated, seed=1) / 2)
    return metric


@functools.cache
def find_results(name):
    """Returns what the metric finds in `filled`: the result and the baseline."""
    metric = filled(name)
    return metric.result(), metric.baseline()


def assert_same(actual, expected):
    """Both are floats, or dicts of them."""
    assert tf.nest.map_structure(float, actual) == tf.nest.map_structure(
        lambda value: pytest.approx(value, rel=1e-9, abs=1e-12), expected
    )


def test_pieces_give_what_one_batch_gives(name):
    real, generated = draw(name, 30), draw(name, 24, seed=1) / 2
    metric = make(name)
    for start, stop in ((0, 1), (1, 8), (8, 8), (8, 30)):
        metric.update_state(real=real[start:stop])
    metric.update_state(generated=generated[:5])
    metric.update_state(None, generated[5:])
    result, baseline = find_results(name)
    assert_same(metric.result(), result)
    assert_same(metric.baseline(), baseline)


def test_results_are_floats(name):
    metric = filled(name)
    for result in (metric.result(), metric.baseline(), metric(draw(name, 3), draw(name, 2))):
        values = result.values() if isinstance(result, dict) else [result]
        assert values and all(type(value) is float for value in values)


def test_examples_are_counted(name):
    metric = filled(name)
    assert (metric.num_real, metric.num_generated) == (30, 24)


def test_more_examples_change_the_result(name):
    metric = filled(name)
    before = metric.result()
    metric.update_state(draw(name, 9, seed=5), draw(name, 9, seed=6) + 1)
    assert metric.result() != before


@pytest.mark.slow
@pytest.mark.parametrize(("name", "known"), pair_metrics([True, False]))
def test_a_tf_function_gives_what_eager_execution_gives(name, known):
    metric, (result, baseline) = make(name), find_results(name)
    shape = metric._real.shape
    spec = tf.TensorSpec((None, *shape) if known else None, tf.float32)

    @tf.function(input_signature=[spec, spec])
    def step(real, generated):
        metric.update_state(real, generated)
        return metric.result()

    real, generated = draw(name, 30), draw(name, 24, seed=1) / 2
    step(real[:11], generated[:7])
    assert_same(step(real[11:], generated[7:]), result)
    assert_same(metric.baseline(), baseline)


def test_results_in_a_graph_are_known_to_be_scalars(name):
    outputs = tf.function(make(name).result).get_concrete_function().structured_outputs
    assert all(output.shape.rank == 0 for output in tf.nest.flatten(outputs))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "FrechetDistance",
        *(pytest.param(name, marks=SWEEP) for name in KEEPING),
    ],
)
def test_xla_gives_what_eager_execution_gives(name):
    metric = make(name)
    update = tf.function(metric.update_state, jit_compile=True)
    update(draw(name, 30)[:15], draw(name, 24, seed=1)[:12] / 2)
    update(draw(name, 30)[15:], draw(name, 24, seed=1)[12:] / 2)
    result, baseline = find_results(name)
    assert_same(metric.result(), result)
    assert_same(metric.baseline(), baseline)


def test_reset_forgets_both_sides(name):
    metric = filled(name)
    metric.reset_state()
    assert (metric.num_real, metric.num_generated) == (0, 0)
    with pytest.raises(RuntimeError, match="Received: 0 and 0"):
        metric.result()
    metric.update_state(draw(name, 30), draw(name, 24, seed=1) / 2)
    assert_same(metric.result(), find_results(name)[0])


def test_config_round_trip(name):
    metric = make(name, name="of_mine")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is type(metric) and again.name == "of_mine"
    assert again.get_config() == metric.get_config()
    assert set(METRICS[name].items()) <= set(again.get_config().items())
    for one in (metric, again):
        one.update_state(draw(name, 30), draw(name, 24, seed=1) / 2)
    assert again.result() == metric.result()


def test_the_real_side_comes_back_from_a_file(name, tmp_path):
    metric = filled(name)
    np.savez(tmp_path / "real.npz", **metric.real_state())
    again = make(name)
    again.update_state(draw(name, 8, seed=7), draw(name, 24, seed=1) / 2)
    with np.load(tmp_path / "real.npz") as state:
        again.set_real_state(state)
    assert (again.num_real, again.num_generated) == (30, 24)
    assert again.result() == metric.result()
    assert again.baseline() == metric.baseline()


def test_the_real_side_grows_after_it_came_back(name):
    metric, again = filled(name, real=7), make(name)
    again.set_real_state(metric.real_state())
    for one in (metric, again):
        one.update_state(real=draw(name, 8, seed=8))
    assert again.baseline() == metric.baseline()


def test_a_state_of_another_kind_is_refused(name):
    with pytest.raises(ValueError, match="`state` must have the entries .* Received: 'other'"):
        make(name).set_real_state({"other": np.zeros(3)})


def test_a_state_of_another_width_or_with_nan_is_refused(name):
    state = filled(name).real_state()
    key = list(state)[-1]
    with pytest.raises(ValueError, match=rf"`state\['{key}'\]` must have shape"):
        make(name).set_real_state({**state, key: state[key][..., :3, :1]})
    with pytest.raises(ValueError, match=rf"`state\['{key}'\]` must be finite"):
        make(name).set_real_state({**state, key: state[key] * np.nan})


@pytest.mark.parametrize(
    ("name", "dtype"), pair_metrics(["float16", "bfloat16", "int32", "float64"])
)
def test_other_dtypes_are_cast(name, dtype):
    metric, expected = make(name), make(name)
    batches = [tf.cast(batch, dtype) for batch in (draw(name, 30), draw(name, 24, seed=1))]
    metric.update_state(*batches)
    expected.update_state(*(tf.cast(batch, tf.float32) for batch in batches))
    assert_same(metric.result(), expected.result())


@pytest.mark.parametrize(
    ("name", "wrong"),
    pair_metrics(
        [("real", np.nan), ("generated", np.inf), ("generated", np.nan), ("real", np.inf)]
    ),
)
def test_the_side_with_nan_or_infinity_is_named(name, wrong):
    metric, (side, value) = make(name), wrong
    batches = {"real": draw(name, 6), "generated": draw(name, 6)}
    batches[side][2, 0] = value
    with pytest.raises(ValueError, match=f"`{side}` must be finite"):
        metric.update_state(**batches)
    assert (metric.num_real, metric.num_generated) == (0, 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{side}` must be finite"):
        tf.function(metric.update_state)(**batches)


@pytest.mark.parametrize("side", ["real", "generated"])
def test_a_wrong_shape_is_refused(name, side):
    batch = draw(name, 6)
    for wrong in (batch[0], batch[..., :-1], batch[..., np.newaxis]):
        with pytest.raises(ValueError, match=rf"`{side}` must have shape \[batch, .*Received: "):
            make(name).update_state(**{side: wrong})


def test_weights_are_refused(name):
    with pytest.raises(ValueError, match="`sample_weight` must be None"):
        make(name).update_state(draw(name, 3), draw(name, 3), sample_weight=tf.ones(3))


def test_too_few_examples_are_an_error(name):
    metric = make(name)
    least = metric.min_examples
    metric.update_state(real=draw(name, 2 * least - 1), generated=draw(name, least - 1))
    with pytest.raises(RuntimeError, match=f"`result` of {name} needs at least {least} examples"):
        metric.result()
    with pytest.raises(RuntimeError, match=f"`baseline` of {name} needs .*half"):
        metric.baseline()
    metric.update_state(real=draw(name, 1), generated=draw(name, 1))
    metric.result()
    metric.baseline()


def test_the_baseline_compares_every_second_real_example(name):
    metric, halves = filled(name, real=25), make(name)
    real = draw(name, 25)
    halves.update_state(real[::2], real[1::2])
    assert_same(metric.baseline(), halves.result())


@pytest.mark.parametrize("name", KEEPING)
def test_more_than_max_samples_are_an_error(name):
    metric = make(name, max_samples=12)
    metric.update_state(generated=draw(name, 12))
    with pytest.raises(ValueError, match="`max_samples` must be at least .* generated examples"):
        metric.update_state(generated=draw(name, 1))
    assert metric.num_generated == 12
    with pytest.raises(tf.errors.InvalidArgumentError, match="`max_samples` must be at least"):
        tf.function(metric.update_state)(real=draw(name, 13))


@pytest.mark.parametrize(
    ("argument", "value"),
    [("max_samples", 0), ("max_samples", 2.0), ("k", 0), ("k", True), ("num_scales", -1)]
    + [("num_subsets", 0), ("subset_size", 1), ("seed", -1), ("seed", None)],
)
def test_wrong_numbers_are_refused(argument, value):
    takers = [name for name in METRICS if argument in make(name).get_config()]
    assert takers
    for name in takers:
        with pytest.raises(ValueError, match=f"`{argument}` must be .* {argument}={value!r}"):
            make(name, **{argument: value})


def test_replicas_are_refused(name, two_replicas):
    with two_replicas.scope():
        metric = make(name)
    with pytest.raises(RuntimeError, match="a call on one of 2 replicas"):
        two_replicas.run(metric.update_state, (draw(name, 4),))


def test_a_metric_made_under_a_strategy_takes_whole_batches(name, two_replicas):
    with two_replicas.scope():
        metric = make(name)
        metric.update_state(draw(name, 30), draw(name, 24, seed=1) / 2)
        metric.update_state(draw(name, 5), draw(name, 5))
    expected = filled(name)
    expected.update_state(draw(name, 5), draw(name, 5))
    assert_same(metric.result(), expected.result())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "run_eagerly"),
    [
        pytest.param(name, run_eagerly, marks=[] if (name, run_eagerly) in COMPILED else SWEEP)
        for name in METRICS
        for run_eagerly in (True, False)
    ],
)
def test_compile_takes_it(name, run_eagerly):
    shape = make(name)._real.shape
    model = keras.Sequential([keras.Input(shape), keras.layers.Rescaling(0.5)])
    model.compile(loss="mse", metrics=[make(name, name="x")], run_eagerly=run_eagerly)
    logs = model.evaluate(
        draw(name, 24, seed=1), draw(name, 24), batch_size=8, verbose=0, return_dict=True
    )
    expected = make(name, name="x")
    expected.update_state(draw(name, 24), draw(name, 24, seed=1) / 2)
    result = expected.result()
    result = result if isinstance(result, dict) else {"x": result}
    assert {key: logs[key] for key in result} == pytest.approx(result, rel=1e-6)


def doc_examples():
    for module in MODULES:
        module = importlib.import_module(f"kerasmodes.metrics.{module}")
        owners = [
            o for o in vars(module).values() if getattr(o, "__module__", "") == module.__name__
        ]
        for owner in owners:
            blocks = re.findall(r"```python\n(.*?)```", inspect.getdoc(owner) or "", re.DOTALL)
            marks = SWEEP if owner is metrics.ImageEvaluator else []  # 2 s.
            yield from (
                pytest.param(module, block, id=owner.__name__, marks=marks) for block in blocks
            )


@pytest.mark.slow
@pytest.mark.parametrize(("module", "block"), list(doc_examples()))
def test_examples_in_docstrings_run(module, block):
    examples = importlib.import_module("kerasmodes.metrics.examples")
    frechet = importlib.import_module("kerasmodes.metrics.frechet_distance")
    names = {"km": km, "np": np, "tf": tf, "functools": functools}
    names |= {"Examples": examples.Examples, "Moments": frechet.Moments}
    exec(textwrap.dedent(block), {**names, **vars(module)})
