"""Tests of `MSGGANHyperModel`: its space, the model made of a draw, and the best model's file."""

import keras
import keras_tuner
import pytest
from tiny_searches import (
    G_LOSS,
    HYPERBAND,
    list_statuses,
    make_gan_tuner,
    make_images,
    make_space,
    make_tuner,
)

import kerasmodes as km


@pytest.fixture(scope="module")
def hyperband_search(tmp_path_factory):
    tuner = make_gan_tuner(keras_tuner.Hyperband, tmp_path_factory.mktemp("gan"), **HYPERBAND)
    tuner.search(make_images(), verbose=0)
    return tuner


def test_hyperband_promotes_a_gan(hyperband_search):
    assert list_statuses(hyperband_search) == ["COMPLETED"] * 3
    promoted = hyperband_search.oracle.trials["2"]
    assert promoted.hyperparameters["tuner/trial_id"] in ("0", "1")


def test_the_saved_gan_has_both_optimizers(hyperband_search, tmp_path):
    km.tuning.save_best_model(hyperband_search, tmp_path / "best.keras")
    gan = keras.models.load_model(tmp_path / "best.keras")
    steps = int(gan.generator_optimizer.iterations)
    assert steps == int(gan.discriminator_optimizer.iterations) > 0


def test_the_space_is_known_before_the_first_trial(tmp_path):
    space = make_space(generator_filters=2, discriminator_filters=2)
    hypermodel = km.tuning.MSGGANHyperModel((4, 4, 1), num_scales=1)
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel, tmp_path, space, G_LOSS)
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert "batch_size" in names
    tuner.hypermodel.build(tuner.oracle.get_space())
    assert {hp.name for hp in tuner.oracle.get_space().space} == names


def test_the_gan_is_built_as_drawn():
    drawn = {"latent_dim": 3, "generator_filters": 2, "discriminator_filters": 4, "gamma": 0.5}
    rates = {"generator_learning_rate": 0.002, "discriminator_learning_rate": 0.003}
    hypermodel = km.tuning.MSGGANHyperModel((8, 8, 1), num_scales=2, mode="eager")
    gan = hypermodel.build(make_space(**drawn, **rates, beta_1=0.5))
    preset, (penalty,) = gan.preset, gan.penalties
    assert (preset.generator_filters, preset.discriminator_filters) == (2, 4)
    assert (gan.latent_dim, penalty.gamma) == (3, 0.5)
    assert (gan.image_shape, gan.num_scales, gan.mode) == ((8, 8, 1), 2, "eager")
    for network in ("generator", "discriminator"):
        optimizer = getattr(gan, f"{network}_optimizer")
        assert float(optimizer.learning_rate) == pytest.approx(rates[f"{network}_learning_rate"])
        assert optimizer.beta_1 == 0.5
