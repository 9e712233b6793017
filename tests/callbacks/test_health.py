"""Tests of `HealthCheck`: which warnings there are, and when there are none."""

import warnings

import keras
import numpy as np
import pytest

import kerasmodes as km
from kerasmodes.callbacks import health

IMAGES = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 1)).astype("float32")
WON = {"real_accuracy": 0.99, "fake_accuracy": 1.0}


class Sampler(keras.Model):
    """Generates the same images, as far apart as it is told."""

    image_shape = (8, 8, 1)

    def __init__(self, spread=1.0, loss=None):
        super().__init__()
        self.spread = spread
        self.adversarial_loss = loss

    def generate(self, num_images, seed=None):
        return [self.spread * IMAGES[:num_images]]


def messages(logs, model=None, **arguments):
    """Returns the warnings of epochs with these logs."""
    callback = km.callbacks.HealthCheck(**arguments)
    callback.set_model(model or Sampler(loss=km.losses.NonSaturating()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callback.on_train_begin()
        for epoch, own in enumerate(logs):
            callback.on_epoch_end(epoch, own)
    assert all(warning.category is UserWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def test_numbers_that_are_not_finite_are_named_at_once_and_once():
    logs = {"g_loss": float("nan"), "d_loss": 1.0, "val_g_loss": float("inf")}
    (message,) = messages([{"g_loss": 1.0}, logs, logs])
    assert message.startswith("Epoch 2: g_loss, val_g_loss not finite.")


def test_a_discriminator_that_wins_for_some_epochs_is_warned_of_once():
    (message,) = messages([WON] * 5, patience=2)
    assert message.startswith("Epoch 2: the discriminator has won")


def test_a_problem_that_comes_back_is_not_told_again():
    assert len(messages([WON, WON, {}, WON, WON], patience=2)) == 1


@pytest.mark.parametrize("name", WON)
def test_the_discriminator_has_won_only_if_it_knows_both(name):
    assert messages([{**WON, name: 0.97}] * 5) == []


def test_epochs_count_in_a_row_only():
    assert messages([WON, WON, {**WON, "fake_accuracy": 0.5}] * 2, patience=3) == []


def test_where_the_sign_of_a_logit_means_nothing_nobody_wins():
    assert messages([WON] * 5, Sampler(loss=km.losses.Wasserstein())) == []


@pytest.mark.parametrize(("spread", "expected"), [(1.0, 0), (0.55, 0), (0.45, 1), (0.0, 1)])
def test_samples_that_are_alike_are_warned_of(spread, expected):
    found = messages([{}] * 4, Sampler(spread), images=IMAGES, num_images=40)
    assert len(found) == expected
    assert all(one.startswith("Epoch 3: the generated images are alike") for one in found)


class ClassSampler(Sampler):
    """Generates images of classes: in each class the same ones, apart as it is told."""

    num_classes = 5

    def generate(self, num_images, seed=None, labels=None):
        means = IMAGES[np.asarray(labels)]
        return [np.clip(means + self.spread * IMAGES[10 : 10 + num_images], -1, 1)]


@pytest.mark.parametrize(("spread", "expected"), [(1.0, 0), (0.5, 0), (0.1, 1), (0.0, 1)])
def test_samples_of_one_class_that_are_alike_are_warned_of(spread, expected):
    found = messages([{}] * 4, ClassSampler(spread), images=IMAGES, num_images=20)
    assert len(found) == expected
    assert all("the generated images of one class are alike" in one for one in found)


@pytest.mark.slow
def test_a_healthy_start_of_the_gan_is_silent_in_fit():
    gan = km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Default(2, 2), seed=0)
    gan.compile(keras.optimizers.SGD(), keras.optimizers.SGD(), mode="eager")
    callback = km.callbacks.HealthCheck(IMAGES, num_images=8)
    gan.fit(IMAGES[:20], batch_size=20, epochs=1, verbose=0, callbacks=[callback])


@pytest.mark.slow
def test_a_warning_as_an_error_stops_the_fit():
    model = km.SumRegressor(())
    model.compile(keras.optimizers.SGD(np.inf), mode="eager")
    callback = km.callbacks.HealthCheck()
    with pytest.raises(UserWarning, match="not finite"):
        model.fit(*km.data.sums(8), batch_size=4, epochs=9, verbose=0, callbacks=[callback])


def test_the_mean_distance_is_over_different_images():
    assert health.mean_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2)


def test_the_mean_distance_may_be_within_classes():
    images = np.array([[0.0], [9.0], [1.0], [12.0]])
    assert health.mean_distance(images, np.array([0, 1, 0, 1])) == pytest.approx(2)


def test_equal_real_images_are_refused():
    with pytest.raises(ValueError, match="must hold at least two that differ. Received: 4 equal"):
        messages([], images=np.zeros((4, 8, 8, 1), "float32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": 0}, "`patience` must be a positive integer"),
        ({"num_images": 1}, "`num_images` must be at least 2. Received: num_images=1"),
        ({"seed": None}, "`seed` must be a non-negative integer"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        km.callbacks.HealthCheck(**arguments)
