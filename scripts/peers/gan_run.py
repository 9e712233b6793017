"""One run of `study_gan.py`: a GAN trained on so many images and judged, in a process of its own.

Called as: python -m peers.gan_run RECIPE SEED IMAGES FOLDER, RECIPE one of `RECIPES` or
"lr:SCALES:RATE" (a learning rate for the default networks, SCALES "many" or "one"). Writes
FOLDER/RECIPE-SEED.json and a picture of samples beside it. With `--speed`, prints nothing else
than the milliseconds of a step.
"""

import json
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import kerasmodes as km
from kerasmodes.metrics import ImageEvaluator
from peers import dcgan_keras, gan_report, wgan_gp_keras

NUM_JUDGED = 10_000
NUM_PATCHED = 2_048  # For the sliced Wasserstein distance, which keeps patches.
OF_FEATURES = ("frechet", "kernel", "precision_recall")
# Where a run is judged: parts of its images, and numbers of images at which all runs meet.
PARTS = (1 / 8, 1 / 4, 1 / 2, 1)
MEETINGS = gan_report.MEETINGS
GRID = gan_report.GRID
# Fréchet distances of one seed after 16,000 images in batches of 8, 16 and 32: 2.6, 3.5, 4.8, for
# 77, 65 and 62 seconds of one core; after 32,000 in batches of 16 and 32: 1.8, 2.6 (at a constant
# rate of 0.001).
DEFAULT_BATCH_SIZE = 16
# Of four steps of the default, one has the penalty, which takes longer.
TIMED_STEPS, LEAST_SECONDS = 8, 4


class OneScale(km.presets.Default):
    """The default networks without multi-scale connections: the same blocks, the last image only.

    A model with it has `num_scales=1`.
    """

    depth = 3
    has_per_example_logits = True

    def make_generator(self, image_shape, num_scales, latent_dim, num_classes):
        whole = super().make_generator(image_shape, self.depth, latent_dim, num_classes)
        return keras.Model(whole.inputs, whole.outputs[-1], name="generator")

    def make_discriminator(self, image_shape, num_scales, num_classes, seed):
        image = keras.Input(image_shape)
        x = _convolved(image, 16, 3, 1)
        for width in (32, 64):
            x = _convolved(_convolved(x, width, 4, 2), width, 3, 1)
        logits = keras.layers.Dense(1)(keras.layers.Flatten()(x))
        return keras.Model([image], logits, name="discriminator")


def _convolved(x, filters, kernel_size, strides):
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same")(x)
    return keras.layers.LeakyReLU(0.2)(x)


def make_msggan(preset, batch_size, seed):
    gan = km.MSGGAN.from_preset(preset, seed=seed)
    gan.compile(mode="graph")
    return gan, batch_size


def make_peer(gan, batch_size):
    gan.compile()
    return gan, batch_size


def make_with_rate(scales, rate, seed):
    if scales == "many":
        gan = km.MSGGAN(seed=seed)
    else:
        gan = km.MSGGAN(num_scales=1, preset=OneScale(), seed=seed)
    optimizers = [keras.optimizers.Adam(float(rate), beta_1=0.0, beta_2=0.99) for _ in range(2)]
    gan.compile(*optimizers, mode="graph")
    return gan, DEFAULT_BATCH_SIZE


RECIPES = {
    "default": lambda seed: make_msggan("default", DEFAULT_BATCH_SIZE, seed),
    "tutorial": lambda seed: make_msggan("tutorial", 64, seed),
    "paper": lambda seed: make_msggan("paper", 64, seed),
    "dcgan": lambda seed: make_peer(dcgan_keras.DCGAN("paper"), dcgan_keras.BATCH_SIZE),
    "dcgan_guide": lambda seed: make_peer(dcgan_keras.DCGAN("guide"), dcgan_keras.BATCH_SIZE),
    "wgan_gp": lambda seed: make_peer(wgan_gp_keras.WGANGP(), wgan_gp_keras.BATCH_SIZE),
}


def make(recipe, seed):
    """Returns the compiled model of a recipe, its weights seeded, and its batch size."""
    keras.utils.set_random_seed(seed)
    if recipe.startswith("lr:"):
        return make_with_rate(*recipe.split(":")[1:], seed)
    return RECIPES[recipe](seed)


def batches(batch_size, seed):
    """Returns an endless data set of batches from the 60,000 training images."""
    return km.data.images("fashion_mnist", batch_size=batch_size, seed=seed).repeat()


def train(gan, iterator, num_images):
    """Runs steps for so many images; returns how many it were, the logs and the seconds."""
    start, seen = time.perf_counter(), 0
    while seen < num_images:
        images = next(iterator)
        logs = gan.train_on_batch(images, return_dict=True)
        seen += len(images)
    logs = {name: float(value) for name, value in logs.items()}
    return seen, logs, time.perf_counter() - start


class Judge:
    """Compares samples with the 10,000 test images, in the package's feature network."""

    def __init__(self):
        data = km.data.images("fashion_mnist", split="test", batch_size=500)
        self.images = np.concatenate([batch.numpy() for batch in data])
        self.frechet = ImageEvaluator(self.images, metrics=("frechet",), num_images=NUM_JUDGED)
        self.others = ImageEvaluator(self.images, metrics=OF_FEATURES, num_images=NUM_JUDGED)
        self.swd = ImageEvaluator(self.images, metrics=("swd",), num_images=NUM_PATCHED)
        self.network = km.metrics.feature_network(with_classes=True)

    def baselines(self):
        """Returns what half of the real images is from the other half, by metric."""
        return {**self.others.baselines(), **self.swd.baselines()}

    def __call__(self, images, is_last):
        """Returns the numbers of samples `[n, 28, 28, 1]`: Fréchet alone, or all of them."""
        _, classes = self.network.predict(np.clip(images, -1, 1), batch_size=500, verbose=0)
        shares = np.bincount(np.argmax(classes, axis=1), minlength=10) / len(images)
        if is_last:
            found = {**self.others.results(images), **self.swd.results(images[:NUM_PATCHED])}
        else:
            found = self.frechet.results(images)
        return {**found, "classes": shares.round(4).tolist()}


def sample(gan, num_images):
    """Returns samples at the largest scale."""
    scales = gan.generate(num_images, seed=1)
    return scales[-1] if isinstance(scales, list) else scales


def run(recipe, seed, num_images, folder):
    """Trains and judges; the file is written at every stop, "complete" at the last one."""
    gan, batch_size = make(recipe, seed)
    iterator, judge = iter(batches(batch_size, seed)), Judge()
    path = pathlib.Path(folder) / f"{recipe.replace(':', '_')}-{seed}.json"
    numbers = {"recipe": recipe, "seed": seed, "batch_size": batch_size, "curve": []}
    numbers["baselines"] = judge.baselines()
    stops = {round(part * num_images) for part in PARTS}
    stops = sorted(stops | {stop for stop in MEETINGS if stop < num_images})
    seen, seconds = 0, 0.0
    for stop in stops:
        more, logs, spent = train(gan, iterator, stop - seen)
        seen, seconds = seen + more, seconds + spent
        point = {"images": seen, "seconds": seconds, "logs": logs}
        found = judge(sample(gan, NUM_JUDGED), is_last=stop == stops[-1])
        numbers["curve"].append({**point, **found})
        grid = km.data.image_grid(gan.generate(GRID, seed=0), GRID, zoom=2)
        km.data.save_image(grid, path.with_suffix(".png"))
        numbers["complete"] = stop == stops[-1]
        path.write_text(json.dumps(numbers, indent=1) + "\n")


def speed(recipe):
    """Returns the mean milliseconds of a step, after four that are not counted."""
    gan, batch_size = make(recipe, 0)
    generator = np.random.default_rng(0)
    images = tf.constant(generator.uniform(-1, 1, (batch_size, 28, 28, 1)), tf.float32)
    for _ in range(4):
        gan.train_on_batch(images)
    steps, start = 0, time.perf_counter()
    while steps < TIMED_STEPS or time.perf_counter() - start < LEAST_SECONDS:
        for _ in range(TIMED_STEPS):
            gan.train_on_batch(images)
        steps += TIMED_STEPS
    return 1e3 * (time.perf_counter() - start) / steps, batch_size


def main():
    if sys.argv[1] == "--speed":
        milliseconds, batch_size = speed(sys.argv[2])
        print(json.dumps({"ms": milliseconds, "batch_size": batch_size}))
        return
    recipe, seed, num_images, folder = sys.argv[1:]
    run(recipe, int(seed), int(num_images), folder)


if __name__ == "__main__":
    main()
