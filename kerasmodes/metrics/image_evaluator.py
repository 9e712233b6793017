"""`ImageEvaluator`: several metrics of generated images, with one pass through the network.

Each metric has its formula in its own file. The caller brings the real images and decides when to
evaluate generated ones.
"""

from collections.abc import Sequence

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.metrics import feature_metric
from kerasmodes.metrics.density_coverage import DensityCoverage
from kerasmodes.metrics.feature_network import IMAGE_SHAPE, feature_network
from kerasmodes.metrics.frechet_distance import FrechetDistance
from kerasmodes.metrics.kernel_distance import KernelDistance
from kerasmodes.metrics.precision_recall import PrecisionRecall
from kerasmodes.metrics.sliced_wasserstein_distance import PATCH, SlicedWassersteinDistance

BATCH_SIZE = 256
MAX_LEVELS = 3
# Metrics of features: functions (width, the most examples a side) that make one.
FEATURE_METRICS = {
    "frechet": lambda width, most: FrechetDistance(width),
    "kernel": lambda width, most: KernelDistance(width, max_samples=most),
    "precision_recall": lambda width, most: PrecisionRecall(width, max_samples=most),
    "density_coverage": lambda width, most: DensityCoverage(width, max_samples=most),
}
METRICS = (*FEATURE_METRICS, "swd")
# Of each result, which is better, the lowest or the highest.
DIRECTIONS = {
    **dict.fromkeys(("frechet", "kernel", "swd"), "min"),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), "max"),
}


class ImageEvaluator:
    """Compares sets of generated images, one after the other, with the same real images.

    The Fréchet distance uses all images. The other metrics need equally many on both sides, as many
    as the smaller set has: the first generated images, and real images at even distances in their
    set. The sliced Wasserstein distance has the levels that fit the image, at most 3.

    Args:
        images: Real images, float array `[n, height, width, channels]` in [-1, 1].
        network: Keras model, images to features `[batch, width]`. `None` means
            `km.metrics.feature_network()`, for images of 28×28×1. Defaults to `None`.
        metrics: Tuple of different ones of `"frechet"`, `"kernel"`, `"precision_recall"`,
            `"density_coverage"` and `"swd"`; only the last one needs no network. Defaults to all.
        num_images: Positive int, the number of generated images in a set. Defaults to `1_000`.
        features: The network's features of the real images, float array `[n, width]`; `None`
            computes them. Defaults to `None`.

    Raises:
        ValueError: If an argument is not as above, or if a metric needs more images.
        TypeError: If the network is not a Keras model.

    Example:

    ```python
    images = next(iter(km.data.images("fashion_mnist_sample", "test", batch_size=256))).numpy()
    evaluator = ImageEvaluator(images[:128], metrics=("frechet", "swd"), num_images=128)
    evaluator.results(images[128:])  # {"frechet": ..., "swd_7": ..., ..., "swd": ...}
    ```
    """

    def __init__(
        self,
        images: np.ndarray,
        network: keras.Model | None = None,
        metrics: Sequence[str] = METRICS,
        num_images: int = 1_000,
        features: np.ndarray | None = None,
    ):
        check_metrics(metrics)
        arguments.check_positive_integers(num_images=num_images)
        self.image_shape = tuple(images.shape[1:])
        self.num_real = len(images)
        self.num_equal = min(num_images, self.num_real)
        self.num_images = num_images
        self.network = (
            resolve_network(images.shape[1:], network) if needs_network(metrics) else None
        )
        if self.network is not None and features is None:
            features = extract_features(self.network, images)
        self._metrics, self._real = {}, {}
        for name in metrics:
            metric = self._make(name, images.shape[1:])
            if self.num_equal < metric.min_examples:
                raise ValueError(
                    f"`num_images`, and the real images, must be at least {metric.min_examples} "
                    f"for {name!r}. Received: num_images={num_images}, {self.num_real} real ones"
                )
            metric.update_state(real=self._select_real(name, images, features))
            self._metrics[name], self._real[name] = metric, metric.real_state()

    @property
    def names(self) -> list[str]:
        """The names of the results."""
        names = []
        for name, metric in self._metrics.items():
            names += metric.result_names or [metric.name]
            names += ["swd"] if name == "swd" else []
        return names

    def results(self, images: np.ndarray) -> dict[str, float]:
        """Returns the results of all metrics for one set of generated images.

        Args:
            images: Float array `[num_images, height, width, channels]`; values are clipped to
                [-1, 1].

        Raises:
            ValueError: If there are not `num_images` images, or if they hold NaN.
        """
        if len(images) != self.num_images:
            raise ValueError(f"`images` must be {self.num_images}. Received: {len(images)} images")
        images = np.clip(images, -1, 1)
        features = None if self.network is None else extract_features(self.network, images)
        results = {}
        for name, metric in self._metrics.items():
            metric.reset_state()
            metric.set_real_state(self._real[name])
            rows = images if name == "swd" else features
            metric.update_state(generated=rows if name == "frechet" else rows[: self.num_equal])
            results |= _flatten_result(name, metric.result())
        return results

    def baselines(self) -> dict[str, float]:
        """Returns, by the same names, what half of the real images scores against the other."""
        baselines = {}
        for name, metric in self._metrics.items():
            metric.set_real_state(self._real[name])
            baselines |= _flatten_result(name, metric.baseline())
        return baselines

    def _make(self, name, image_shape):
        if name == "swd":
            levels = num_levels(image_shape)
            return SlicedWassersteinDistance(image_shape, levels, max_samples=self.num_equal)
        width = feature_metric.feature_width(None, self.network)
        return FEATURE_METRICS[name](width, self.num_equal)

    def _select_real(self, name, images, features):
        rows = images if name == "swd" else features
        spread = np.arange(self.num_equal) * self.num_real // self.num_equal
        return rows if name == "frechet" else rows[spread]


def resolve_network(image_shape: Sequence[int], network: keras.Model | None = None) -> keras.Model:
    """Returns a checked network from images to features: the package's if it is `None`.

    Args:
        image_shape: (height, width, channels).
        network: Keras model, images to features `[batch, width]`, or `None`.

    Raises:
        ValueError: If it is `None` and the package's does not take such images, or if its features
            have no known width.
        TypeError: If it is not a Keras model.
    """
    if network is None and tuple(image_shape) != IMAGE_SHAPE:
        raise ValueError(
            "`network` must be a Keras model that maps images to features [batch, width]. "
            f"Received: network=None for images of {tuple(image_shape)}; the network of this "
            f"package takes {IMAGE_SHAPE}. Pass one of `keras.applications` with `pooling='avg'`, "
            "for example, or use metrics=('swd',), which needs none."
        )
    network = feature_network() if network is None else network
    feature_metric.feature_width(None, network)
    return network


def needs_network(metrics: Sequence[str]) -> bool:
    """Returns whether at least one of the metrics compares features."""
    return any(name in FEATURE_METRICS for name in metrics)


def extract_features(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns the network's features of images, a float32 array `[n, width]`.

    Args:
        network: Keras model, images to features `[batch, width]`.
        images: Float array `[n, height, width, channels]`, n at least 1.
    """
    parts = [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]
    return np.concatenate([np.asarray(network(p, training=False), "float32") for p in parts])


def num_levels(image_shape: Sequence[int]) -> int:
    """Returns how many levels of a pyramid hold a patch, 1 to 3; 1 also if the image holds none."""
    fits = [
        levels
        for levels in range(2, MAX_LEVELS + 1)
        if all(n % 2 ** (levels - 1) == 0 and n >> levels - 1 >= PATCH for n in image_shape[:2])
    ]
    return max(fits, default=1)


def check_metrics(metrics: object) -> None:
    """Raises a `ValueError` unless these are names of metrics, each once."""
    is_list = isinstance(metrics, (tuple, list)) and len(metrics) > 0
    if (
        not is_list
        or any(name not in METRICS for name in metrics)
        or len(set(metrics)) < len(metrics)
    ):
        raise ValueError(
            f"`metrics` must be a tuple of different ones of {', '.join(map(repr, METRICS))}. "
            f"Received: metrics={metrics!r}"
        )


def _flatten_result(name, result):
    if not isinstance(result, dict):
        return {name: result}
    return {**result, "swd": float(np.mean([*result.values()]))} if name == "swd" else result
