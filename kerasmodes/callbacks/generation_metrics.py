"""`GenerationMetrics`: metrics of the images that a model generates, in the logs of its training.

The metrics are in `kerasmodes/metrics`; `real_images.py` reads the real images.
"""

import copy
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import arguments
from kerasmodes.callbacks import real_images
from kerasmodes.metrics import image_evaluator


class GenerationMetrics(keras.callbacks.Callback):
    """Compares generated with real images after an epoch and adds the numbers to its logs.

    The names are `val_frechet`, `val_kernel`, `val_precision`, `val_recall`, `val_density`,
    `val_coverage`, and `val_swd_7`, `val_swd_14`, ... by height with their mean, `val_swd`.
    Callbacks after this one in the list see them, and so does the history: put it before
    `EarlyStopping`, `ModelCheckpoint` and `CSVLogger`. In a fit of a model with modes, their
    `mode="auto"` knows which of these is better when lower.

    The metrics are computed after the first epoch of a `fit` and after each epoch whose number
    `every` divides. In other epochs the logs repeat the last numbers: `CSVLogger` fixes its columns
    in the first epoch, `EarlyStopping` and `ModelCheckpoint` warn if what they monitor is missing.
    (A patience counts all epochs.) If a generated image is not finite, all numbers are NaN.

    The images come from the same latents each time, and training draws the same numbers as without
    this callback. How many images the metrics take is in `ImageEvaluator`. Compare numbers only at
    the same `num_images`, with the same real images and network. With several workers, give it to
    all of them: each computes the same numbers, so that all stop together.

    Args:
        images: Real images that the model is not trained on: float array
            `[n, height, width, channels]` in [-1, 1], or a finite `tf.data.Dataset` of batches,
            with or without labels. They are read into memory when training begins.
        network: Keras model, images to features `[batch, width]`; `None` is
            `km.metrics.feature_network()`, for images of 28×28×1.
        metrics: Tuple of `"frechet"`, `"kernel"`, `"precision_recall"`, `"density_coverage"` and
            `"swd"`.
        num_images: Positive int, images to generate.
        every: Positive int, epochs from one computation to the next.
        seed: Int, at least 0, that fixes the latents.
        cache_dir: Folder where the features of the real images are stored for the next program;
            made if missing. `None` stores none. A shuffled data set counts as new images each time.
        averaged: Bool, whether the averaged weights make the images, if the model has an average.

    Raises:
        ValueError: If an argument is out of range; at the start of training, if the real images do
            not have the model's shape, or the network does not take them.
        TypeError: At the start of training, if the model does not generate images.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile()
    evaluate = km.callbacks.GenerationMetrics(
        km.data.images("fashion_mnist_sample", split="test"), num_images=256
    )
    best = keras.callbacks.ModelCheckpoint("best.keras", "val_frechet", save_best_only=True)
    gan.fit(km.data.images("fashion_mnist_sample"), epochs=2, callbacks=[evaluate, best])
    ```
    """

    directions = {f"val_{name}": which for name, which in image_evaluator.DIRECTIONS.items()}

    def __init__(
        self,
        images: np.ndarray | tf.data.Dataset,
        network: keras.Model | None = None,
        metrics: Sequence[str] = ("frechet", "kernel", "precision_recall", "swd"),
        num_images: int = 1_000,
        every: int = 1,
        seed: int = 0,
        cache_dir: str | os.PathLike | None = None,
        averaged: bool = True,
    ):
        super().__init__()
        image_evaluator.check_metrics(metrics)
        arguments.check_positive_integers(num_images=num_images, every=every)
        arguments.check_seed(seed)
        self.images = images
        self.network = network
        self.metrics = tuple(metrics)
        self.num_images = num_images
        self.every = every
        self.seed = seed
        self.cache_dir = cache_dir
        self.averaged = averaged
        self._prepared = {}  # The evaluator, shared by all copies.
        self._last = None

    def __deepcopy__(self, memo):
        # keras-tuner copies callbacks for each trial; a data set cannot be copied, and what is made
        # of the real images serves all of them.
        return copy.copy(self)

    def on_train_begin(self, logs=None):
        check_generator(self.model, "GenerationMetrics")
        self._last = None
        if not self._prepared:
            self._prepared["evaluator"] = self.make_evaluator()
        shape = self._prepared["evaluator"].image_shape
        if shape != tuple(self.model.image_shape):
            raise ValueError(
                f"`images` must have the model's shape {self.model.image_shape}. "
                f"Received: images of {shape}"
            )

    def on_epoch_end(self, epoch, logs=None):
        if self._last is None or (epoch + 1) % self.every == 0:
            self._last = self._compute_metrics()
        if logs is not None:
            logs.update(self._last)

    def make_evaluator(self) -> image_evaluator.ImageEvaluator:
        """Reads the real images and returns the `ImageEvaluator` of the arguments."""
        images, features, network = real_images.read_images(self.images), None, None
        if image_evaluator.needs_network(self.metrics):
            network = image_evaluator.resolve_network(images.shape[1:], self.network)
            features = real_images.load_features(network, images, self.cache_dir)
        return image_evaluator.ImageEvaluator(
            images, network, self.metrics, self.num_images, features
        )

    def _compute_metrics(self):
        own_weights = {} if self.averaged else {"averaged": False}
        evaluator = self._prepared["evaluator"]
        images = self.model.generate(self.num_images, seed=self.seed, **own_weights)[-1]
        if np.isfinite(images).all():
            results = evaluator.results(images)
        else:
            results = dict.fromkeys(evaluator.names, float("nan"))
        return {f"val_{name}": value for name, value in results.items()}


def check_generator(model: keras.Model, callback_name: str) -> None:
    """Raises a `TypeError` unless a model makes images as `MSGGAN` does."""
    if not hasattr(model, "generate") or not hasattr(model, "image_shape"):
        raise TypeError(
            f"{callback_name} needs a model with `generate` and `image_shape`, such as MSGGAN. "
            f"Received: {type(model).__name__}"
        )
