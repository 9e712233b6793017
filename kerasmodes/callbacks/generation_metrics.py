"""`GenerationMetrics`: during training, judges what the model generates, and writes it in the logs.

The metrics are in `kerasmodes/metrics`; `real_images.py` reads and keeps the real side.
"""

import copy

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.callbacks import real_images
from kerasmodes.metrics import image_evaluator


class GenerationMetrics(keras.callbacks.Callback):
    """Compares generated with real images after an epoch and adds the numbers to its logs.

    The names are `val_frechet`, `val_kernel`, `val_precision`, `val_recall`, `val_density`,
    `val_coverage`, and `val_swd_7`, `val_swd_14`, ... by height with their mean, `val_swd`.
    Callbacks that stand behind this one see them, and so does the history: give it before
    `EarlyStopping` (with `mode="min"` or `"max"`, which Keras cannot guess), `ModelCheckpoint` and
    `CSVLogger`.

    It judges after the first epoch of a `fit` and after each epoch whose number `every` divides. In
    between the logs repeat the last numbers: `CSVLogger` fixes its columns in the first epoch,
    `EarlyStopping` and `ModelCheckpoint` warn if what they monitor is missing. (A patience counts
    all epochs.) If the generated images are not finite, neither is any of the numbers.

    The images come from the same latents each time; training draws nothing else than without. How
    many images the metrics take is in `ImageEvaluator`; numbers at another `num_images`, other real
    images or another network cannot be compared. Under several workers, give it to all: each
    computes the same numbers, so that all stop together.

    Args:
        images: Real images that the model is not trained on: float array
            `[n, height, width, channels]` in [-1, 1], or a finite `tf.data.Dataset` of batches,
            with or without labels. It is read into memory when training begins.
        network: Keras model, images to features `[batch, width]`; `None` is
            `km.metrics.feature_network()`, for images of 28×28×1.
        metrics: Tuple of `"frechet"`, `"kernel"`, `"precision_recall"`, `"density_coverage"` and
            `"swd"`.
        num_images: Positive int, images to generate.
        every: Positive int, epochs from one judgement to the next.
        seed: Int, at least 0, that fixes the latents.
        cache_dir: Folder where the features of the real images are kept for the next program;
            made if missing. `None` keeps none. A data set that is shuffled is a new one each time.
        averaged: Whether the averaged weights make the images, if the model has an average.

    Example:

    ```python
    gan = km.MSGGAN()
    gan.compile()
    judge = km.callbacks.GenerationMetrics(
        km.data.images("fashion_mnist_sample", split="test"), num_images=256
    )
    best = keras.callbacks.ModelCheckpoint(
        "best.keras", "val_frechet", save_best_only=True, mode="min"
    )
    gan.fit(km.data.images("fashion_mnist_sample"), epochs=2, callbacks=[judge, best])
    ```
    """

    def __init__(
        self,
        images,
        network=None,
        metrics=("frechet", "kernel", "precision_recall", "swd"),
        num_images=1_000,
        every=1,
        seed=0,
        cache_dir=None,
        averaged=True,
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
        self._judge = None
        self._last = None

    def __deepcopy__(self, memo):
        # keras-tuner copies callbacks for each trial; a data set cannot be, and is only read.
        return copy.copy(self)

    def on_train_begin(self, logs=None):
        check_generates(self.model, "GenerationMetrics")
        self._last = None
        if self._judge is None:
            self._judge = self.make_judge()
        shape = self._judge.image_shape
        if shape != tuple(self.model.image_shape):
            raise ValueError(
                f"`images` must have the model's shape {self.model.image_shape}. "
                f"Received: images of {shape}"
            )

    def on_epoch_end(self, epoch, logs=None):
        if self._last is None or (epoch + 1) % self.every == 0:
            self._last = self._judged()
        if logs is not None:
            logs.update(self._last)

    def make_judge(self):
        """Returns the `ImageEvaluator` of the arguments, once it has read the real images."""
        images, features, network = real_images.as_array(self.images), None, None
        if image_evaluator.needs_network(self.metrics):
            network = image_evaluator.resolve_network(images.shape[1:], self.network)
            features = real_images.features(network, images, self.cache_dir)
        return image_evaluator.ImageEvaluator(
            images, network, self.metrics, self.num_images, features
        )

    def _judged(self):
        own_weights = {} if self.averaged else {"averaged": False}
        images = self.model.generate(self.num_images, seed=self.seed, **own_weights)[-1]
        if np.isfinite(images).all():
            results = self._judge.results(images)
        else:
            results = dict.fromkeys(self._judge.names, float("nan"))
        return {f"val_{name}": value for name, value in results.items()}


def check_generates(model, who):
    """Raises a `TypeError` unless a model makes images as `MSGGAN` does."""
    if not hasattr(model, "generate") or not hasattr(model, "image_shape"):
        raise TypeError(
            f"{who} needs a model with `generate` and `image_shape`, such as MSGGAN. "
            f"Received: {type(model).__name__}"
        )
