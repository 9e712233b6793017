"""Tests of copies of a model's state, in which every variable has its part."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import model_state

X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def make_model(**arguments):
    inputs = keras.Input((3,))
    hidden = km.random.Dropout(0.5, seed=0)(keras.layers.BatchNormalization()(inputs))
    model = km.Model(inputs, keras.layers.Dense(1)(hidden))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "mean_squared_error", metrics=["mae"], **arguments)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["graph", *(pytest.param(m, marks=pytest.mark.sweep) for m in ("fused", "xla"))]
)
def test_later_steps_leave_a_copy_as_it_is(mode):
    model = make_model(mode=mode)
    model.fit(X, Y, batch_size=4, verbose=0)
    state = model_state.ModelState(model)
    before, values = [v.parts[0].numpy() for v in state.variables], state.copy()
    model.fit(X, Y, batch_size=4, verbose=0)
    assert any(np.any(v.parts[0] != b) for v, b in zip(state.variables, before, strict=True))
    for _ in range(2):  # Nor do steps after it was restored.
        state.restore(values)
        for variable, value in zip(state.variables, before, strict=True):
            np.testing.assert_array_equal(variable.parts[0], value)
        model.fit(X, Y, batch_size=4, verbose=0)


@pytest.mark.slow
def test_all_kinds_of_variables_are_there():
    model = make_model(mode="eager")
    model.fit(X, Y, verbose=0)
    kinds = {}
    for variable in model_state.ModelState(model).variables:
        kinds.setdefault(variable.kind, []).append(variable.name)
    assert len(kinds["weight"]) == 4
    assert any("moving_mean" in name for name in kinds["other"])
    assert any("seed_generator" in name for name in kinds["other"])
    names = {name.split("/")[1] for name in kinds["optimizer"]}
    assert {"iteration", "learning_rate"} < names
    assert len(kinds["metric"]) >= 4


def test_what_is_broken_is_named_unless_it_was_so_before():
    model = make_model(mode="graph")
    state = model_state.ModelState(model)
    assert state.find_broken() == []
    model.layers[1].moving_mean.assign([1.0, -np.inf, 0.0])
    (name,) = state.find_broken()
    assert name.endswith("moving_mean")
    state.leave_out_broken()
    assert state.find_broken() == []
    model.layers[-1].bias.assign([np.nan])
    assert len(state.find_broken()) == len(state.extend().find_broken()) == 1


def test_what_is_infinite_on_purpose_may_not_become_nan():
    model = make_model(mode="graph")
    state = model_state.ModelState(model)
    mean, variance = model.layers[1].moving_mean, model.layers[1].moving_variance
    mean.assign([1.0, -np.inf, 0.0])
    variance.assign([1.0, np.nan, 0.0])
    state.leave_out_broken()
    mean.assign([np.inf, -np.inf, 0.0])
    assert state.find_broken() == []
    mean.assign([np.nan, -np.inf, 0.0])
    variance.assign([np.nan, np.nan, 0.0])
    (name,) = state.find_broken()
    assert name.endswith("moving_mean") and state.extend().find_broken() == [name]


@pytest.mark.slow
def test_values_of_newer_variables_are_those_they_begin_with():
    model = make_model(mode="eager")
    model.optimizer = keras.optimizers.Adagrad(initial_accumulator_value=0.25)
    state = model_state.ModelState(model)
    values = state.copy()
    model.fit(X, Y, verbose=0)
    assert not state.is_complete()
    extended = state.extend()
    extended.restore(extended.complete_values(state, values))
    accumulators = [v for v in extended.variables if "accumulator" in v.name]
    assert len(accumulators) == 4
    assert all(np.all(v.parts[0].numpy() == 0.25) for v in accumulators)
    assert extended.is_complete()


def test_weights_that_are_made_later_have_no_first_value():
    model = keras.Sequential([keras.layers.Dense(1)])
    model = km.with_modes(model)
    model.compile("sgd", "mean_squared_error", mode="eager")
    state = model_state.ModelState(model)
    values = state.copy()
    model.fit(X, Y, verbose=0)
    assert state.extend().complete_values(state, values) is None


@pytest.mark.slow
@pytest.mark.sweep
def test_each_replica_gets_its_part_back(two_replicas):
    with two_replicas.scope():
        model = make_model(mode="graph")
        model.fit(X, Y, batch_size=4, verbose=0)
        state = model_state.ModelState(model)
        before, values = state.copy(), state.copy()
        model.fit(X, Y, batch_size=4, verbose=0)
        state.restore(values)
    assert {len(variable.parts) for variable in state.variables} == {2}
    for one, other in zip(state.copy(), before, strict=True):
        assert isinstance(one, tf.Tensor)
        np.testing.assert_array_equal(one, other)


def test_a_variable_of_tensorflow_that_is_an_attribute_is_looked_at_and_restored():
    model = make_model()
    model.scale = tf.Variable(1.0)
    state = model_state.ModelState(model)
    values = state.copy()
    model.scale.assign(float("nan"))
    assert [name.split("/")[1] for name in state.find_broken()] == ["scale"]
    state.restore(values)
    assert float(model.scale) == 1.0
