"""Tests of what a step changes that is no variable."""

import itertools
import random

import keras
import numpy as np
import pytest
import verification_zoo as zoo

import kerasmodes as km
from kerasmodes.verifying import python_states

NUMBERS = []
COUNT = itertools.count()


class Keeper(km.Model):
    def __init__(self):
        super().__init__()
        self.number, self.values, self.table = 0, [1.0], {"a": 1}
        self.array, self.own = np.zeros(2), np.random.default_rng(0)
        self.layer = keras.layers.Dense(1)

    def train_step(self, data):
        NUMBERS.append(next(COUNT))


def change_array(model):
    model.array[0] = 1


CHANGES = {
    "Keeper.number": lambda model: setattr(model, "number", 1),
    "Keeper.values": lambda model: model.values.append(2.0),
    "Keeper.table": lambda model: model.table.update({"a": 2}),
    "Keeper.array": change_array,
    "Keeper.own": lambda model: model.own.random(),
    "Python's random": lambda model: random.random(),
    "numpy.random": lambda model: np.random.random(),
}


@pytest.fixture(scope="module")
def model():
    return Keeper()


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_named(name, model):
    state = python_states.PythonState(model)
    state.read()
    assert state.find_changed() == []
    CHANGES[name](model)
    assert state.find_changed() == [name]


def test_global_variables_of_a_step_are_looked_at(model):
    state = python_states.PythonState(model)
    state.read()
    model.train_step(None)
    assert state.find_changed() == [f"{name} of {__name__}" for name in ("NUMBERS", "COUNT")]


def test_models_of_keras_have_no_such_state():
    state = python_states.PythonState(keras.Sequential([keras.layers.Dropout(0.5)]))
    assert state.read_attributes() == {}


def test_the_attributes_that_two_models_do_not_share_are_named(model):
    other = Keeper()
    other.number = 7
    assert "Keeper.number" in python_states.find_differences(model, other)
    assert python_states.find_differences(other, other) == []


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [{"mode": "graph"}, {"mode": "auto"}, {"run_eagerly": True}])
def test_attributes_of_the_package_and_of_keras_are_no_state_of_the_user(compiled):
    model, other = zoo.Counter(), zoo.Counter()
    model.compile("sgd", steps_per_execution=2, **compiled)
    for one in (model, other):
        assert {*python_states.PythonState(one).read_attributes()} == {"Counter.count"}
    other.compile("sgd")
    other.fit(zoo.X, zoo.Y, epochs=1, verbose=0, callbacks=[km.callbacks.NaNGuard()])
    assert python_states.find_differences(other, model) == ["Counter.count"]


def test_attributes_of_a_layer_of_keras_are_no_state_of_the_user():
    class Scaled(keras.layers.Dense):
        def call(self, inputs):
            return super().call(inputs) * 2

    layer = Scaled(1)
    layer(np.ones((1, 2), "float32"))
    assert python_states.PythonState(keras.Sequential([layer])).read_attributes() == {}
