"""Tests of `SumRegressorHyperModel`: its space, and the model made of a draw."""

import keras
import keras_tuner
import pytest
from tiny_searches import (
    HYPERBAND,
    NUM_FEATURES,
    list_statuses,
    make_space,
    make_sums,
    make_tuner,
)

import kerasmodes as km


# `test_tuners.py` compares such a trial with one that was never interrupted.
@pytest.mark.sweep
@pytest.mark.slow
def test_hyperband_promotes_a_model_with_the_state_of_adam(tmp_path):
    # Keras would warn if it lost that state.
    space = make_space(batch_size=[8, 16], optimizer="adam")
    hypermodel = km.tuning.SumRegressorHyperModel(NUM_FEATURES, mode="eager")
    tuner = make_tuner(keras_tuner.Hyperband, hypermodel, tmp_path, space, **HYPERBAND)
    tuner.search(**make_sums())
    assert list_statuses(tuner) == ["COMPLETED"] * 3
    assert tuner.oracle.trials["2"].hyperparameters["tuner/trial_id"] in ("0", "1")


def test_the_space_is_known_before_the_first_trial(tmp_path):
    hypermodel = km.tuning.SumRegressorHyperModel()
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel, tmp_path, make_space())
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert "batch_size" in names
    tuner.hypermodel.build(tuner.oracle.get_space())
    assert {hp.name for hp in tuner.oracle.get_space().space} == names


@pytest.mark.parametrize(("hidden_layers", "units"), [(1, (8,)), (3, (8, 16, 24))])
def test_the_model_is_built_as_drawn(hidden_layers, units):
    hp = make_space(hidden_layers=hidden_layers, units_1=8, optimizer="sgd", learning_rate=0.02)
    for layer in (2, 3):
        with hp.conditional_scope("hidden_layers", list(range(layer, 4))):
            hp.Fixed(f"units_{layer}", 8 * layer)
    model = km.tuning.SumRegressorHyperModel(
        NUM_FEATURES, mode="fused", loss="mean_absolute_error"
    ).build(hp)
    assert model.units == units
    assert (model.mode, model.loss) == ("fused", "mean_absolute_error")
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("optimizers", ("adamm",)), ("optimizers", ("adam", 3)), ("optimizers", ())),
        *(("batch_sizes", (4, "x")), ("batch_sizes", ())),
    ],
)
def test_an_impossible_choice_is_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        km.tuning.SumRegressorHyperModel(**{name: value})
