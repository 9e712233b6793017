"""Tests of where numbers come from, in steps whose faults are known."""

import keras
import numpy as np
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import model_state, value_origins


def make_model():
    inputs = keras.Input((2,))
    model = km.Model(inputs, keras.layers.Dense(1, name="last")(inputs))
    model.compile("sgd", "mean_squared_error", mode="graph")
    model.optimizer.build(model.trainable_variables)
    return model


def find_origin(step, batch):
    """Returns the origin of what a step returns."""
    model = make_model()
    with value_origins.ValueOrigins(model, model_state.ModelState(model)) as origins:
        result = origins.watch(lambda batch: step(model, batch))(batch)
    return origins.find([result], [])


def test_the_first_operation_on_the_way_is_the_origin():
    def step(model, x):
        tf.math.log(x * 0)  # On no way to the result.
        hidden = tf.where(x > 1, x, 1 / (x - 1))
        return tf.reduce_sum(model(tf.sqrt(-x) + 0 * hidden))

    origin = find_origin(step, tf.constant([[1.0, 2.0]]))
    assert (origin.name, origin.scopes) == ("RealDiv", ())
    assert origin.place.path == __file__


def test_what_is_infinite_in_a_program_is_the_origin_only_if_it_is_alone():
    mask = tf.constant([0.0, -np.inf])
    assert find_origin(lambda model, x: x + mask, tf.ones((1, 2))).is_given
    origin = find_origin(lambda model, x: tf.nn.softmax(x + mask[1]), tf.ones((1, 2)))
    assert (origin.name, origin.is_given) == ("Softmax", False)


def test_a_part_of_the_batch_is_the_origin():
    x = {"a": tf.ones((1, 2)), "b": tf.constant([[np.nan, 1.0]])}
    origin = find_origin(lambda model, x: model(x["a"] + x["b"]), x)
    assert origin.data_path == ("b",)


def test_a_gradient_is_that_of_an_operation_in_a_layer():
    def step(model, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x)
            z = tf.sqrt(y - y)
        return tape.gradient(z, x)

    origin = find_origin(step, tf.ones((1, 2)))
    assert origin.is_backward and origin.gradient_of.name == "Sqrt"


def test_nothing_is_left_behind():
    model = make_model()
    find_origin(lambda model, x: x, tf.ones((1, 2)))
    with value_origins.ValueOrigins(model, model_state.ModelState(model)):
        assert "call" in vars(model.layers[1])
    parts = [*model.layers, model.optimizer, *model.metrics]
    assert not any({"call", "apply", "update_state", "result"} & set(vars(one)) for one in parts)


def test_what_was_not_seen_has_no_origin():
    unseen = tf.constant(np.nan)
    assert find_origin(lambda model, x: unseen, tf.ones((1, 2))) is None
