"""Tests of how a model is made and fed again and again, here and in another process."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import verification_zoo as zoo

import kerasmodes as km
from kerasmodes.verifying import recipes

OPTIMIZER = keras.optimizers.SGD(0.25)


def make_recipe(build=zoo.OwnStep, data=(zoo.X, zoo.Y), **compile_arguments):
    return recipes.Recipe(build, data, 3, 8, compile_arguments)


def read_batch(recipe, step):
    given = recipe.take(step, step + 1)
    return next(iter(given["x"]))[0].numpy() if recipe.holds_dataset else given["x"]


@pytest.mark.parametrize("kind", ["arrays", "data set"])
def test_steps_have_their_batches(kind):
    batches = tf.data.Dataset.from_tensor_slices((zoo.X, zoo.Y)).batch(8)
    recipe = make_recipe(data=batches if kind == "data set" else (zoo.X, zoo.Y))
    for step in (2, 0):
        np.testing.assert_array_equal(read_batch(recipe, step), zoo.X[8 * step : 8 * step + 8])


def test_arrays_begin_again_where_the_steps_are_more():
    recipe = recipes.Recipe(zoo.OwnStep, (zoo.X, zoo.Y), 50, 8, {})
    np.testing.assert_array_equal(read_batch(recipe, 4), zoo.X[:8])
    assert len(read_batch(recipe, 49)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "data set"])
def test_a_recipe_that_was_sent_makes_the_same_model_of_the_same_batches(kind, tmp_path):
    batches = tf.data.Dataset.from_tensor_slices((zoo.X, zoo.Y)).shuffle(32).batch(8)
    recipe = make_recipe(
        data=batches if kind == "data set" else (zoo.X, zoo.Y), optimizer=OPTIMIZER
    )
    other = recipes.Recipe.unpack(recipe.ship(tmp_path))
    for step in range(3):
        np.testing.assert_array_equal(read_batch(other, step), read_batch(recipe, step))
    one, two = (each.make_model("graph") for each in (recipe, other))
    assert float(two.optimizer.learning_rate.numpy()) == 0.25
    for weight, expected in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def make_compiled():
    model = zoo.make_sequential()()
    model.compile("adam", "mse")
    return model


def test_arguments_of_compile_are_refused_for_a_compiled_model():
    words = "must be left out for a model that is compiled already. Received: loss=None"
    with pytest.raises(ValueError, match=re.escape(words)):
        make_recipe(make_compiled, loss=None).make_model("graph")


@pytest.mark.parametrize("mode", ["keras", "graph"])
def test_a_compiled_model_keeps_its_optimizer(mode):
    model = make_recipe(make_compiled).make_model(mode)
    assert isinstance(model.optimizer, keras.optimizers.Adam)


class NeedsOptimizer(zoo.OwnStep):
    def compile(self, optimizer, **kwargs):
        super().compile(optimizer=optimizer, **kwargs)


@pytest.mark.parametrize("build", [zoo.make_sequential(), zoo.OwnStep, NeedsOptimizer])
def test_a_model_that_is_not_compiled_needs_an_optimizer(build):
    with pytest.raises(ValueError, match="`optimizer` must be given.*optimizer='adam'"):
        make_recipe(build, loss="mse").make_model("graph")


@pytest.mark.parametrize("build", [km.SumRegressor, zoo.Pair])
def test_the_default_optimizer_of_a_class_is_taken(build):
    assert make_recipe(build).make_model("graph").compiled


@pytest.mark.parametrize("what", ["build", "loss"])
def test_what_cannot_be_sent_is_refused_in_words(what, tmp_path):
    recipe = make_recipe(lambda: None) if what == "build" else make_recipe(loss=lambda y, p: p)
    with pytest.raises(ValueError, match=r"must be a function at the top of a module.*replicas=1"):
        recipe.ship(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("verification_zoo", "must be named as 'module:function'"),
        ("no_such_module:f", "must name a module that can be imported"),
        ("verification_zoo:missing", "must name a function"),
        ("verification_zoo:X", "must name a function"),
    ],
)
def test_a_name_that_names_no_function_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        recipes.find_function(name)


def test_a_function_is_found_by_its_name():
    assert recipes.find_function("verification_zoo:verify") is zoo.verify
