"""Properties of any input: a model trains on it, or says in words why not."""

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

import kerasmodes as km

# The same examples in every run, few enough for a slow machine: how many, `conftest.py` says.
few = hypothesis.settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[*hypothesis.HealthCheck],
)
# Words of TensorFlow's that no user should need to read.
TRACES = ("{{node", "Op:", "StatefulPartitionedCall", "loc(", "Traceback", "AutoGraph")
SHAPES = st.sampled_from([(), (1,), (3,), (3, 1), (1, 3), (3, 3), (0,)])
DTYPES = ("float32", "float64", "float16", "int32", "uint8", "bool", "complex64", "S1")
SIZES = st.sampled_from([0, 1, 2, 5, 8])


# Compiling takes long: of these modes, all examples are a sweep.
drawn_or_compiled = pytest.mark.parametrize(
    "given_mode", [None, *(pytest.param(one, marks=pytest.mark.sweep) for one in ("xla", "auto"))]
)


def assert_in_words(error):
    assert not any(mark in str(error) for mark in TRACES), error
    assert len(str(error).splitlines()[0]) > 20, error


@drawn_or_compiled
@few
@hypothesis.given(
    mode=st.sampled_from(["eager", "eager", "graph", "fused"]),
    num=SIZES,
    x_shape=st.one_of(st.just((3,)), SHAPES),
    y_shape=st.one_of(st.just((1,)), SHAPES),
    weight_shape=st.one_of(st.none(), st.none(), SHAPES),
    batch_size=st.sampled_from([None, None, 1, 3, 4, 9, 0, -1, 2.5, "4"]),
    dtype=st.sampled_from(
        ["float32", "float64", "float16", "int32", "uint8", "bool", "complex64", "S1"]
    ),
)
def test_the_regressor_trains_or_says_why_not(
    given_mode, mode, num, x_shape, y_shape, weight_shape, batch_size, dtype
):
    x, y = np.ones((num, *x_shape)).astype(dtype), np.ones((num, *y_shape), "float32")
    weights = None if weight_shape is None else np.ones((num, *weight_shape), "float32")
    model = km.SumRegressor(())
    model.compile("sgd", mode=given_mode or mode)
    try:
        history = model.fit(x, y, batch_size, sample_weight=weights, verbose=0).history
    except (ValueError, TypeError) as error:
        assert_in_words(error)
        assert int(model.optimizer.iterations.numpy()) == 0
        return
    assert num > 0
    assert (len(x_shape), y_shape in [(), (1,)]) == (1, True)
    assert weight_shape in [None, (), (1,)]
    assert np.isfinite(history["loss"]).all()
    steps = -(-num // (batch_size or 32))
    assert int(model.optimizer.iterations.numpy()) == steps
    assert model.predict(x, verbose=0).shape == (num, 1)


@drawn_or_compiled
@hypothesis.settings(few, max_examples=few.max_examples // 5)
@hypothesis.given(
    mode=st.sampled_from(["eager", "graph"]),
    units=st.sampled_from([1, 3]),
    y_shape=SHAPES,
    loss=st.sampled_from(["mse", "mae", "huber", "binary_crossentropy", "poisson"]),
)
def test_no_target_is_broadcast(given_mode, mode, units, y_shape, loss):
    inputs = keras.Input((2,))
    model = km.Model(inputs, keras.layers.Dense(units, "sigmoid")(inputs))
    model.compile("sgd", loss, mode=given_mode or mode)
    x, y = np.ones((5, 2), "float32"), np.ones((5, *y_shape), "float32")
    try:
        model.fit(x, y, verbose=0)
    except (ValueError, TypeError) as error:
        assert_in_words(error)
        return
    assert np.size(y) == 5 * units


@drawn_or_compiled
@hypothesis.settings(few, max_examples=few.max_examples // 8)
@hypothesis.given(
    mode=st.sampled_from(["eager", "graph"]),
    side=st.sampled_from([4, 6, 7]),
    num_scales=st.integers(0, 3),
    channels=st.sampled_from([1, 3]),
    num=st.sampled_from([0, 1, 3]),
    batch_size=st.sampled_from([1, 2, 8]),
    scale=st.sampled_from([1.0, 1.0, 127.5, np.nan]),
)
def test_the_gan_trains_or_says_why_not(
    given_mode, mode, side, num_scales, channels, num, batch_size, scale
):
    images = scale * np.random.default_rng(0).uniform(-1, 1, (num, side, side, channels))
    try:
        preset = km.presets.Default(2, 2)
        gan = km.MSGGAN((side, side, 1), num_scales, 2, preset=preset, seed=0)
        gan.compile(mode=given_mode or mode)
        history = gan.fit(images.astype("float32"), batch_size=batch_size, verbose=0).history
    except (ValueError, TypeError) as error:
        assert_in_words(error)
        return
    assert (channels, scale) == (1, 1.0)
    assert num > 0
    assert side % 2 ** (num_scales - 1) == 0
    assert np.isfinite(history["g_loss"]).all()
