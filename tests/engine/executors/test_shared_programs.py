"""Tests of programs that models of the same shape share: fewer compilations, the same numbers."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine.executors import shared_programs

X, Y = km.data.sums(num_samples=24, num_features=3, seed=1)


def make_sgd(rate=0.01, momentum=0.9):
    return keras.optimizers.SGD(rate, momentum=momentum)


def make_model(mode, optimizer=None, units=()):
    set_seed(0)
    model = km.SumRegressor(units)
    model.build((None, 3))
    model.compile(optimizer or make_sgd(), "mse", mode=mode)
    return model


def fit(model, epochs=2):
    return model.fit(X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0).history["loss"]


@pytest.fixture
def programs(monkeypatch):
    """What is kept, nothing at the start."""
    kept = type(shared_programs._programs)()
    monkeypatch.setattr(shared_programs, "_programs", kept)
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("xla", marks=pytest.mark.sweep)])
def test_models_of_one_shape_share_a_program_and_keep_their_numbers(programs, mode):
    rates = (0.01, 0.05)
    expected = [fit(make_model("eager", make_sgd(rate)), 4) for rate in rates]
    models = [make_model(mode, make_sgd(rate)) for rate in rates]
    first = [fit(model) for model in models]
    assert len(programs) == 1
    found = [[*before, *fit(model)] for before, model in zip(first, models, strict=True)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[:2], other[:2], rtol=1e-5)
    # The two models, by turns, are as two that share nothing.
    alone = make_model(mode, make_sgd(rates[0]))
    programs.clear()
    assert [*fit(alone), *fit(alone)] == found[0]


class WithoutTargets(km.Model):
    """Takes examples without targets, and does the same with them."""

    def __init__(self):
        super().__init__()
        self.sum = self.add_weight(initializer="zeros")
        self.compile(mode="fused")

    def train_step(self, data):
        self.sum.assign_add(tf.reduce_sum(data[0] if isinstance(data, tuple) else data))
        return {"loss": self.sum}


def test_batches_of_another_structure_have_a_program_of_their_own(programs):
    losses = [
        WithoutTargets().fit(*data, batch_size=4, shuffle=False, verbose=0).history["loss"]
        for data in ((X, Y), (X,))
    ]
    assert losses[0] == losses[1]
    assert len(programs) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "make_other",
    [
        pytest.param(lambda: make_model("fused", make_sgd(momentum=0.5)), id="constant"),
        *(
            pytest.param(make, id=name, marks=pytest.mark.sweep)
            for name, make in {
                "optimizer": lambda: make_model("fused", keras.optimizers.SGD(0.01)),
                "mode": lambda: make_model("xla"),
                "layers": lambda: make_model("fused", units=(2,)),
            }.items()
        ),
    ],
)
def test_models_that_differ_share_nothing(programs, make_other):
    fit(make_model("fused"))
    number = len(programs)
    fit(make_other())
    assert len(programs) > number


@pytest.mark.slow
def test_the_program_of_a_deleted_model_serves_the_next(programs):
    expected = fit(make_model("fused"))
    gc.collect()
    assert fit(make_model("fused")) == expected
    assert len(programs) == 1


def test_few_programs_and_bytes_are_kept(programs, monkeypatch):
    monkeypatch.setattr(shared_programs, "MOST_PROGRAMS", 1)
    for batch_size in (4, 6):
        WithoutTargets().fit(X, batch_size=batch_size, verbose=0)
    assert len(programs) == 1
    monkeypatch.setattr(shared_programs, "MOST_BYTES", 0)
    WithoutTargets().fit(X, batch_size=8, verbose=0)
    assert not programs


@pytest.mark.slow
@pytest.mark.sweep
def test_recurrent_models_share_their_programs_too(programs):
    def make(seed):
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Embedding(6, 1), keras.layers.SimpleRNN(1)]
        model = km.with_modes(keras.Sequential([keras.Input((3,), dtype="int32"), *layers]))
        model.compile("sgd", "mse", mode="fused")
        return model

    words = np.random.default_rng(0).integers(0, 6, (24, 3))
    for seed in (1, 2):
        model = make(seed)
        found = model.fit(words, Y, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert len(programs) == 1
    programs.clear()
    again = make(2).fit(words, Y, batch_size=8, shuffle=False, verbose=0).history["loss"]
    assert found == again


@pytest.mark.slow
def test_a_program_outlives_the_model_and_the_list_that_it_came_from(programs):
    first, second = make_model("fused"), make_model("fused")
    expected = [model.predict(X, verbose=0) for model in (first, second)][1]
    del first
    programs.clear()
    gc.collect()
    with tf.GradientTape():
        np.testing.assert_array_equal(second.predict(X, verbose=0), expected)


def test_a_variable_whose_size_is_open_can_be_used_in_a_step(programs):
    weights = tf.Variable([1.0, 2.0], shape=[None])

    class Weighted(WithoutTargets):
        def train_step(self, data):
            self.sum.assign_add(tf.reduce_sum(weights))
            return {"loss": self.sum}

    assert Weighted().fit(X, batch_size=12, verbose=0).history["loss"] == [6.0]
