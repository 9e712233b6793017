"""Tests of `km.MSGGAN`'s gradients: against the losses written out, and in mixed precision."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km

IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, 4, 4, 1)).astype("float32")


class Recorder(keras.optimizers.SGD):
    """Keeps the gradients and changes nothing."""

    def apply(self, grads, trainable_variables=None):
        self.gradients = [gradient.numpy() for gradient in grads]


def plain_gradients(gan, latents):
    """Returns the gradients of both losses from two passes forward and two tapes back."""
    with tf.GradientTape(persistent=True) as tape:
        fakes = gan.generator(latents, training=True)
        real = gan.discriminator(
            [tf.image.resize(IMAGES, (2, 2)), tf.constant(IMAGES)], training=True
        )
        fake = gan.discriminator(fakes, training=True)
        g_loss = tf.reduce_mean(tf.math.softplus(-fake))
        d_loss = tf.reduce_mean(tf.math.softplus(-real)) + tf.reduce_mean(tf.math.softplus(fake))
    return [
        [gradient.numpy() for gradient in tape.gradient(loss, network.trainable_variables)]
        for loss, network in ((g_loss, gan.generator), (d_loss, gan.discriminator))
    ]


PLAIN, SCALED = (None, None), (2.0**15, 2.0**10)
SWEEP = pytest.mark.sweep
CASES = [
    *((logit, PLAIN) for logit in (0.0, -1e4)),
    (-300.0, SCALED),
    *(pytest.param(logit, PLAIN, marks=SWEEP) for logit in (5.0, -5.0, 30.0, -30.0, 300.0, -300.0)),
    *(pytest.param(logit, SCALED, marks=SWEEP) for logit in (0.0, 30.0)),
]


@functools.cache
def make_gan():
    """Returns one model, and the state of its seed before it has drawn."""
    gan = km.MSGGAN((4, 4, 1), 2, 3, preset=km.presets.Tutorial(2, 2, 0.0), seed=1)
    return gan, gan.seed_generator.state.numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("logit", "factors"), CASES)
def test_one_pass_back_gives_the_gradients_of_both_losses(logit, factors):
    gan, state = make_gan()
    gan.seed_generator.state.assign(state)
    gan.discriminator.get_layer("logit").bias.assign([logit])
    recorders = [Recorder(loss_scale_factor=factor) for factor in factors]
    gan.compile(*recorders, mode="eager")
    latents = km.random.normal((6, 3), seed=km.random.SeedGenerator(1))
    expected = plain_gradients(gan, latents)
    gan.train_step(tf.constant(IMAGES))
    for recorder, factor, plain in zip(recorders, factors, expected, strict=True):
        largest = max(np.abs(gradient).max() for gradient in plain)
        assert np.isfinite(largest)
        for gradient, other in zip(recorder.gradients, plain, strict=True):
            unscaled = gradient / (factor or 1)
            np.testing.assert_allclose(unscaled, other, rtol=1e-5, atol=1e-5 * largest + 1e-15)


# Half the size and TensorFlow's bfloat16 filter gradient of a 1x1 image has numbers never set.
LARGER_IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, 8, 8, 1)).astype("float32")


PRESETS = {
    "tutorial": km.presets.Tutorial(2, 2, 0.3),
    "default": km.presets.Default(8, 8),
    "paper": km.presets.Paper(4, 4),
}


def make_mixed_gan(policy, preset="tutorial", num_scales=1):
    return km.MSGGAN((8, 8, 1), num_scales, 3, preset=PRESETS[preset], seed=1, dtype=policy)


# Each preset in each precision, in one of two tests; all but one are a sweep.
TRAINED = [
    ("mixed_bfloat16", "default"),
    pytest.param("mixed_float16", "paper", marks=SWEEP),
    pytest.param("mixed_float16", "tutorial", marks=SWEEP),
]
SAVED = [
    pytest.param("mixed_float16", "default", "eager", marks=SWEEP),
    pytest.param("mixed_float16", "default", "graph", marks=SWEEP),
    pytest.param("mixed_bfloat16", "tutorial", "graph", marks=SWEEP),
    pytest.param("mixed_bfloat16", "paper", "graph", marks=SWEEP),
]


@pytest.mark.slow
def test_the_dtype_may_also_be_that_of_the_program():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        gan = km.MSGGAN((8, 8, 1), 2, 3, preset=PRESETS["tutorial"])
    finally:
        keras.config.set_dtype_policy("float32")
    assert {gan.generator.compute_dtype, gan.discriminator.compute_dtype} == {"bfloat16"}


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "preset"), TRAINED)
def test_it_trains_in_mixed_precision(policy, preset):
    gan = make_mixed_gan(policy, preset, num_scales=2)
    gan.compile("sgd", "sgd", mode="eager")
    before = gan.get_weights()
    # Two: the first step may be skipped, until the scale of float16 losses is small enough.
    logs = gan.fit(LARGER_IMAGES, batch_size=6, epochs=2, verbose=0).history
    assert np.all(np.isfinite(list(logs.values())))
    assert all(np.all(np.isfinite(weight)) for weight in gan.get_weights())
    assert gan.generate(1)[-1].dtype == np.float32
    kernels = [place for place, weight in enumerate(before) if weight.ndim == 4]
    assert all(np.any(gan.get_weights()[place] != before[place]) for place in kernels)


@pytest.mark.slow
def test_float16_scales_each_loss_by_a_factor_of_its_own():
    gan = make_mixed_gan("mixed_float16")
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)
    gan.compile("sgd", own, mode="eager")
    assert isinstance(gan.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    assert gan.discriminator_optimizer is own
    gan.fit(LARGER_IMAGES[:2], verbose=0)
    assert [o.iterations.numpy() for o in (gan.generator_optimizer, own)] == [1, 1]
    assert own.dynamic_scale.numpy() == 8.0


def fit_mixed_gan(preset, mode):
    """Returns the losses of three steps in float16."""
    set_seed(0)
    gan = make_mixed_gan("mixed_float16", preset)
    gan.compile("sgd", "sgd", mode=mode)
    history = gan.fit(LARGER_IMAGES, batch_size=2, shuffle=False, verbose=0).history
    return [history[name] for name in ("g_loss", "d_loss")]


@functools.cache
def find_expected_losses(preset):
    return fit_mixed_gan(preset, "eager")


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("preset", ["tutorial", "default"])
def test_mixed_precision_may_be_fused(preset):
    found = fit_mixed_gan(preset, "fused")
    np.testing.assert_allclose(found, find_expected_losses(preset), rtol=0.02)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("preset", ["tutorial", "default"])
def test_mixed_precision_on_replicas_is_that_of_one_device(preset, two_replicas):
    with two_replicas.scope():
        found = fit_mixed_gan(preset, "graph")
    np.testing.assert_allclose(found, find_expected_losses(preset), rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "preset", "mode"), SAVED)
def test_a_file_in_mixed_precision_goes_on_as_if_it_had_never_been_one(
    tmp_path, policy, preset, mode
):
    gan = make_mixed_gan(policy, preset)
    optimizers = [keras.optimizers.SGD(0.01, momentum=0.9) for _ in range(2)]
    gan.compile(*optimizers, penalties=None, mode=mode)
    fit = {"batch_size": 3, "shuffle": False, "verbose": 0}
    logs = gan.fit(LARGER_IMAGES, **fit).history
    assert np.all(np.isfinite([*logs.values()]))
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert keras.config.dtype_policy().name == "float32"
    assert loaded.generator.compute_dtype == gan.generator.compute_dtype != "float32"
    assert type(loaded.generator_optimizer) is type(gan.generator_optimizer)
    assert loaded.fit(LARGER_IMAGES, **fit).history == gan.fit(LARGER_IMAGES, **fit).history
