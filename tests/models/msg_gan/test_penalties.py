"""Tests of the penalties on the discriminator's gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes.models.msg_gan import penalties

SMALL = tf.constant([1.0, 2.0], shape=(2, 1, 1, 1))
LARGE = tf.constant([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, 1.0]])
REAL = [SMALL, tf.reshape(LARGE, (2, 2, 2, 1))]
FAKE = [3 * SMALL, tf.reshape(1 - LARGE, (2, 2, 2, 1))]
ALPHA = tf.constant([0.25, 0.75], shape=(2, 1, 1, 1))


def squared(images):
    """A logit with the gradient 2x at every pixel x."""
    return sum(tf.reduce_sum(image**2, axis=(1, 2)) for image in images)


def squares(images):
    """Returns the squared norms of the gradients of `squared`, `[batch, scales]`."""
    return np.stack([np.sum(4 * image.numpy() ** 2, axis=(1, 2, 3)) for image in images], axis=1)


def test_r1_by_hand():
    values = penalties.R1(gamma=3.0)(squared, REAL, FAKE, ALPHA)
    # Example 1: |gradient|^2 is 4 at the small scale, 4 * 30 at the large one.
    np.testing.assert_allclose(values, 3.0 / 2 * squares(REAL).mean(axis=1), rtol=1e-6)
    assert values[0].numpy() == pytest.approx(1.5 * (4 + 120) / 2)


def test_r2_is_taken_at_the_fakes():
    values = penalties.R2(gamma=0.5)(squared, REAL, FAKE, ALPHA)
    np.testing.assert_allclose(values, 0.25 * squares(FAKE).mean(axis=1), rtol=1e-6)


def test_the_gradient_penalty_is_taken_between_both():
    between = [ALPHA * real + (1 - ALPHA) * fake for real, fake in zip(REAL, FAKE, strict=True)]
    expected = 10 * np.mean((np.sqrt(squares(between)) - 1) ** 2, axis=1)
    values = penalties.GradientPenalty()(squared, REAL, FAKE, ALPHA)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("cls", penalties.PENALTIES.values())
def test_the_gradient_of_a_penalty_equals_differences(cls):
    real, fake = ([tf.cast(one, tf.float64) for one in images] for images in (REAL, FAKE))

    def penalty(weight):
        def discriminator(images):
            return sum(tf.reduce_sum(tf.sin(weight * image), axis=(1, 2)) for image in images)

        return cls(gamma=2.0)(discriminator, real, fake, tf.cast(ALPHA, tf.float64))

    weight = tf.constant(0.7, tf.float64)
    analytic, numeric = tf.test.compute_gradient(penalty, [weight], delta=1e-5)
    np.testing.assert_allclose(analytic[0], numeric[0], rtol=1e-5)


def test_a_gradient_of_zero_has_a_finite_penalty_and_slope():
    weight = tf.Variable(0.0)

    def discriminator(images):
        return sum(tf.reduce_sum(weight * image, axis=(1, 2)) for image in images)

    with tf.GradientTape() as tape:
        values = penalties.GradientPenalty(10.0)(discriminator, REAL, FAKE, ALPHA)
    np.testing.assert_allclose(values, [10, 10], rtol=1e-5)
    assert np.isfinite(tape.gradient(values, weight))


def run_steps(penalty, num_steps, run=lambda function: function):
    """Returns by how much a weight moves in each step of SGD, with gradients of one."""
    weight = keras.Variable(1.0)
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build([weight])

    def discriminator(images):
        return sum(tf.reduce_sum(weight * image, axis=(1, 2)) for image in images)

    @run
    def gradient():
        images = (REAL, FAKE, ALPHA)
        return penalties.add_penalty_gradients(
            [penalty], [tf.ones(())], discriminator, images, [weight], optimizer
        )

    found = []
    for _ in range(num_steps):
        found.append(float(gradient()[0]))
        optimizer.apply([tf.zeros(())], [weight])
    return found


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_a_lazy_penalty_is_added_in_one_step_of_so_many_times_so_many(jit_compile):
    if jit_compile is None:
        run = {}
    else:
        run = {"run": lambda function: tf.function(function, jit_compile=jit_compile)}
    (always,) = run_steps(penalties.R1(1.0), 1)
    found = run_steps(penalties.R1(1.0, every=3), 5, **run)
    assert always > 1
    assert found == pytest.approx([1 + 3 * (always - 1), 1, 1, 1 + 3 * (always - 1), 1])


HALVING = keras.optimizers.schedules.ExponentialDecay(8.0, decay_steps=1, decay_rate=0.5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_weight_may_follow_the_steps(jit_compile):
    (always,) = run_steps(penalties.R1(1.0), 1)
    found = run_steps(
        penalties.R1(HALVING, every=2),
        5,
        lambda function: tf.function(function, jit_compile=jit_compile),
    )
    expected = [1 + 2 * gamma * (always - 1) for gamma in (8, 0, 2, 0, 0.5)]
    assert found == pytest.approx(expected)


def test_what_the_penalty_does_not_depend_on_keeps_its_gradient():
    weight, bias = keras.Variable(2.0), keras.Variable(1.0)
    optimizer = keras.optimizers.SGD(1.0)

    def discriminator(images):
        return sum(tf.reduce_sum(weight * image, axis=(1, 2)) for image in images) + bias

    gradients = [tf.constant(1.0), tf.constant(5.0)]
    images = (REAL, FAKE, ALPHA)
    _, found = penalties.add_penalty_gradients(
        [penalties.R1(1.0)], gradients, discriminator, images, [weight, bias], optimizer
    )
    assert float(found) == 5.0


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (None, []),
        ([], []),
        ("r1", [penalties.R1]),
        (penalties.R2(2.0), [penalties.R2]),
        (["r1", penalties.R2(2.0)], [penalties.R1, penalties.R2]),
        ("gradient_penalty", [penalties.GradientPenalty]),
    ],
)
def test_one_or_several_may_be_given(given, kinds):
    assert [type(penalty) for penalty in penalties.get(given)] == kinds


@pytest.mark.parametrize("given", ["r3", [1.0], penalties.R1])
def test_what_is_no_penalty_is_refused(given):
    with pytest.raises(ValueError, match="`penalties` must be 'r1', 'r2', 'gradient_penalty'"):
        penalties.get(given)


@pytest.mark.parametrize("gamma", [0, -1.0, "1", True, float("nan")])
def test_the_weight_must_be_positive(gamma):
    with pytest.raises(
        ValueError, match="`gamma` must be a positive number, or a schedule.*Received: "
    ):
        penalties.R1(gamma)


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_the_interval_must_be_a_positive_integer(every):
    with pytest.raises(ValueError, match="`every` must be a positive integer. Received: every="):
        penalties.R1(1.0, every)


@pytest.mark.parametrize("cls", penalties.PENALTIES.values())
def test_a_penalty_is_saved(cls):
    config = keras.saving.serialize_keras_object(cls(0.5, every=2))
    again = keras.saving.deserialize_keras_object(config)
    assert (type(again), again.gamma, again.every) == (cls, 0.5, 2)


def test_a_schedule_is_saved_with_its_penalty():
    config = keras.saving.serialize_keras_object(penalties.GradientPenalty(HALVING))
    again = keras.saving.deserialize_keras_object(config)
    assert again.gamma.get_config() == HALVING.get_config()


def test_a_penalty_that_returns_another_shape_is_named():
    class OneImage(penalties.R1):
        def images(self, real_images, fake_images, alpha):
            return real_images[0]

    class Scalar(penalties.R1):
        def penalize_scales(self, squares):
            return tf.reduce_sum(squares)

    class Nothing(penalties.R1):
        def images(self, real_images, fake_images, alpha):
            pass

    class Mean(penalties.R1):
        def penalize_scales(self, squares):
            return tf.reduce_mean(squares, axis=0, keepdims=True)

    def discriminator(images):
        return tf.reduce_sum(images[0], axis=(1, 2))

    with pytest.raises(ValueError, match="`images` of OneImage must return a list"):
        OneImage()(discriminator, REAL, FAKE, ALPHA)
    with pytest.raises(ValueError, match="`penalize_scales` of Scalar must return .* shape=()"):
        Scalar()(discriminator, REAL[:1], FAKE[:1], ALPHA)
    with pytest.raises(ValueError, match="`images` of Nothing must return .* Received: a NoneType"):
        Nothing()(discriminator, REAL, FAKE, ALPHA)
    with pytest.raises(ValueError, match=r"`penalize_scales` of Mean must .* shape=\(1, 1\)"):
        Mean()(discriminator, REAL[:1], FAKE[:1], ALPHA)
