"""Tests of `MSGGANHyperModel`: its space, the model made of a draw, and the best model's file."""

import keras
import keras_tuner
import pytest
from tiny_searches import (
    G_LOSS,
    list_statuses,
    make_images,
    make_space,
    make_tuner,
)

import kerasmodes as km


class Metrics(km.callbacks.GenerationMetrics):
    prepared = 0

    def make_evaluator(self):
        Metrics.prepared += 1
        return super().make_evaluator()


def search_gans(directory, tuner, metrics=km.callbacks.GenerationMetrics, **arguments):
    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    evaluate = metrics(make_images(), network=network, metrics=("frechet",), num_images=4)
    return km.tuning.search(
        km.tuning.MSGGANHyperModel(
            (4, 4, 1),
            num_scales=1,
            mode="eager",
            filters=(2, 3),
            latent_dims=(2,),
            half_lives=None,  # An average is a third network to build.
            losses=("hinge", "least_squares"),
            penalties=("r1", "none"),
            batch_sizes=(4,),
        ),
        tuner,
        seed=1,
        directory=directory,
        x=make_images(4),
        callbacks=[evaluate],
        verbose=0,
        **arguments,
    )


@pytest.fixture(scope="module")
def random_search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gan")
    return search_gans(folder, "random", Metrics, max_trials=2, epochs=1)


# `test_tuners.py` promotes a small model with two optimizers.
@pytest.mark.sweep
@pytest.mark.slow
def test_hyperband_promotes_a_gan(tmp_path):
    search = search_gans(tmp_path, "hyperband", max_trials=4, epochs=3)
    assert list_statuses(search) == ["COMPLETED"] * 4
    promoted = search.oracle.trials["3"]
    assert promoted.hyperparameters["tuner/trial_id"] in ("0", "1", "2")


@pytest.mark.slow
def test_the_saved_gan_has_both_optimizers(random_search, tmp_path):
    km.tuning.save_best_model(random_search, tmp_path / "best.keras")
    gan = keras.models.load_model(tmp_path / "best.keras")
    steps = int(gan.generator_optimizer.iterations)
    assert steps == int(gan.discriminator_optimizer.iterations) > 0


@pytest.mark.slow
def test_the_space_is_known_before_the_first_trial(tmp_path):
    space = make_space(generator_filters=2, discriminator_filters=2)
    hypermodel = km.tuning.MSGGANHyperModel((4, 4, 1), num_scales=1)
    tuner = make_tuner(keras_tuner.RandomSearch, hypermodel, tmp_path, space, G_LOSS)
    names = {hp.name for hp in tuner.oracle.get_space().space}
    assert "batch_size" in names
    tuner.hypermodel.build(tuner.oracle.get_space())
    assert {hp.name for hp in tuner.oracle.get_space().space} == names


def describe_training(gan):
    """Returns what decides how a GAN trains, beside its networks."""
    optimizers = gan.generator_optimizer, gan.discriminator_optimizer
    (penalty,) = gan.penalties
    return {
        "optimizers": [{**one.get_config(), "name": None} for one in optimizers],
        "penalty": keras.saving.serialize_keras_object(penalty),
        "preset": gan.preset.get_config(),
        "latent_dim": gan.latent_dim,
    }


@pytest.mark.slow
def test_the_defaults_of_the_space_are_the_preset():
    hp = keras_tuner.HyperParameters()
    found = km.tuning.MSGGANHyperModel((4, 4, 1), 1).build(hp)
    expected = km.MSGGAN((4, 4, 1), 1)
    expected.compile()
    assert describe_training(found) == describe_training(expected)
    assert len(hp.space) == 11
    for one in hp.space:
        values = getattr(one, "values", None) or (one.min_value, one.max_value)
        # It is in the middle, not at an edge; no beta is below 0.
        assert one.name == "beta_1" or min(values) < one.default < max(values)


@pytest.mark.slow
def test_the_gan_is_built_as_drawn_and_saved(tmp_path):
    drawn = {"latent_dim": 3, "generator_filters": 2, "discriminator_filters": 4, "gamma": 0.5}
    rates = {"generator_learning_rate": 0.002, "discriminator_learning_rate": 0.003}
    falls = {"learning_rate_decay_steps": 700, "gamma_decay_steps": 900}
    hypermodel = km.tuning.MSGGANHyperModel((8, 8, 1), num_scales=2, mode="eager")
    averaged = {"half_life": 5_000, "beta_1": 0.5, "beta_2": 0.9}
    gan = hypermodel.build(make_space(**drawn, **rates, **falls, **averaged))
    preset, (penalty,) = gan.preset, gan.penalties
    assert (preset.generator_filters, preset.discriminator_filters) == (2, 4)
    assert (gan.latent_dim, preset.half_life) == (3, 5_000)
    assert (gan.image_shape, gan.num_scales, gan.mode) == ((8, 8, 1), 2, "eager")
    assert float(penalty.gamma(900)) == pytest.approx(0.25)
    for network in ("generator", "discriminator"):
        optimizer, rate = getattr(gan, f"{network}_optimizer"), rates[f"{network}_learning_rate"]
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        optimizer.iterations.assign(700)
        assert float(optimizer.learning_rate) == pytest.approx(rate / 2)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.9)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert describe_training(loaded) == describe_training(gan)


@pytest.mark.slow
def test_what_is_fixed_makes_no_hyperparameter_and_rates_without_a_fall_are_constant():
    hypermodel = km.tuning.MSGGANHyperModel(
        (4, 4, 1),
        1,
        "eager",
        latent_dims=3,
        filters=[2],
        half_lives=None,
        losses="hinge",
        gamma=2,
        gamma_decay_steps=None,
        learning_rate=[1e-2],
        learning_rate_decay_steps=None,
        beta_1=(0, 0.5),
        beta_2=0.9,
    )
    hp = keras_tuner.HyperParameters()
    gan = hypermodel.build(hp)
    assert hp.values == {"beta_1": 0}
    assert (gan.latent_dim, gan.preset.half_life, gan.penalties[0].gamma) == (3, None, 2)
    assert isinstance(gan.adversarial_loss, km.losses.Hinge)
    config = gan.discriminator_optimizer.get_config()
    assert [config[name] for name in ("beta_1", "beta_2")] == [0, 0.9]
    assert config["learning_rate"] == pytest.approx(1e-2)


@pytest.mark.slow
def test_a_search_minimizes_the_frechet_distance_and_prepares_the_real_images_once(random_search):
    oracle = random_search.oracle
    assert (oracle.objective.name, oracle.objective.direction) == ("val_frechet", "min")
    assert Metrics.prepared == 1
    drawn = [trial.hyperparameters.values for trial in oracle.trials.values()]
    assert {one["penalty"] for one in drawn} == {"r1", "none"}
    assert all(("gamma" in one) == (one["penalty"] == "r1") for one in drawn)


# `test_tuners.py` has an objective that nobody logs.
@pytest.mark.sweep
@pytest.mark.slow
def test_a_search_without_metrics_names_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="`objective` must be one of .*objective='val_frechet'"):
        km.tuning.search(
            km.tuning.MSGGANHyperModel((4, 4, 1), 1, "eager", filters=(2,), batch_sizes=(4,)),
            directory=tmp_path,
            x=make_images(4),
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("losses", ("hinges",)), ("penalties", ("r3",)), ("gamma", (2, 1))),
        *(("learning_rate", (0, 1)), ("beta_1", (1,)), ("beta_1", ()), ("filters", (2, "x"))),
        *(("latent_dims", ()), ("num_scales", (0, 1)), ("batch_sizes", (4, "x"))),
        *(("losses", ()), ("half_lives", (0,)), ("half_lives", ()), ("beta_2", (0.9, 1))),
        *(("gamma_decay_steps", (1, 2, 3)), ("learning_rate_decay_steps", (0.5, 2))),
    ],
)
def test_an_impossible_range_or_choice_is_named(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
        km.tuning.MSGGANHyperModel(**{name: value})
