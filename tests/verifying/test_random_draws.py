"""Tests of which operations of a step draw random numbers."""

import keras
import pytest
import verification_zoo as zoo

import kerasmodes as km
from kerasmodes.verifying import random_draws, recipes


def build():
    drawing = [km.random.Dropout(0.5), keras.layers.Dropout(0.5), keras.layers.GaussianNoise(0.1)]
    return keras.Sequential([keras.Input((4,)), *drawing, keras.layers.Dense(1)])


@pytest.mark.slow
def test_layers_of_keras_that_draw_are_named_and_those_of_this_package_are_not():
    model = build()
    recipe = recipes.Recipe(build, (zoo.X, zoo.Y), 1, 8, zoo.PLAIN)
    draws = random_draws.find_draws(recipe, model)
    names = [f"{type(one).__name__} {one.name!r}" for one in model.layers[1:3]]
    assert list(map(str, draws)) == names
    assert not any(draw.is_stateful for draw in draws)
    generators = random_draws.find_seed_generators(model)
    assert [*generators] == [draw.layer for draw in draws]
