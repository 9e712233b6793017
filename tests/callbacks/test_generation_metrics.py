"""Tests of `GenerationMetrics`: which numbers are in the logs, when, and what they are."""

import copy

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.callbacks import real_images
from kerasmodes.engine import model_state, random_states
from kerasmodes.metrics import image_evaluator

IMAGES = np.random.default_rng(0).uniform(-1, 1, (24, 8, 8, 1)).astype("float32")
NAMES = {"val_frechet", "val_kernel", "val_precision", "val_recall", "val_swd_8", "val_swd"}


def make_gan(num_classes=None, strategy=None):
    with (strategy or tf.distribute.get_strategy()).scope():
        gan = km.MSGGAN((8, 8, 1), 1, 4, num_classes, km.presets.Default(2, 2), seed=0)
        optimizers = keras.optimizers.SGD(), keras.optimizers.SGD()
        gan.compile(*optimizers, penalties=None, mode="eager")
    return gan


class Painter(km.Model):
    """A small model that generates images, and draws numbers in its step."""

    image_shape = (8, 8, 1)

    def __init__(self, rate=0.1):
        super().__init__()
        self.rate, self.seeds = rate, km.random.SeedGenerator(1)
        self.dense = keras.layers.Dense(64, "tanh")
        self.dense.build((None, 4))
        self.built = True

    def generate(self, num_images, seed=None):
        latents = km.random.normal((num_images, 4), seed=seed)
        return [tf.reshape(self.dense(latents), (-1, 8, 8, 1)).numpy()]

    def train_step(self, images):
        kernel = self.dense.kernel
        kernel.assign_add(self.rate * km.random.normal(kernel.shape, seed=self.seeds))
        return {"g_loss": tf.reduce_sum(kernel)}


def make_painter(rate=0.1):
    keras.utils.set_random_seed(1)
    painter = Painter(rate)
    painter.compile(mode="eager")
    return painter


def make_network():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(5)], name="features"
    )


def make_callback(images=IMAGES, **arguments):
    arguments = {"network": make_network(), "num_images": 16, **arguments}
    return km.callbacks.GenerationMetrics(images, **arguments)


def fit(callbacks, epochs=1, model=None):
    return (model or make_painter()).fit(
        IMAGES, batch_size=24, epochs=epochs, verbose=0, callbacks=callbacks
    )


@pytest.mark.slow
def test_the_logs_hold_what_the_judge_says_of_the_averaged_weights_images():
    gan = make_gan()
    history = fit([make_callback(seed=4)], model=gan).history
    assert set(history) - {"g_loss", "d_loss", "real_accuracy", "fake_accuracy"} == NAMES
    judge = image_evaluator.ImageEvaluator(
        IMAGES, make_network(), ("frechet", "kernel", "precision_recall", "swd"), 16
    )
    expected = judge.results(gan.generate(16, seed=4)[-1])
    assert {name: history[f"val_{name}"][0] for name in expected} == expected


@pytest.mark.slow
def test_the_trained_weights_are_judged_if_asked_for():
    gan, numbers = make_gan(), {}
    for averaged in (True, False):
        callback = make_callback(metrics=("swd",), averaged=averaged)
        callback.set_model(gan)
        callback.on_train_begin()
        gan.generator.set_weights([2 * weight + 1 for weight in gan.generator.get_weights()])
        callback.on_epoch_end(0, logs := {})
        images = gan.generate(16, seed=0, averaged=averaged)[-1]
        judge = image_evaluator.ImageEvaluator(IMAGES, metrics=("swd",), num_images=16)
        numbers[averaged] = logs["val_swd"]
        assert numbers[averaged] == judge.results(images)["swd"]
    assert numbers[True] != numbers[False]


@pytest.mark.slow
def test_too_few_images_are_refused_before_an_epoch():
    painter = make_painter()
    before = painter.get_weights()
    with pytest.raises(ValueError, match="must be at least .* Received: num_images=3"):
        fit([make_callback(num_images=3)], model=painter)
    for one, other in zip(painter.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_search_may_go_by_its_numbers(tmp_path):
    def build(hp):
        return make_painter(hp.Choice("rate", [1e-3, 1e-2]))

    objective = keras_tuner.Objective("val_swd", "min")
    tuner = keras_tuner.RandomSearch(build, objective, max_trials=2, directory=tmp_path, seed=0)
    callbacks = [make_callback(metrics=("swd",))]
    tuner.search(IMAGES, batch_size=12, epochs=1, verbose=0, callbacks=callbacks)
    scores = [trial.score for trial in tuner.oracle.get_best_trials(2)]
    assert scores == sorted(scores)
    assert len(set(scores)) == 2


@pytest.mark.slow
def test_keras_s_callbacks_behind_it_use_the_numbers(tmp_path):
    path = tmp_path / "history.csv"
    stop = keras.callbacks.EarlyStopping("val_swd", min_delta=1e9, patience=2, mode="min")
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best.weights.h5",
        "val_swd",
        mode="min",
        save_best_only=True,
        save_weights_only=True,
    )
    callback = make_callback(metrics=("swd",), every=2)
    history = fit([callback, stop, best, keras.callbacks.CSVLogger(path)], epochs=5)
    assert history.epoch == [0, 1, 2]
    assert (tmp_path / "best.weights.h5").is_file()
    table = np.genfromtxt(path, delimiter=",", names=True)
    np.testing.assert_allclose(table["val_swd"], history.history["val_swd"])


@pytest.mark.slow
def test_epochs_in_between_repeat_the_last_numbers():
    numbers = fit([make_callback(metrics=("swd",), every=3)], epochs=4).history["val_swd"]
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3]


@pytest.mark.slow
def test_watching_changes_nothing():
    weights = []
    for callbacks in ([], [make_callback(metrics=("swd",))]):
        painter = make_painter()
        fit(callbacks, epochs=2, model=painter)
        weights.append(painter.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_watching_changes_nothing_of_a_gan():
    gan, callback = make_gan(), make_callback(metrics=("swd",))
    state, numbers = model_state.ModelState(gan), random_states.read()
    before = state.copy()
    callback.set_model(gan)
    callback.on_train_begin()
    callback.on_epoch_end(0, {})
    for one, other in zip(state.copy(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_equal(random_states.read(), numbers)


@pytest.mark.slow
def test_a_gan_with_classes_is_judged_by_a_data_set_with_labels():
    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(24) % 3)).batch(12)
    callback = make_callback(images=data, metrics=("frechet", "density_coverage"))
    history = make_gan(3).fit(data, verbose=0, shuffle=False, callbacks=[callback]).history
    assert set(history) >= {"val_frechet", "val_density", "val_coverage"}


@pytest.mark.slow
@pytest.mark.sweep
def test_a_gan_on_replicas_is_judged(two_replicas):
    gan, callback, logs = make_gan(strategy=two_replicas), make_callback(), {}
    callback.set_model(gan)
    callback.on_train_begin()
    callback.on_epoch_end(0, logs)
    assert set(logs) == NAMES


def test_images_that_are_not_finite_give_numbers_that_are_not():
    painter, callback = make_painter(), make_callback(metrics=("swd",))
    callback.set_model(painter)
    callback.on_train_begin()
    for weight in painter.dense.weights:
        weight.assign(np.nan * np.ones(weight.shape))
    logs = {}
    callback.on_epoch_end(0, logs)
    assert set(logs) == {"val_swd_8", "val_swd"}
    assert np.isnan([*logs.values()]).all()


def test_a_copy_for_a_trial_shares_the_data_set():
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(8)
    assert copy.deepcopy(make_callback(images=data)).images is data


def test_features_are_kept_and_read_again(tmp_path):
    found = real_images.load_features(make_network(), IMAGES, tmp_path)
    (path,) = tmp_path.iterdir()
    key = real_images.compute_fingerprint(make_network(), IMAGES)
    np.savez(path, key=key, features=found + 1)
    np.testing.assert_array_equal(
        real_images.load_features(make_network(), IMAGES, tmp_path), found + 1
    )


@pytest.mark.parametrize("content", [b"", b"damaged", "cut", "foreign"])
def test_a_file_of_no_use_is_replaced(tmp_path, content):
    expected = real_images.load_features(make_network(), IMAGES, tmp_path)
    (path,) = tmp_path.iterdir()
    if content == "foreign":
        np.savez(path, key="another", features=expected + 1)
    else:
        path.write_bytes(path.read_bytes()[:-200] if content == "cut" else content)
    for _ in range(2):
        found = real_images.load_features(make_network(), IMAGES, tmp_path)
        np.testing.assert_array_equal(found, expected)
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["features"], expected)


def test_other_images_weights_or_networks_have_other_files():
    network = make_network()
    keys = [real_images.compute_fingerprint(network, images) for images in (IMAGES, IMAGES[::-1])]
    network.layers[-1].bias.assign(np.ones(5))
    keys.append(real_images.compute_fingerprint(network, IMAGES))
    assert len(set(keys)) == 3


def test_activations_count_among_what_a_network_is():
    network = make_network()
    key = real_images.compute_fingerprint(network, IMAGES)
    network.layers[-1].activation = keras.activations.tanh
    assert real_images.compute_fingerprint(network, IMAGES) != key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ("fid",)}, "`metrics` must be a tuple of different ones of 'frechet'"),
        ({"metrics": ()}, "`metrics` must be a tuple of different ones of"),
        ({"metrics": ("swd", "swd")}, "`metrics` must be a tuple of different ones of"),
        ({"num_images": 0}, "`num_images` must be a positive integer. Received: num_images=0"),
        ({"every": 1.5}, "`every` must be a positive integer. Received: every=1.5"),
        ({"seed": -1}, "`seed` must be a non-negative integer. Received: seed=-1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_callback(**arguments)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"`images` must be floats in \[-1, 1\] of shape"),
        (IMAGES.astype("uint8"), "`images` must be floats in"),
        (2 * IMAGES, r"`images` must be in \[-1, 1\]. Received: images from"),
        (np.nan * IMAGES, r"`images` must be in \[-1, 1\]"),
        (tf.data.Dataset.from_tensors(IMAGES).repeat(), "a data set that ends"),
    ],
    ids=["one image", "bytes", "too large", "NaN", "endless"],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        real_images.read_images(images)


def test_only_as_many_images_as_are_needed_are_read():
    endless = tf.data.Dataset.from_tensors(IMAGES).repeat()
    np.testing.assert_array_equal(
        real_images.read_images(endless, 30), np.concatenate([IMAGES, IMAGES[:6]])
    )


def test_other_shapes_need_a_network():
    with pytest.raises(
        ValueError, match=r"`network` must be a Keras model .* for images of \(8, 8"
    ):
        fit([make_callback(network=None)])


def test_images_must_have_the_models_shape():
    images = np.zeros((16, 28, 28, 1), "float32")
    with pytest.raises(ValueError, match=r"must have the model's shape \(8, 8, 1\)"):
        fit([make_callback(images=images, metrics=("swd",))])


def test_a_model_that_does_not_generate_is_refused():
    model = km.SumRegressor()
    model.compile()
    with pytest.raises(TypeError, match="needs a model with `generate`.* Received: SumRegressor"):
        model.fit(*km.data.sums(num_samples=4), verbose=0, callbacks=[make_callback()])
