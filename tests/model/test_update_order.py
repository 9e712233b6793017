"""Tests that a step reads its variables before it updates them, however late the reading comes."""

import keras
import numpy as np
import tensorflow as tf

import kerasmodes as km

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype("float32")


class LatePenalty(km.penalties.GradientPenalty):
    """Reads the discriminator's variables long after the loss's gradients are there."""

    def __init__(self):
        super().__init__(1.0)
        self.product = tf.Variable(tf.zeros((1000, 1000)))

    def __call__(self, judge, real_images, fake_images, alpha, step=0):
        def judge_late(images):
            large = tf.fill(self.product.shape, alpha[0, 0, 0, 0])
            with tf.control_dependencies([self.product.assign(large @ large @ large)]):
                return judge(images)

        return super().__call__(judge_late, real_images, fake_images, alpha, step)


def weights_after_a_step(mode):
    keras.utils.set_random_seed(0)
    gan = km.MSGGAN((8, 8, 1), 2, 4, preset=km.presets.Default(8, 8), seed=1)
    optimizers = (keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
    gan.compile(*optimizers, loss="hinge", penalties=LatePenalty(), mode=mode)
    gan.fit(IMAGES, batch_size=4, verbose=0)
    return gan.get_weights()


def test_a_late_penalty_sees_the_weights_of_before_the_update():
    for late, expected in zip(
        weights_after_a_step("graph"), weights_after_a_step("eager"), strict=True
    ):
        np.testing.assert_allclose(late, expected, atol=1e-6)
