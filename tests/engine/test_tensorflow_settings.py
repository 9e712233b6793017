"""Tests of what is set once a process: a step reads before it updates, and NaN stays NaN."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import tensorflow_settings, with_modes

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype("float32")


class LatePenalty(km.penalties.GradientPenalty):
    """Reads the discriminator's variables long after the loss's gradients are there."""

    def __init__(self):
        super().__init__(1.0)
        self.product = tf.Variable(tf.zeros((1000, 1000)))

    def __call__(self, discriminator, real_images, fake_images, alpha, step=0):
        def discriminate_late(images):
            large = tf.fill(self.product.shape, alpha[0, 0, 0, 0])
            with tf.control_dependencies([self.product.assign(large @ large @ large)]):
                return discriminator(images)

        return super().__call__(discriminate_late, real_images, fake_images, alpha, step)


def weights_after_a_step(mode):
    keras.utils.set_random_seed(0)
    gan = km.MSGGAN((8, 8, 1), 1, 4, preset=km.presets.Default(2, 2), seed=1)
    optimizers = (keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
    gan.compile(*optimizers, loss="hinge", penalties=LatePenalty(), mode=mode)
    gan.fit(IMAGES, batch_size=4, verbose=0)
    return gan.get_weights()


@pytest.mark.slow
@pytest.mark.sweep
def test_a_late_penalty_sees_the_weights_of_before_the_update():
    for late, expected in zip(
        weights_after_a_step("graph"), weights_after_a_step("eager"), strict=True
    ):
        np.testing.assert_allclose(late, expected, atol=1e-6)


def make_dense():
    return [keras.layers.Dense(4, "relu")]


def make_convolution():
    return [keras.layers.Reshape((3, 1, 1)), keras.layers.Conv2D(4, (2, 1))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "mode"),
    [
        pytest.param(
            make,
            mode,
            marks=[] if (make, mode) == (make_dense, "graph") else pytest.mark.sweep,
        )
        for make in (make_dense, make_convolution)
        for mode in ("eager", "graph", "xla", "fused")
    ],
)
def test_a_nan_is_not_hidden(make, mode):
    x, y = km.data.sums(num_samples=12, num_features=3, seed=1)
    x[3, 1] = np.nan
    tail = [keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = with_modes(keras.Sequential([keras.Input((3,)), *make(), *tail]))
    model.compile("sgd", "mse", mode=mode)
    assert np.isnan(model.evaluate(x, y, batch_size=4, verbose=0))
    assert np.isnan(model.predict(x, batch_size=4, verbose=0)).sum() == 1
    assert np.isnan(model.fit(x, y, batch_size=4, verbose=0).history["loss"]).all()


def test_an_option_that_the_user_has_set_stays():
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"remapping": True, "debug_stripper": False})
    try:
        tensorflow_settings.set_graph_options()
        options = tf.config.optimizer.get_experimental_options()
        assert (options["remapping"], options["debug_stripper"]) == (True, False)
        assert options["dependency_optimization"] is False
    finally:
        tf.config.optimizer.set_experimental_options({**before, "debug_stripper": None})
    assert tf.config.optimizer.get_experimental_options() == before


FLAG = "--xla_backend_extra_options="
SMALL, ROLLED = "xla_cpu_small_while_loop_byte_threshold", "xla_cpu_disable_loop_unrolling"
OWN = f"{SMALL}=131072,{ROLLED}"


def test_importing_the_package_asks_for_whole_loops():
    assert OWN in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{FLAG}{OWN}"),
        ("--xla_a=1", f"--xla_a=1 {FLAG}{OWN}"),
        (f"{FLAG}b=2 --xla_a=1", f"--xla_a=1 {FLAG}b=2,{OWN}"),
        (f"{FLAG}{SMALL}=0", f"{FLAG}{SMALL}=0,{ROLLED}"),
        (f"{FLAG}{OWN}", f"{FLAG}{OWN}"),
    ],
)
def test_the_users_own_flags_stay(monkeypatch, before, after):
    monkeypatch.setenv("XLA_FLAGS", before)
    tensorflow_settings.set_xla_cpu_flags()
    assert os.environ["XLA_FLAGS"] == after
