"""Tests of `km.MSGGAN`: what it takes, what one step does, what it generates."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from seeds import set_seed

import kerasmodes as km
from kerasmodes.models.msg_gan.networks import multi_scale

IMAGES = np.random.default_rng(0).uniform(-1, 1, (6, 4, 4, 1)).astype("float32")


def make_gan(image_shape=(4, 4, 1), num_scales=2, dropout=0.3, seed=1):
    preset = km.presets.Tutorial(2, 2, dropout)
    return km.MSGGAN(image_shape, num_scales, 3, preset=preset, seed=seed)


@functools.cache
def shared_gan(num_scales=2):
    """One model for all tests that train no model; what it was compiled for does not matter."""
    return make_gan(num_scales=num_scales)


@pytest.fixture(scope="module")
def fitted():
    """A model after a step and an evaluation, and the history of both."""
    gan = make_gan(num_scales=1)
    gan.compile("sgd", "sgd", mode="eager")
    return gan, gan.fit(IMAGES, validation_data=(IMAGES,), verbose=0).history


@pytest.fixture(scope="module")
def tutorials():
    """The tutorial's model at its full size."""
    return km.MSGGAN.from_preset("tutorial")


def test_the_tutorials_parameter_counts(tutorials):
    assert tutorials.generator.count_params() == 4_197_763
    assert tutorials.discriminator.count_params() == 988_865
    assert tutorials.count_params() == 4_197_763 + 988_865


def test_images_come_smallest_first(tutorials):
    images = tutorials(tf.zeros((2, 100)))
    assert [image.shape for image in images] == [(2, 7, 7, 1), (2, 14, 14, 1), (2, 28, 28, 1)]
    assert all(np.abs(image).max() <= 1 for image in images)


@pytest.mark.slow
def test_defaults_are_the_tutorials(tutorials):
    assert tutorials.image_shape == (28, 28, 1)
    assert (tutorials.num_scales, tutorials.latent_dim) == (3, 100)
    assert tutorials.preset.dropout == 0.3
    tutorials.compile()
    for optimizer in (tutorials.generator_optimizer, tutorials.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.Adam)
        assert optimizer.learning_rate.numpy() == pytest.approx(1e-3)
    assert tutorials.mode == "graph"


@pytest.mark.slow
def test_the_pyramid_is_bilinear():
    image = np.zeros((1, 4, 4, 1), "float32")
    image[0, 0, 0, 0] = 16
    image[0, 1, 2, 0] = 8
    pyramid = shared_gan(num_scales=3).pyramid(image)
    # Halved: the mean of each 2x2 block. Quartered: the mean of the middle 2x2 block, not of all.
    np.testing.assert_array_equal(pyramid[1][0, :, :, 0], [[4, 2], [0, 0]])
    np.testing.assert_array_equal(pyramid[0][0, :, :, 0], [[2]])
    np.testing.assert_array_equal(pyramid[2], image)


def test_the_pyramid_of_a_ramp():
    ramp = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    smallest, middle, _ = shared_gan(num_scales=3).pyramid(ramp)
    np.testing.assert_array_equal(middle[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(smallest[0, :, :, 0], [[7.5]])


@pytest.mark.slow
def test_one_step_is_the_tutorials():
    """Both gradients from one forward pass of one draw of latents, then both updates."""
    gan, copy = make_gan(dropout=0.0), make_gan(dropout=0.0)
    copy.set_weights(gan.get_weights())
    gan.compile(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25), mode="eager")
    logs = gan.train_on_batch(IMAGES, return_dict=True)

    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    latents = km.random.normal((6, 3), seed=km.random.SeedGenerator(1))
    with tf.GradientTape(persistent=True) as tape:
        fakes = copy.generator(latents, training=True)
        reals = [tf.image.resize(IMAGES, (2, 2)), tf.constant(IMAGES)]
        real = copy.discriminator(reals, training=True)
        fake = copy.discriminator(fakes, training=True)
        d_loss = entropy(tf.ones((6, 1)), real) + entropy(tf.zeros((6, 1)), fake)
        g_loss = entropy(tf.ones((6, 1)), fake)
    assert logs["g_loss"] == pytest.approx(g_loss.numpy(), rel=1e-5)
    assert logs["d_loss"] == pytest.approx(d_loss.numpy(), rel=1e-5)
    assert logs["real_accuracy"] == pytest.approx(np.mean(real > 0))
    assert logs["fake_accuracy"] == pytest.approx(np.mean(fake < 0))
    for network, loss, rate in (("generator", g_loss, 0.5), ("discriminator", d_loss, 0.25)):
        variables = getattr(copy, network).trainable_variables
        gradients = tape.gradient(loss, variables)
        updated = getattr(gan, network).trainable_variables
        for old, gradient, new in zip(variables, gradients, updated, strict=True):
            np.testing.assert_allclose(new, old - rate * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_labels_are_ignored():
    gan = make_gan(num_scales=1, dropout=0.0)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0), mode="eager")
    state, losses = gan.seed_generator.state.numpy(), []
    for labels in ((), (np.arange(6),)):
        gan.seed_generator.state.assign(state)
        losses.append(gan.train_on_batch(IMAGES, *labels))
    assert losses[0] == losses[1]


def test_training_and_validation_log_the_same_names(fitted):
    _, logs = fitted
    names = {"g_loss", "d_loss", "real_accuracy", "fake_accuracy"}
    assert set(logs) == names | {f"val_{name}" for name in names}


@pytest.mark.slow
def test_validation_does_not_change_what_training_draws(fitted):
    gan, _ = fitted
    before = gan.seed_generator.state.numpy()
    first, second = (gan.evaluate(IMAGES, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(gan.seed_generator.state, before)
    assert first != second


def test_accuracies_count_right_answers(fitted):
    gan, _ = fitted
    gan.discriminator.get_layer("logit").bias.assign([100.0])  # everything looks real
    logs = gan.evaluate(IMAGES, verbose=0, return_dict=True)
    assert (logs["real_accuracy"], logs["fake_accuracy"]) == (1, 0)


@pytest.mark.slow
def test_generate_returns_arrays_of_every_scale():
    images = shared_gan().generate(5)
    assert all(type(scale) is np.ndarray for scale in images)
    assert [scale.shape for scale in images] == [(5, 2, 2, 1), (5, 4, 4, 1)]
    assert {scale.dtype for scale in images} == {np.dtype("float32")}
    assert all(np.abs(scale).max() <= 1 for scale in images)


@pytest.mark.slow
def test_generate_needs_no_compile_and_may_exceed_a_batch():
    num_images = multi_scale.GENERATE_BATCH_SIZE + 3
    _, images = make_gan().generate(num_images, seed=0)
    assert images.shape == (num_images, 4, 4, 1)
    assert len(np.unique(images[:, 0, 0, 0])) == num_images


@pytest.mark.slow
def test_a_single_scale_generates_a_list_too():
    (images,) = shared_gan(num_scales=1).generate(2)
    assert images.shape == (2, 4, 4, 1)


def test_generate_repeats_itself_for_a_seed_only():
    gan = shared_gan()
    same, again, other, new, newer = (
        gan.generate(3, seed=seed)[-1] for seed in (0, 0, 1, None, None)
    )
    np.testing.assert_array_equal(same, again)
    assert np.any(same != other)
    assert np.any(new != newer)


def test_generate_leaves_the_random_state_of_training_alone():
    gan = shared_gan()
    before = gan.seed_generator.state.numpy()
    gan.generate(3)
    gan.generate(3, seed=0)
    np.testing.assert_array_equal(gan.seed_generator.state, before)


@pytest.mark.parametrize("num_images", [0, -1, 1.5, True, "3"])
def test_generate_needs_a_positive_integer(num_images):
    with pytest.raises(ValueError, match="`num_images` must be a positive integer. Received: num_"):
        shared_gan().generate(num_images)


def test_seeds_and_numbers_may_be_those_of_numpy():
    gan = shared_gan()
    expected = gan.generate(3, seed=2**40 + 1)
    found = gan.generate(np.int64(3), seed=np.int64(2**40 + 1))
    np.testing.assert_array_equal(found[-1], expected[-1])
    with pytest.raises(ValueError, match="`seed` must be an integer or None. Received: seed=1.5"):
        gan.generate(3, seed=1.5)


@pytest.mark.parametrize("mode", ["eager", "graph", "fused"])
@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 4, 4, 1), "uint8"),
        np.zeros((2, 8, 8, 1), "float32"),
        np.zeros((2, 4, 4, 3), "float32"),
        np.zeros((2, 4, 4), "float32"),
    ],
    ids=["integers", "size", "channels", "rank"],
)
def test_wrong_images_are_refused(images, mode):
    gan = shared_gan()
    gan.compile("sgd", "sgd", mode=mode)
    words = (
        r"Images must be floats in \[-1, 1\] with shape \[batch, 4, 4, 1\], the model's "
        "`image_shape`. Received: images of dtype="
    )
    with pytest.raises(ValueError, match=words):
        gan.fit(images, verbose=0)


@pytest.mark.parametrize("name", ["num_scales", "latent_dim", "num_classes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_sizes_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received: {name}="):
        km.MSGGAN(**{name: value})


@pytest.mark.parametrize("image_shape", [(28, 28), (28, 28, 0), (28.0, 28, 1), (None, 28, 1), 28])
def test_the_image_shape_must_have_three_sizes(image_shape):
    with pytest.raises(ValueError, match=r"`image_shape` must be \(height, width, channels\)."):
        km.MSGGAN(image_shape)


def test_an_image_shape_that_does_not_halve_names_one_that_does():
    with pytest.raises(ValueError, match=r"divisible by 4 .* \(32, 28, 1\) works"):
        km.MSGGAN((30, 28, 1), num_scales=3)


@pytest.mark.parametrize("dropout", [1.0, -0.1, "0.3"])
def test_the_dropout_rate_is_checked(dropout):
    with pytest.raises(ValueError, match="`rate` must be a number"):
        make_gan(dropout=dropout)


def test_one_optimizer_cannot_serve_both_networks():
    adam = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="must be another object than `generator_optimizer`"):
        shared_gan().compile(adam, adam)


def test_optimizers_may_be_names():
    gan = shared_gan()
    gan.compile("sgd", "adam")
    assert isinstance(gan.generator_optimizer, keras.optimizers.SGD)
    assert isinstance(gan.discriminator_optimizer, keras.optimizers.Adam)


@pytest.mark.slow
@pytest.mark.sweep
def test_a_seed_fixes_latents_and_masks():
    def losses(seed):
        set_seed(0)
        gan = make_gan(num_scales=1, seed=seed)
        gan.compile("sgd", "sgd", mode="eager")
        return [gan.train_on_batch(IMAGES)[0] for _ in range(2)]

    first, again, other = losses(1), losses(1), losses(2)
    assert first == pytest.approx(again, rel=1e-6)
    assert first != other


@pytest.mark.parametrize(
    ("worst", "words"),
    [
        (255.0, r"Images must be in \[-1, 1\]. Received: values from"),
        (float("nan"), r"`x` must be finite. Received: x\[0, 0, 0, 0\]=nan"),
    ],
)
def test_images_out_of_range_are_refused(worst, words):
    gan = shared_gan()
    gan.compile("sgd", "sgd")
    images = np.zeros((4, 4, 4, 1), "float32")
    images[0, 0, 0] = worst
    with pytest.raises(ValueError, match=words):
        gan.fit(images, verbose=0)


# `networks/test_default.py` has such shapes, and the image pipeline such data.
@pytest.mark.sweep
@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(km.presets.Default(8, 8), id="default", marks=pytest.mark.sweep),
        pytest.param(km.presets.Paper(4, 4), id="paper"),
    ],
)
def test_it_trains_on_images_of_any_shape_in_colour(preset):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 8, 3)).astype("float32")
    gan = km.MSGGAN((16, 8, 3), 2, 4, preset=preset, seed=1)
    gan.compile("sgd", "sgd", mode="eager")
    before = gan.get_weights()
    logs = gan.fit(images, batch_size=4, verbose=0).history
    assert np.all(np.isfinite(list(logs.values())))
    assert any(np.any(one != other) for one, other in zip(gan.get_weights(), before, strict=True))
    assert [scale.shape[1:] for scale in gan.generate(2)] == [(8, 4, 3), (16, 8, 3)]


LABELS = np.arange(6) % 3


@functools.cache
def make_class_gan(num_classes=3):
    preset = km.presets.Default(8, 8)
    return km.MSGGAN((4, 4, 1), 1, 3, num_classes, preset, seed=1)


@pytest.mark.slow
def test_classes_are_generated_as_asked():
    gan = make_class_gan()
    first, last, turns = (gan.generate(6, 0, labels=labels)[-1] for labels in (0, 2, None))
    np.testing.assert_array_equal(turns[0], first[0])
    np.testing.assert_array_equal(turns[2], last[2])
    assert np.any(first[2] != last[2])
    np.testing.assert_array_equal(gan.generate(6, 0, labels=LABELS)[-1], turns)


@pytest.mark.slow
@pytest.mark.sweep
def test_a_class_is_what_the_model_learns():
    """Images of class 0 are dark and of class 1 light; so are those that are generated."""
    set_seed(0)
    labels = np.arange(64) % 2
    images = np.where(labels == 0, -0.7, 0.7).reshape(-1, 1, 1, 1) + np.zeros((64, 4, 4, 1))
    gan = make_class_gan(2)
    gan.compile(penalties=None)
    gan.fit(images.astype("float32"), labels, batch_size=16, epochs=30, verbose=0)
    dark, light = (gan.generate(32, 0, labels=label)[-1].mean() for label in (0, 1))
    assert dark < -0.3 < 0.3 < light


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", pytest.param("graph", marks=pytest.mark.sweep)])
def test_a_model_with_classes_needs_labels(mode):
    gan = make_class_gan()
    gan.compile("sgd", "sgd", penalties=None, mode=mode)
    with pytest.raises(ValueError, match="Data must be tuples of images and labels, since num_cl"):
        gan.fit(IMAGES, verbose=0)
    with pytest.raises(ValueError, match="Labels must be from 0 to 2, since num_classes=3. Recei"):
        gan.fit(IMAGES, np.arange(6), verbose=0)
    gan.fit(IMAGES, LABELS, verbose=0)


def test_labels_need_a_model_with_classes():
    with pytest.raises(ValueError, match="`labels` need a model with num_classes. Received: lab"):
        shared_gan().generate(2, labels=1)


def test_pairs_of_latents_and_labels_are_predicted():
    gan = make_class_gan()
    gan.compile("sgd", "sgd")
    latents = np.ones((4, 3), "float32")
    # Equal pairs in one place of two batches: a kernel may round by the place.
    found = gan.predict((latents, np.array([2, 0, 2, 1])), batch_size=2, verbose=0)[-1]
    np.testing.assert_array_equal(found[0], found[2])
    assert np.any(found[0] != found[1])
    assert np.any(found[1] != found[3])


def count_updates(gan):
    return [
        int(o.iterations.numpy()) for o in (gan.discriminator_optimizer, gan.generator_optimizer)
    ]


@pytest.mark.slow
def test_the_discriminator_may_take_more_steps():
    gan = make_gan(num_scales=1)
    gan.compile("sgd", "sgd", discriminator_steps=3, mode="eager")
    gan.fit(IMAGES[:4], batch_size=2, verbose=0)
    assert count_updates(gan) == [6, 2]


@pytest.mark.parametrize("steps", [0, 1.5, True, None])
def test_discriminator_steps_must_be_a_positive_integer(steps):
    with pytest.raises(ValueError, match="`discriminator_steps` must be a positive integer. Rece"):
        shared_gan().compile(discriminator_steps=steps)


@pytest.mark.slow
def test_an_adaptive_augmentation_grows_while_real_images_are_known():
    preset = km.presets.Default(8, 8)
    gan = km.MSGGAN((4, 4, 1), 1, 3, None, preset, "adaptive", seed=1)
    optimizers = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)
    gan.compile(*optimizers, penalties=None, mode="eager")
    gan.discriminator.get_layer("logit").bias.assign([100.0])  # everything looks real
    gan.fit(IMAGES, epochs=2, verbose=0)
    assert gan.augmentation.strength.numpy() == pytest.approx(12 / 500_000)


@pytest.mark.slow
def test_real_and_fake_images_are_augmented_before_they_are_judged():
    class Black(km.augmentation.DiffAugment):
        def call(self, pyramid, numbers):
            return [0 * image for image in pyramid]

    gan = km.MSGGAN((4, 4, 1), 2, 3, None, km.presets.Default(8, 8), Black(), seed=1)
    gan.compile("sgd", "sgd", penalties=None, mode="eager")
    logs = gan.train_on_batch(IMAGES, return_dict=True)
    assert logs["d_loss"] == pytest.approx(2 * np.log(2))  # Nothing to tell them apart by.


@pytest.mark.parametrize("augmentation", ["diff", 3, km.augmentation.DiffAugment])
def test_an_unknown_augmentation_names_those_there_are(augmentation):
    with pytest.raises(ValueError, match="must be one of 'diff_augment', 'adaptive', a layer of"):
        km.MSGGAN(augmentation=augmentation)


def test_what_has_no_effect_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'metrics'"):
        shared_gan().compile(metrics=["mae"])


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_sample_weights_are_refused(mode):
    gan = shared_gan()
    gan.compile("sgd", "sgd", mode=mode)
    with pytest.raises(ValueError, match="`sample_weight` must be None.* Received: sample_weight"):
        gan.fit(IMAGES, np.zeros(6), sample_weight=np.ones(6), verbose=0)


@functools.cache
def make_adaptive_gan():
    return km.MSGGAN((4, 4, 1), 1, 3, None, km.presets.Default(8, 8), "adaptive", seed=1)


@pytest.mark.parametrize(
    "loss", ["least_squares", "wasserstein", "relativistic_average_hinge", "relativistic_pairing"]
)
def test_an_adaptive_augmentation_needs_signs_to_go_by(loss):
    gan = make_adaptive_gan()
    with pytest.raises(ValueError, match="must be one in which a positive logit means real"):
        gan.compile(loss=loss)
    gan.compile("sgd", "sgd", loss="hinge")
