"""Tests of how losses, penalties and presets of one's own are saved."""

import keras
import pytest

import kerasmodes as km


@keras.saving.register_keras_serializable(package="test_saved_arguments")
class Drift(km.losses.Wasserstein):
    def __init__(self, drift=0.0):
        self.drift = drift


@keras.saving.register_keras_serializable(package="test_saved_arguments")
class Scaled(km.penalties.R1):
    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale


@keras.saving.register_keras_serializable(package="test_saved_arguments")
class Deep(km.presets.Default):
    def __init__(self, depth=1, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth


SCHEDULE = keras.optimizers.schedules.InverseTimeDecay(3.0, 10, 1.0)


@pytest.mark.parametrize(
    "one",
    [
        Drift(drift=0.5),
        Scaled(scale=2.0, gamma=3.0, every=4),
        Scaled(gamma=SCHEDULE),
        Deep(depth=3, generator_filters=8, half_life=None),
    ],
)
def test_all_arguments_of_the_constructor_are_saved(one):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one))
    assert type(again) is type(one)
    assert again.get_config() == one.get_config()
    assert {**vars(again), "gamma": None} == {**vars(one), "gamma": None}


def test_an_argument_that_is_not_kept_is_named():
    class Forgetful(km.losses.Hinge):
        def __init__(self, margin=1.0):
            self.width = margin

    with pytest.raises(
        ValueError, match="Forgetful must keep each argument .*no attribute 'margin'"
    ):
        Forgetful().get_config()
