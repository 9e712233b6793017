"""`km.verify` names each planted fault, and finds none where there is none."""

import keras
import pytest
import tensorflow as tf
import verification_zoo as zoo

import kerasmodes as km
from kerasmodes.verifying import causes, reports

# What is sound, many things in one; each of them is in a sweep, and so are these, but two.
WAYS = {
    "layers": {"modes": ("graph", "xla"), "replicas": 2},
    "two optimizers": {"modes": ("eager", "fused"), "resume": True},
    "recurrent layer first": {"modes": ("eager", "graph"), "resume": True},
    "data set with a schedule and weights": {"modes": ("keras", "graph"), "resume": True},
}
ALL_WAYS = {"modes": ("keras", "eager", "graph", "xla", "fused"), "replicas": 2, "resume": True}
# Much like others, or in further tests: of a loop, of NaN, of replicas in a process.
RARE = {
    "truncated noise",
    "truncated noise on replicas",
    "list",
    "plain mean, SGD",
    "plain mean, Adam",
    "draw of NumPy",
    "plain mean of one of two losses",
    "penalty on each replica",
    "counter on replicas",
    "draw of Keras in the step",
    "hidden NaN",
    "clock",
    "optimizer made in the step",
}
FAULTS = [
    pytest.param(name, marks=pytest.mark.sweep) if name in RARE else name for name in zoo.FAULTS
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name):
    case = zoo.FAULTS[name]
    report = zoo.verify(case)
    assert not report.ok
    assert report.causes == {case.cause}
    found = next(one for one in report.findings if not one.is_ok)
    assert all(words in found.words for words in case.words), found.words


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "two optimizers",
        pytest.param("layers", marks=pytest.mark.sweep),
        pytest.param("recurrent layer first", marks=pytest.mark.sweep),
        pytest.param("data set with a schedule and weights", marks=pytest.mark.sweep),
    ],
)
def test_what_is_sound_raises_no_alarm(name):
    zoo.verify(zoo.SOUND[name], **WAYS[name]).check()


@pytest.mark.sweep
@pytest.mark.parametrize("name", zoo.SOUND)
def test_what_is_sound_raises_no_alarm_in_any_way(name):
    ways = zoo.SOUND[name].ways or ALL_WAYS
    zoo.verify(zoo.SOUND[name], **ways).check()


@pytest.mark.sweep
@pytest.mark.parametrize("name", zoo.FAULTS)
def test_a_fault_is_named_among_all_ways(name):
    assert zoo.FAULTS[name].cause in zoo.verify(zoo.FAULTS[name], **ALL_WAYS).causes


@pytest.mark.slow
def test_the_reference_is_python_line_by_line():
    report = zoo.verify(zoo.SOUND["sequential"], modes=("graph", "eager"))
    assert report.reference == "eager"
    assert [one.way for one in report.findings] == ["graph", "eager"]
    assert all(one.verdict == reports.AGREES for one in report.findings)


@pytest.mark.slow
def test_rounding_that_the_steps_magnify_is_no_fault():
    report = zoo.verify(zoo.CHAOS, modes=("eager", "xla"))
    report.check()
    assert report["xla"].verdict == reports.ROUNDING
    assert report["xla"].causes == (causes.ROUNDING,)


def build_half_precision():
    """Returns a model that computes in float16, whose rounding differs under XLA."""
    kwargs = {"dtype": "mixed_float16"}
    layers = [
        keras.layers.Dense(8, "gelu", **kwargs),
        keras.layers.LayerNormalization(**kwargs),
        keras.layers.Dense(8, "softmax", **kwargs),
    ]
    return keras.Sequential([keras.Input((6,)), *layers, keras.layers.Dense(1)])


@pytest.mark.sweep
def test_rounding_of_float16_is_no_fault():
    generator = tf.random.Generator.from_seed(0)
    data = generator.normal((16, 6)).numpy(), generator.normal((16, 1)).numpy()
    ways = {"modes": ("graph", "xla"), "replicas": 1, "steps": 2, "batch_size": 8}
    report = km.verify(build_half_precision, data, **ways, optimizer="sgd", loss="mse")
    report.check()
    assert report["xla"].verdict == reports.ROUNDING
    assert "float16" in report["xla"].words


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("counter", "mixed_bfloat16"),
        ("plain mean, SGD", "mixed_bfloat16"),
        ("plain mean, Adam", "mixed_bfloat16"),
        ("batch normalization", "mixed_bfloat16"),
        ("batch normalization", "mixed_float16"),
    ],
)
def test_a_fault_is_named_in_half_precision_too(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        report = zoo.verify(zoo.FAULTS[name])
    finally:
        keras.config.set_dtype_policy("float32")
    assert report.causes == {zoo.FAULTS[name].cause}


@pytest.mark.slow
def test_the_first_step_of_a_fault_in_a_loop_is_found():
    report = zoo.verify(
        zoo.FAULTS["truncated noise on replicas"], modes=("eager", "fused"), replicas=1
    )
    assert report["fused"].step == 1
    assert report["fused"].causes == (causes.RANDOM,)
    assert "under XLA" in report["fused"].words and "TruncatedNoise" in report["fused"].words


@pytest.mark.slow
@pytest.mark.sweep
def test_two_faults_are_both_named():
    report = zoo.verify(zoo.TWO_FAULTS, modes=("graph",), replicas=2)
    assert [one.way for one in report.findings] == ["graph", "2 replicas"]
    assert report.causes == {causes.BATCH_NORMALIZATION, causes.RANDOM}
    for name in ("batch normalization", "truncated noise on replicas"):
        assert all(words in report["2 replicas"].words for words in zoo.FAULTS[name].words)


@pytest.mark.slow
def test_what_a_mode_raises_is_told():
    report = zoo.verify(zoo.UNTRACEABLE, modes=("eager", "graph"))
    assert report["graph"].verdict == reports.FAILED
    assert "Could not be traced" in report["graph"].words


@pytest.mark.slow
def test_a_number_that_is_not_finite_in_every_way_proves_nothing():
    report = zoo.verify(zoo.BROKEN, modes=("graph", "eager"))
    assert report["eager"].causes == (causes.NOT_FINITE,)
    assert report["eager"].step == 1


@pytest.mark.slow
def test_a_compiled_model_needs_no_arguments_of_compile():
    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    zoo.verify(zoo.Case(build), modes=("eager", "graph")).check()


def test_a_model_in_the_place_of_its_function_is_refused():
    with pytest.raises(TypeError, match="`build_model` must be a function without arguments"):
        km.verify(km.SumRegressor(), (zoo.X, zoo.Y))


@pytest.mark.slow
def test_a_function_that_returns_the_same_model_again_is_refused():
    model = km.SumRegressor(())
    with pytest.raises(ValueError, match="Received: the same SumRegressor twice"):
        km.verify(lambda: model, (zoo.X, zoo.Y), modes=("eager", "graph"), replicas=1, steps=1)


@pytest.mark.parametrize("name", ["replicas", "steps", "batch_size"])
def test_counts_must_be_positive_integers(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
        km.verify(km.SumRegressor, (zoo.X, zoo.Y), **{name: 0})


@pytest.mark.parametrize("modes", [(), "graph"])
def test_modes_must_be_a_sequence(modes):
    with pytest.raises(ValueError, match="`modes` must be a sequence of modes"):
        km.verify(km.SumRegressor, (zoo.X, zoo.Y), modes=modes)


@pytest.mark.parametrize("modes", [("graph",), ("graph", "graph")])
def test_a_single_way_is_refused(modes):
    with pytest.raises(ValueError, match="`modes` must name at least two .*replicas=1 and resume"):
        km.verify(km.SumRegressor, (zoo.X, zoo.Y), modes=modes, replicas=1, resume=False)


@pytest.mark.sweep
@pytest.mark.parametrize("more", [{"replicas": 2}, {"resume": True}])
def test_one_mode_is_enough_beside_another_way(more):
    report = zoo.verify(zoo.SOUND["sequential"], modes=("graph",), **more)
    assert len(report.findings) == 2


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="`modes` must be one of"):
        km.verify(km.SumRegressor, (zoo.X, zoo.Y), modes=("grpah",))


def test_too_few_batches_of_a_data_set_are_refused():
    data = tf.data.Dataset.from_tensor_slices((zoo.X, zoo.Y)).batch(16)
    with pytest.raises(ValueError, match="at least steps=5 batches"):
        km.verify(km.SumRegressor, data)


def test_resume_must_be_a_boolean():
    with pytest.raises(ValueError, match="`resume` must be True or False"):
        km.verify(km.SumRegressor, (zoo.X, zoo.Y), resume=1)
