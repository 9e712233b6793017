"""Tests of the augmentation: by hand, against pooling and differences, and of its controller."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasmodes import random
from kerasmodes.models.msg_gan import augmentation
from kerasmodes.models.msg_gan.augmentation import AdaptiveAugment, DiffAugment

NAMES = ("color", "translation", "cutout")
SHAPES = [(8, 8, 1), (4, 12, 3), (5, 3, 5)]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


def pooled(images):
    batch, height, width, channels = images.shape
    return np.mean(np.reshape(images, (batch, height // 2, 2, width // 2, 2, channels)), (2, 4))


def make_pyramid(shape, num_scales=3, batch_size=16):
    height, width, channels = shape
    factor = 2 ** (num_scales - 1)
    scales = [draw(batch_size, height * factor, width * factor, channels)]
    while len(scales) < num_scales:
        scales.insert(0, pooled(scales[0]))
    return [tf.constant(images) for images in scales]


def make_numbers(augment, batch_size=16):
    return random.uniform((batch_size, augment.num_draws), seed=3)


def assert_equal(pyramid, other):
    for images, others in zip(pyramid, other, strict=True):
        np.testing.assert_array_equal(images, others)


def augmented(images, policy, *numbers):
    """Returns one image after one policy with these numbers; an image is rows of grey values."""
    image = tf.constant(images, tf.float32)[tf.newaxis, ..., tf.newaxis]
    (result,) = DiffAugment((policy,))([image], tf.constant([numbers]))
    return result[0, ..., 0].numpy()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("policies", [*[(name,) for name in NAMES], NAMES], ids=str)
def test_each_scale_gets_the_same_transform(policies, shape):
    pyramid = make_pyramid(shape)
    augment = DiffAugment(policies)
    scales = augment(pyramid, make_numbers(augment))
    for small, large in zip(scales[:-1], scales[1:], strict=True):
        np.testing.assert_allclose(small, pooled(large), atol=2e-6)
    if policies != ("translation",) or min(shape) >= 4:
        assert np.any(scales[0] != pyramid[0])


def test_scales_that_disagree_are_recoloured_as_the_largest():
    augment = DiffAugment(("color",))
    small, large = draw(2, 4, 4, 1, seed=1) + 3, draw(2, 8, 8, 1)
    small[:, 0, 0] = large[:, 0, 0]
    numbers = tf.constant([[0.1, 0.2, 0.9], [0.6, 0.7, 0.1]])
    result = augment([small, large], numbers)
    assert_equal(result[1:], augment([large], numbers))
    np.testing.assert_allclose(result[0][:, 0, 0], result[1][:, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("policies", [("color",), ("translation",), ("color", "translation")])
def test_numbers_in_the_middle_change_nothing(policies):
    pyramid = make_pyramid((8, 12, 3))
    augment = DiffAugment(policies)
    assert_equal(augment(pyramid, tf.fill((16, augment.num_draws), 0.5)), pyramid)


def test_colours_by_hand():
    # Brightness + 1/4, saturation * 1/2, contrast * 3/4.
    image = tf.constant([[[0.0, 0.6], [1.0, 0.4]]])[tf.newaxis]  # greys 0.3 and 0.7, mean 0.5
    (result,) = DiffAugment(("color",))([image], tf.constant([[0.75, 0.25, 0.25]]))
    dull = np.array([[[0.15, 0.45], [0.85, 0.55]]])
    np.testing.assert_allclose(result[0], 0.5 + 0.75 * (dull - 0.5) + 0.25, rtol=1e-6)


def test_one_channel_has_no_saturation():
    image = draw(3, 5)
    np.testing.assert_array_equal(augmented(image, "color", 0.5, 0.05, 0.5), image)


# An eighth of 4 rows, rounded up, is one pixel; of 16 columns, two.
@pytest.mark.parametrize(
    ("numbers", "down", "right"),
    [((0.0, 0.5), -1, 0), ((0.99, 0.0), 1, -2), ((0.34, 0.61), 0, 1), ((0.33, 0.99), -1, 2)],
)
def test_translation_by_hand(numbers, down, right):
    image = draw(4, 16)
    expected = np.pad(image, 2)[2 - down : 6 - down, 2 - right : 18 - right]
    np.testing.assert_array_equal(augmented(image, "translation", *numbers), expected)


@pytest.mark.parametrize(
    ("shape", "numbers", "rows", "columns"),
    [
        ((4, 8), (0.5, 0.5), slice(1, 3), slice(2, 6)),
        ((4, 8), (0.0, 0.0), slice(0, 1), slice(0, 2)),
        ((4, 8), (0.99, 0.99), slice(3, 4), slice(6, 8)),
        ((5, 7), (0.99, 0.5), slice(3, 5), slice(2, 6)),
    ],
)
def test_cutout_by_hand(shape, numbers, rows, columns):
    image = draw(*shape)
    expected = image.copy()
    expected[rows, columns] = 0
    np.testing.assert_array_equal(augmented(image, "cutout", *numbers), expected)


@pytest.mark.parametrize("policy", ["translation", "cutout"])
def test_places_are_equally_likely(policy):
    numbers = np.full((120, 2), 0.5, "float32")
    numbers[:, 0] = (np.arange(120) + 0.5) / 120
    (results,) = DiffAugment((policy,))([tf.ones((120, 16, 16, 1))], numbers)
    counts = np.unique(results, axis=0, return_counts=True)[1]
    places = {"translation": 5, "cutout": 17}[policy]
    assert len(counts) == places
    assert np.ptp(counts) <= 1


@pytest.mark.parametrize("policy", ["translation", "cutout"])
def test_images_of_one_pixel_are_left_alone(policy):
    for numbers in ((0.0, 0.0), (0.99, 0.99)):
        assert augmented([[1.0]], policy, *numbers) == 1


def test_policies_are_applied_in_their_order():
    image = tf.ones((1, 8, 8, 1))
    brighter, left = [1.0, 0.5, 0.5], [0.5, 0.0]
    (late,) = DiffAugment(("color", "translation"))([image], tf.constant([brighter + left]))
    (early,) = DiffAugment(("translation", "color"))([image], tf.constant([left + brighter]))
    assert late[0, 0, -1, 0] == 0
    assert early[0, 0, -1, 0] == 0.5


@pytest.mark.parametrize("kind", [DiffAugment, AdaptiveAugment])
def test_an_image_does_not_depend_on_the_others(kind):
    augment, pyramid = kind(), make_pyramid((8, 8, 3), batch_size=4)
    if kind is AdaptiveAugment:
        augment.strength.assign(0.5)
    numbers = make_numbers(augment, 4)
    halves = [
        augment([images[part] for images in pyramid], numbers[part])
        for part in (slice(0, 2), slice(2, 4))
    ]
    whole = [tf.concat(scale, axis=0) for scale in zip(*halves, strict=True)]
    assert_equal(whole, augment(pyramid, numbers))


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy",
    ["translation", *(pytest.param(p, marks=pytest.mark.sweep) for p in ("color", "cutout"))],
)
def test_gradients_equal_differences(policy):
    pyramid = make_pyramid((4, 4, 1), num_scales=2, batch_size=1)
    augment = DiffAugment((policy,))
    numbers = make_numbers(augment, 1)

    @tf.function(autograph=False)
    def total(*pyramid):
        scales = augment(list(pyramid), numbers)
        weights = [draw(*images.shape, seed=5) for images in pyramid]
        return tf.add_n([tf.reduce_sum(w * s) for w, s in zip(weights, scales, strict=True)])

    analytic, numeric = tf.test.compute_gradient(total, pyramid, delta=1.0)  # it is linear
    for gradient, differences in zip(analytic, numeric, strict=True):
        assert np.any(gradient)
        np.testing.assert_allclose(gradient, differences, atol=1e-5)


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.parametrize("jit_compile", [False, True])
def test_second_gradients_equal_differences(jit_compile):
    augment = DiffAugment()
    numbers = make_numbers(augment, 2)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def penalty(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            (result,) = augment([images], numbers)
            loss = tf.reduce_sum(tf.square(result)) / 2
        return tf.reduce_sum(tf.square(tape.gradient(loss, images)))

    x = tf.constant(draw(2, 4, 4, 2))
    analytic, numeric = tf.test.compute_gradient(penalty, [x], delta=0.25)  # it is quadratic
    assert np.any(analytic[0])
    np.testing.assert_allclose(analytic[0], numeric[0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.sweep), "bfloat16"])
def test_xla_agrees_with_eager_in_images_and_gradients(dtype):
    augment = AdaptiveAugment()
    augment.strength.assign(0.7)
    pyramid = [tf.cast(images, dtype) for images in make_pyramid((7, 6, 3), num_scales=2)]

    def run(pyramid):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            scales = augment(pyramid, make_numbers(augment))
            loss = tf.add_n([tf.reduce_sum(tf.sin(tf.cast(s, tf.float32))) for s in scales])
        return [*scales, *tape.gradient(loss, pyramid)]

    tolerance = {"float32": 1e-5, "bfloat16": 2**-7}[dtype]
    compiled = tf.function(run, jit_compile=True, autograph=False)
    for ours, eager in zip(compiled(pyramid), run(pyramid), strict=True):
        ours, eager = tf.cast(ours, tf.float32), tf.cast(eager, tf.float32)
        np.testing.assert_allclose(ours, eager, tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_dtypes_are_kept_and_only_their_rounding_is_lost(dtype):
    pyramid = make_pyramid((8, 8, 3))
    augment = DiffAugment()
    scales = augment([tf.cast(images, dtype) for images in pyramid], make_numbers(augment))
    assert [images.dtype.name for images in scales] == [dtype] * 3
    for images, exact in zip(scales, augment(pyramid, make_numbers(augment)), strict=True):
        np.testing.assert_allclose(tf.cast(images, tf.float32), exact, atol=2**-6)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_static_shapes_stay_static(batch_size):
    augment = AdaptiveAugment()
    shapes = [(batch_size, 8, 12, 3), (batch_size, 16, 24, 3)]

    @tf.function(input_signature=[[tf.TensorSpec(shape) for shape in shapes]], autograph=False)
    def run(pyramid):
        numbers = random.uniform((tf.shape(pyramid[0])[0], augment.num_draws), seed=0)
        return augment(pyramid, numbers)

    assert [tuple(shape) for shape in run.get_concrete_function().output_shapes] == shapes


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_changes_neither_images_nor_numbers_nor_strength(policy):
    pyramid = make_pyramid((8, 8, 3))
    expected, mixed = AdaptiveAugment(), AdaptiveAugment(dtype=policy)
    numbers = make_numbers(expected).numpy()
    numbers[:, -3:] = 0.5001  # the strength in full: bfloat16 has no number in between
    for augment in (expected, mixed):
        augment.strength.assign(0.5002)
    assert_equal(mixed(pyramid, numbers), expected(pyramid, numbers))
    assert np.any(mixed(pyramid, numbers)[0] != pyramid[0])
    assert mixed.strength.dtype == "float32"


def test_the_strength_starts_at_zero_where_nothing_changes():
    pyramid, augment = make_pyramid((8, 8, 3)), AdaptiveAugment()
    assert augment.strength.numpy() == 0
    assert_equal(augment(pyramid, tf.zeros((16, augment.num_draws))), pyramid)


def test_full_strength_is_diff_augment():
    pyramid, augment, plain = make_pyramid((8, 8, 3)), AdaptiveAugment(), DiffAugment()
    augment.strength.assign(1.0)
    numbers = make_numbers(augment)
    assert_equal(augment(pyramid, numbers), plain(pyramid, numbers[:, : plain.num_draws]))


def test_each_policy_has_the_probability_of_the_strength_by_itself():
    augment = AdaptiveAugment(("cutout", "color"))
    augment.strength.assign(0.3)
    numbers = np.array(make_numbers(augment, 4000))
    numbers[:, :2], numbers[:, 2:5] = 0.5, 0.7  # what is applied is seen
    (images,) = augment([tf.ones((4000, 4, 4, 1))], tf.constant(numbers))
    is_cut, is_coloured = images[:, 1, 1, 0] < 0.7, images[:, 0, 0, 0] != 1
    for seen, share in ((is_cut, 0.3), (is_coloured, 0.3), (is_cut & is_coloured, 0.09)):
        assert np.mean(seen) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    ("policies", "plain", "adaptive"),
    [(NAMES, 7, 10), (("color",), 3, 4), (("translation", "cutout"), 4, 6)],
)
def test_number_of_draws(policies, plain, adaptive):
    assert DiffAugment(policies).num_draws == plain
    assert AdaptiveAugment(policies).num_draws == adaptive


@pytest.mark.parametrize(
    ("real_mean", "expected"), [(0.9, 0.52), (0.61, 0.52), (0.6, 0.5), (0.59, 0.48), (-1.0, 0.48)]
)
def test_the_strength_follows_the_discriminators_certainty(real_mean, expected):
    augment = AdaptiveAugment()
    augment.strength.assign(0.5)
    augment.adapt(tf.constant(real_mean), 10_000)
    assert augment.strength.numpy() == pytest.approx(expected)


def test_a_tie_is_one_whichever_way_the_mean_was_rounded():
    augment = AdaptiveAugment()
    augment.strength.assign(0.5)
    for real_mean in np.nextafter(np.float32(0.6), np.float32([0, 1])):
        augment.adapt(real_mean, 10_000)
        assert augment.strength.numpy() == 0.5


def test_the_strength_stays_a_probability():
    augment = AdaptiveAugment(target=0.0, ramp_images=10)
    augment.adapt(-1.0, 1)
    assert augment.strength.numpy() == 0
    for _ in range(3):
        augment.adapt(1.0, 4)
    assert augment.strength.numpy() == 1


def test_full_strength_takes_500_000_images():
    augment = AdaptiveAugment()
    strengths = []
    for _ in range(100):
        augment.adapt(1.0, tf.constant(5000))
        strengths.append(augment.strength.numpy())
    np.testing.assert_allclose(strengths, np.arange(1, 101) / 100, rtol=1e-5)


def test_replicas_keep_one_strength(two_replicas):
    with two_replicas.scope():
        augment = AdaptiveAugment()

    def adapt():
        replica_id = tf.distribute.get_replica_context().replica_id_in_sync_group
        augment.adapt(1.0 - tf.cast(replica_id, tf.float32), 5_000)

    tf.function(lambda: two_replicas.run(adapt), autograph=False)()
    strengths = two_replicas.experimental_local_results(augment.strength.value)
    np.testing.assert_allclose(strengths, [0.01, 0.01], rtol=1e-6)


def test_the_strength_is_saved_and_not_trained(tmp_path):
    augment = AdaptiveAugment(("color",))
    augment.strength.assign(0.25)
    images, numbers = keras.Input((8, 8, 1)), keras.Input((augment.num_draws,))
    model = keras.Model((images, numbers), augment([images], numbers))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert isinstance(loaded, AdaptiveAugment)
    assert loaded.strength.numpy() == 0.25
    assert loaded.trainable_variables == []


@pytest.mark.parametrize(
    "augment",
    [
        DiffAugment(("cutout", "color")),
        AdaptiveAugment(["translation"], target=0.5, ramp_images=9, dtype="mixed_bfloat16"),
    ],
    ids=lambda augment: augment.name,
)
def test_config_round_trip(augment):
    config = keras.saving.serialize_keras_object(augment)
    clone = keras.saving.deserialize_keras_object(config)
    assert type(clone) is type(augment)
    assert clone.get_config() == augment.get_config()
    for name in ("policies", "target", "ramp_images"):
        assert getattr(clone, name, None) == getattr(augment, name, None)


@pytest.mark.parametrize(
    ("name", "kind"), [("diff_augment", DiffAugment), ("adaptive", AdaptiveAugment)]
)
def test_a_name_stands_for_an_augmentation(name, kind):
    assert type(augmentation.get(name)) is kind


@pytest.mark.parametrize("augment", [None, AdaptiveAugment(("color",))], ids=["none", "layer"])
def test_an_augmentation_stands_for_itself(augment):
    assert augmentation.get(augment) is augment


@pytest.mark.parametrize("augment", ["color", DiffAugment, True, ["adaptive"]], ids=repr)
def test_a_wrong_augmentation_is_refused(augment):
    with pytest.raises(ValueError, match=r"`augmentation`.*'diff_augment', 'adaptive'.*Received"):
        augmentation.get(augment)


@pytest.mark.parametrize(
    "policies", ["color", (), ("colour",), ("color", "color"), (["color"],), None], ids=repr
)
@pytest.mark.parametrize("kind", [DiffAugment, AdaptiveAugment])
def test_wrong_policies_are_refused(kind, policies):
    with pytest.raises(ValueError, match=r"`policies`.*'color', 'translation', 'cutout'") as error:
        kind(policies)
    assert str(error.value).endswith(f"Received: policies={policies!r}")


@pytest.mark.parametrize(
    ("name", "value"),
    [("target", 1.0), ("target", "0.6"), ("ramp_images", 0), ("ramp_images", 1e5)],
)
def test_a_wrong_control_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}={value!r}"):
        AdaptiveAugment(**{name: value})


@pytest.mark.parametrize(
    ("pyramid", "received"),
    [
        (tf.ones((2, 4, 4, 1)), r"float32 \(2, 4, 4, 1\)"),
        ([], "list of nothing"),
        ([tf.ones((2, 4, 4))], r"list of float32 \(2, 4, 4\)"),
        ([tf.ones((2, 4, 4, 1), tf.int32)], r"list of int32 \(2, 4, 4, 1\)"),
        ([tf.ones((2, 8, 8, 1)), tf.ones((2, 4, 4, 1))], r"8, 1\), float32 \(2, 4, 4, 1\)"),
        ([tf.ones((2, 4, 4, 1)), tf.ones((2, 8, 8, 3))], r"4, 1\), float32 \(2, 8, 8, 3\)"),
    ],
)
def test_a_wrong_pyramid_is_refused(pyramid, received):
    with pytest.raises(ValueError, match=f"`pyramid` must be a list of float.*{received}"):
        DiffAugment()(pyramid, tf.zeros((2, 7)))


@pytest.mark.parametrize(
    "numbers", [tf.zeros((2, 6)), tf.zeros((7,)), tf.zeros((2, 7), tf.bfloat16)], ids=str
)
def test_wrong_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match=r"`numbers` must be float32 with shape \[batch, 7\]"):
        DiffAugment()([tf.ones((2, 4, 4, 1))], numbers)
