"""`HealthCheck`: warns when the training of a GAN fails.

It changes nothing: Keras's callbacks stop a fit, and `generation_metrics.py` measures.
"""

import copy
import math
import warnings

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import arguments, replicas
from kerasmodes.callbacks import generation_metrics, real_images

WON = 0.98  # share of both real and fake images that the discriminator tells right
ALIKE = 0.5  # of the mean distance between real images
ALIKE_IN_CLASS = 0.25  # the same, for two generated images of one class


class HealthCheck(keras.callbacks.Callback):
    """Warns of problems that training usually does not recover from, once for each in a `fit`.

    - *Numbers that are not finite* in the logs, at once. (`NaNGuard` stops, and names the cause.)
    - *The discriminator has won*: both `real_accuracy` and `fake_accuracy` are at least 0.98, so
      that its gradients teach the generator little (Arjovsky and Bottou 2017, arXiv 1701.04862,
      section 2). Only with losses whose logits have a sign: `"non_saturating"`, `"hinge"`.
    - *The samples are alike*: the mean distance of two generated images is less than half that of
      two real ones, in Euclidean distance of pixels. For comparison: two images of the same class
      of Fashion-MNIST are 0.56 (trousers) to 0.98 (bags) times as far apart as two of any class,
      in the first 200 test images of the sample. So this check finds a generator that makes one
      thing, not one that leaves out a class: recall finds that. A model with `num_classes`
      generates several images of each class, and the limit for these is a quarter.

    The last two problems must last for `patience` epochs in a row. The thresholds are rules of
    thumb. A warning is a `UserWarning`: `warnings.filterwarnings` silences it or makes it an error.
    With several workers, the chief warns.

    Args:
        images: Real images as in `GenerationMetrics`, of which the first `num_images` are taken;
            `None` omits the last check.
        patience: Positive int, epochs in a row.
        num_images: Int, at least 2: the number of real and of generated images to compare.
        seed: Int, at least 0, that fixes the latents.

    Raises:
        ValueError: If an argument is out of range, or the real images are all equal.
        TypeError: At the start of training with `images`, if the model does not generate any.

    Example:

    ```python
    images = km.data.images("fashion_mnist_sample")
    gan = km.MSGGAN()
    gan.compile()
    gan.fit(images, epochs=2, callbacks=[km.callbacks.HealthCheck(images)])
    ```
    """

    def __init__(
        self,
        images: np.ndarray | tf.data.Dataset | None = None,
        patience: int = 3,
        num_images: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        arguments.check_positive_integers(patience=patience, num_images=num_images)
        if num_images < 2:
            raise ValueError(f"`num_images` must be at least 2. Received: num_images={num_images}")
        arguments.check_seed(seed)
        self.images = images
        self.patience = patience
        self.num_images = num_images
        self.seed = seed
        self._real_distance = None
        self._epochs = {}

    def __deepcopy__(self, memo):
        return copy.copy(self)  # As in `GenerationMetrics`.

    def on_train_begin(self, logs=None):
        self._epochs = {}
        if self.images is not None and self._real_distance is None:
            generation_metrics.check_generator(self.model, "HealthCheck with images")
            images = real_images.read_images(self.images, self.num_images)
            self._real_distance = mean_distance(images)
            if not self._real_distance > 0:
                raise ValueError(
                    "`images` must hold at least two that differ. "
                    f"Received: {len(images)} equal ones among the first {self.num_images}"
                )

    def get_state(self):
        """Returns what was counted, for a fit that is resumed."""
        return dict(self._epochs)

    def set_state(self, state):
        """Continues to count from what `get_state` has returned."""
        self._epochs = dict(state)

    def on_epoch_end(self, epoch, logs=None):
        if not replicas.is_chief(self.model.distribute_strategy):
            return
        self._count(epoch, "not finite", self._describe_divergence(logs or {}), patience=1)
        self._count(epoch, "won", self._describe_victory(logs or {}), self.patience)
        self._count(epoch, "alike", self._describe_collapse(), self.patience)

    def _count(self, epoch, problem, message, patience):
        """Counts the epochs in a row that have a message; warns with the last message, once."""
        before = self._epochs.get(problem, 0)
        if before < patience:
            self._epochs[problem] = before + 1 if message else 0
            if self._epochs[problem] == patience:
                warnings.warn(f"Epoch {epoch + 1}: {message}", UserWarning, stacklevel=2)

    def _describe_divergence(self, logs):
        names = [name for name, value in logs.items() if not math.isfinite(value)]
        if not names:
            return None
        return (
            f"{', '.join(names)} not finite. Training has diverged and will not recover: start "
            "again, or resume from an earlier epoch, with a lower learning rate or a penalty."
        )

    def _describe_victory(self, logs):
        names = ("real_accuracy", "fake_accuracy")
        loss = getattr(self.model, "adversarial_loss", None)
        is_signed = loss is not None and loss.is_signed
        if not is_signed or min(logs.get(name, 0.0) for name in names) < WON:
            return None
        return (
            "the discriminator has won: it tells at least 98 % of the real and of the fake images "
            f"right, for {self.patience} epochs. The generator learns little from it. Try "
            "more images or augmentation='adaptive', a stronger penalty, a smaller or "
            "slower discriminator."
        )

    def _describe_collapse(self):
        if self._real_distance is None:
            return None
        num_classes = getattr(self.model, "num_classes", None)
        classes, labels, least, words = None, {}, ALIKE, "the generated images"
        if num_classes is not None:
            classes = np.arange(self.num_images) // 2 % num_classes  # Two of each at least.
            labels, least = {"labels": classes}, ALIKE_IN_CLASS
            words = "the generated images of one class"
        images = self.model.generate(self.num_images, seed=self.seed, **labels)[-1]
        ratio = mean_distance(np.clip(images, -1, 1), classes) / self._real_distance
        if not ratio < least:
            return None
        return (
            f"{words} are alike: {ratio:.2f} times as far apart as real ones, and less than "
            f"{least} times for {self.patience} epochs. The generator has collapsed, or has "
            "learned little so far. Try a penalty, another loss, a lower learning rate."
        )


def mean_distance(images: np.ndarray, classes: np.ndarray | None = None) -> float:
    """Returns the mean Euclidean distance of two different images, a float.

    Args:
        images: Array `[n, ...]`.
        classes: Int array `[n]`, to take two of one class only; `None` takes any two.
    """
    rows = np.reshape(images, (len(images), -1)).astype("float64")
    classes = np.zeros(len(rows)) if classes is None else classes
    total = sum(
        np.linalg.norm(rows[classes == own] - row, axis=1).sum()
        for row, own in zip(rows, classes, strict=True)
    )
    num_pairs = sum(np.sum(classes == own) - 1 for own in classes)
    return float(total / max(1, num_pairs))
