"""Tests of the early step of validation: what it finds, and that it changes no number."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.engine import validation_checks

X, Y = km.data.sums(num_samples=240, num_features=3, seed=1)
MODES = ["graph", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("fused", "eager", "auto"))]


class Noisy(km.SumRegressor):
    """Draws in its step of validation, which may fail."""

    fails = False
    calls = 0

    def __init__(self, **kwargs):
        super().__init__((), **kwargs)
        self.own = km.random.SeedGenerator(3)

    def train_step(self, data):
        x, y = data
        return super().train_step((x + km.random.normal(tf.shape(x), seed=self.own), y))

    def test_step(self, data):
        self.calls += 1
        if self.fails:
            raise NotImplementedError("no such layer")
        x, y = data
        x += 0.1 * keras.random.normal(tf.shape(x))
        return super().test_step((x + km.random.normal(tf.shape(x), seed=self.own), y))


def fit(mode, batch_size=2, model=None, num_examples=240, **arguments):
    set_seed(0)
    model = model or Noisy()
    model.compile("sgd", mode=mode)
    arguments = {"validation_data": (X[:8], Y[:8]), "epochs": 2, **arguments}
    data = X[:num_examples], Y[:num_examples]
    history = model.fit(*data, batch_size=batch_size, verbose=0, **arguments)
    return history.history, model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_numbers_stay(mode, monkeypatch):
    history, weights = fit(mode)
    monkeypatch.setattr(validation_checks, "LONG_STEPS", 1_000)
    expected_history, expected = fit(mode)
    assert history == expected_history
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
def test_an_error_comes_after_the_first_execution(mode):
    model = Noisy()
    model.fails = True
    with pytest.raises(NotImplementedError, match="no such layer") as caught:
        fit(mode, model=model)
    assert caught.value.__notes__ == [validation_checks.NOTE]
    assert int(model.optimizer.iterations.numpy()) == 1


@pytest.mark.slow
def test_short_fits_have_none():
    model = Noisy()
    model.fails = True
    with pytest.raises(NotImplementedError, match="no such layer"):
        fit("graph", batch_size=8, model=model)
    assert int(model.optimizer.iterations.numpy()) == 30


@pytest.mark.slow
def test_it_is_one_step_of_the_first_fit(monkeypatch):
    monkeypatch.setattr(validation_checks, "LONG_STEPS", 4)
    model = Noisy()
    fit("eager", model=model, num_examples=8, validation_batch_size=2)
    assert model.calls == 1 + 2 * 4
    model.fit(X[:8], Y[:8], batch_size=2, verbose=0, validation_data=(X[:8], Y[:8]))
    assert model.calls == 1 + 3 * 4
