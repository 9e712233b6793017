"""Tests of the presets: what is in each, and that it is kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.models.msg_gan import losses, penalties, presets


def test_the_default():
    preset = presets.get("default")
    (penalty,) = preset.penalties()
    assert (type(penalty), penalty.every) == (penalties.R1, 4)
    assert [float(penalty.gamma(step)) for step in (0, 10_000, 30_000)] == [3.0, 1.5, 0.75]
    assert type(preset.loss()) is losses.NonSaturating
    optimizer = preset.optimizer()
    assert (optimizer.beta_1, optimizer.beta_2) == (0.0, 0.99)
    assert optimizer.learning_rate.numpy() == pytest.approx(2e-3)
    optimizer.iterations.assign(7_500)
    assert optimizer.learning_rate.numpy() == pytest.approx(5e-4)
    assert preset.half_life == 20_000


def test_the_tutorials_has_no_penalty_and_no_average():
    preset = presets.get("tutorial")
    assert preset.penalties() == []
    assert preset.half_life is None
    assert type(preset.loss()) is losses.NonSaturating
    assert preset.latent_dim == 100


def test_the_papers():
    preset = presets.get("paper")
    (penalty,) = preset.penalties()
    assert (type(penalty), penalty.gamma, penalty.every) == (penalties.GradientPenalty, 10.0, 1)
    assert type(preset.loss()) is losses.Wasserstein
    optimizer = preset.optimizer()
    assert isinstance(optimizer, keras.optimizers.RMSprop)
    assert optimizer.learning_rate.numpy() == pytest.approx(0.003)


class OfMyOwn(presets.Default):
    """Its discriminator may look at all images of a batch; it does not say so."""

    def make_discriminator(self, image_shape, num_scales, num_classes, seed):
        return super().make_discriminator(image_shape, num_scales, num_classes, seed)


class Alone(OfMyOwn):
    has_per_example_logits = True


def test_a_discriminator_of_ones_own_is_not_said_to_judge_each_image_alone():
    names = ("Default", "Tutorial", "Paper")
    assert [getattr(presets, name).has_per_example_logits for name in names] == [True, True, False]
    assert (OfMyOwn.has_per_example_logits, Alone.has_per_example_logits) == (False, True)


@pytest.mark.slow
def test_a_file_keeps_the_training_that_its_preset_had(tmp_path, monkeypatch):
    gan = km.MSGGAN((4, 4, 1), 1, 3, preset=presets.Default(8, 8), seed=0)
    gan.compile(discriminator_optimizer="sgd", mode="eager")
    gan.save(tmp_path / "gan.keras")
    monkeypatch.setattr(presets.Default, "optimizer", lambda self: keras.optimizers.SGD(1.0))
    monkeypatch.setattr(presets.Default, "penalties", lambda self: [])
    monkeypatch.setattr(presets.Default, "loss", lambda self: losses.Hinge())
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert isinstance(loaded.generator_optimizer, keras.optimizers.Adam)
    assert isinstance(loaded.discriminator_optimizer, keras.optimizers.SGD)
    assert type(loaded.adversarial_loss) is losses.NonSaturating
    (penalty,) = loaded.penalties
    assert (type(penalty), penalty.every, float(penalty.gamma(10_000))) == (penalties.R1, 4, 1.5)


def test_pyramids_are_means_or_bilinear():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 12, 3)).astype("float32")
    mean = images.reshape(2, 2, 4, 3, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(presets.Default().shrink(images, (2, 3)), mean, atol=1e-6)
    bilinear = presets.Tutorial().shrink(images, (2, 3))
    np.testing.assert_array_equal(bilinear, tf.image.resize(images, (2, 3)))
    assert np.abs(bilinear - mean).max() > 0.1


@pytest.mark.parametrize(
    "preset",
    [
        presets.Default(8, 4, half_life=100),
        presets.Default(half_life=None),
        presets.Tutorial(8, 4, 0.1),
        presets.Paper(8, 4, "cat_lin", 7.5),
    ],
)
def test_a_preset_is_saved(preset):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(preset))
    assert type(again) is type(preset)
    assert vars(again) == vars(preset)


@pytest.mark.parametrize("preset", ["tutorials", None, 3, presets.Default])
def test_an_unknown_preset_names_those_there_are(preset):
    with pytest.raises(ValueError, match="must be one of 'default', 'tutorial', 'paper', or a"):
        km.MSGGAN(preset=preset)


@pytest.mark.parametrize("name", ["generator_filters", "discriminator_filters"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", None])
@pytest.mark.parametrize("cls", presets.PRESETS.values())
def test_widths_must_be_positive_integers(cls, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}="):
        cls(**{name: value})


@pytest.mark.parametrize("half_life", [0, -1, True, "1"])
def test_half_lives_must_be_positive(half_life):
    with pytest.raises(ValueError, match="`half_life` must be a positive number of images, or N"):
        presets.Default(half_life=half_life)


def test_combinations_are_named():
    with pytest.raises(ValueError, match="one of 'simple', 'lin_cat', 'cat_lin'. Received: comb"):
        presets.Paper(combination="cat")


def test_settings_of_a_preset_are_refused_by_the_model_with_their_place():
    with pytest.raises(
        ValueError, match=r"`half_life` must .* Use preset=km.presets.Paper\(half_life=9\)."
    ):
        km.MSGGAN(preset="paper", half_life=9)
