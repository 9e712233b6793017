"""Tests of the validation that is run again; what is made of it is tested with `NaNGuard`."""

import types

import numpy as np
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import readers, recent_validation, replay

X = np.arange(12, dtype="float32").reshape(6, 2)


class DrawsInTests(km.SumRegressor):
    """Its validation fails where a drawn number is the one that failed before."""

    def __init__(self):
        super().__init__(())
        self.seeds = km.random.SeedGenerator(1)

    def test_step(self, data):
        return {"drawn": km.random.uniform((), seed=self.seeds)}


def make_model():
    model = DrawsInTests()
    model.build((None, 2))
    model.compile("sgd", mode="graph")
    model.make_test_function()
    return model


def test_a_batch_is_found_with_the_same_random_numbers_and_the_model_is_as_it_was():
    model = make_model()
    reader = readers.Reader(model, X, X[:, :1], batch_size=2)
    progress = types.SimpleNamespace(model=model, epoch=0, validation_reader=reader)
    validation = recent_validation.RecentValidation(progress)
    validation.begin()
    drawn = [float(model.test_on_batch(X[:2], X[:2, :1], return_dict=True)["drawn"])]
    drawn += [float(model.test_on_batch(X[:2], X[:2, :1], return_dict=True)["drawn"])]
    state = model.seeds.state.numpy()

    def find_broken(logs):
        return {n: value for n, value in logs.items() if abs(float(value) - drawn[1]) < 1e-6}

    failed = validation.find_failed_batch(find_broken)
    assert isinstance(failed, replay.FailedStep) and failed.step == 1
    np.testing.assert_array_equal(failed.batch[0], X[2:4])
    np.testing.assert_array_equal(model.seeds.state.numpy(), state)
    assert validation.find_failed_batch(lambda logs: {}) is None


def test_without_a_validation_nothing_is_found():
    progress = types.SimpleNamespace(model=make_model(), epoch=0, validation_reader=None)
    assert recent_validation.RecentValidation(progress).find_failed_batch(tf.identity) is None
