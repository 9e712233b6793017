"""`FrechetDistance`: the distance between Gaussians with the moments of two sets of features.

`feature_metric.py` makes features from images and takes examples in.
"""

from collections.abc import Iterable, Mapping

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kerasmodes.metrics import examples, feature_metric


@keras.saving.register_keras_serializable(package="kerasmodes")
class FrechetDistance(feature_metric.FeatureMetric):
    """Squared Fréchet distance between real and generated features, both treated as Gaussian.

    `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`, with the means m and the unbiased covariances S
    of the two sides. Source: Heusel et al. 2017 (arXiv 1706.08500), equation 6. It is 0 for equal
    moments. Unlike the other metrics it stores only moments, so memory does not depend on the
    number of examples. With the features of Inception it is the FID; numbers of other features
    cannot be compared with it. The result is a float.

    It is biased upwards. Two samples of n examples from one distribution, of d uncorrelated
    features of unit variance, have a distance of about `2 d / n + d (d + 1) / (2 n)` (to first
    order in 1 / n; for sizes n1 and n2 replace `2 / n` by `1 / n1 + 1 / n2`). So compare only
    results at the same n, and show the `baseline()` with them. Its halves hold n / 2 examples each,
    so its bias is twice that of a result with as many generated as real examples.

    Args:
        num_features: Width of the features that `update_state` takes, a positive int; `None` with
            a network. Defaults to `None`.
        network: Keras model, images to features `[batch, width]`, if `update_state` takes images.
            The metric's config holds the network's layers but not its weights: set them again after
            `from_config`, unless `build` reads them, as in `feature_network`. Defaults to `None`.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.FrechetDistance(num_features=8)
    metric.update_state(real=features)
    metric.update_state(generated=features[:1_000] + 0.5)
    metric.result(), metric.baseline()  # about 8 * 0.5**2, and 0.05
    ```
    """

    def __init__(
        self,
        num_features: int | None = None,
        network: keras.Model | None = None,
        name: str = "frechet",
    ):
        super().__init__(num_features, network, name, _make_moments)

    def _compare(self, real: dict, generated: dict) -> list[float]:
        return [frechet_distance(*estimate_gaussian(real), *estimate_gaussian(generated))]


def frechet_distance(
    mean: np.ndarray,
    covariance: np.ndarray,
    other_mean: np.ndarray,
    other_covariance: np.ndarray,
) -> float:
    """Returns the squared Fréchet distance between two Gaussians, a float.

    The formula is that of `FrechetDistance`. With S = F F', the trace of (S1 S2)^(1/2) is the sum
    of the singular values of F1' F2. These are real and stable for covariances of any rank; a
    square root of the product S1 S2 is not.

    Args:
        mean: Float array `[width]`.
        covariance: Float array `[width, width]`, symmetric and positive semi-definite.
        other_mean: The other Gaussian's mean `[width]`.
        other_covariance: The other Gaussian's covariance `[width, width]`.

    Example:

    ```python
    frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2))  # 1 + 1 + 1 + 1
    ```
    """
    factor, other_factor = _factorize(covariance), _factorize(other_covariance)
    overlap = np.linalg.svd(factor.T @ other_factor, compute_uv=False).sum()
    spread = np.sum(factor**2) + np.sum(other_factor**2) - 2 * overlap
    return float(np.sum((mean - other_mean) ** 2) + spread)


def estimate_gaussian(kept: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean `[width]` and unbiased covariance `[width, width]` of a result of `Moments`."""
    counts = kept["count"]
    mean = counts @ kept["mean"] / counts.sum()
    offsets = np.sqrt(counts)[:, np.newaxis] * (kept["mean"] - mean)
    return mean, (kept["scatter"].sum(axis=0) + offsets.T @ offsets) / (counts.sum() - 1)


class Moments(keras.metrics.Metric):
    """Stores count, mean and scatter (sum of squares around the mean) of features, in float64.

    Examples are assigned in turn to a number of parts, each with its own moments. A batch's moments
    are merged with the stored ones, so that large means cost no precision. Source: Chan, Golub and
    LeVeque 1983, "Algorithms for computing the sample variance", pairwise updating.

    Its result is a dict of float64 tensors: `count` `[num_parts]`, `mean` `[num_parts, width]` and
    `scatter` `[num_parts, width, width]`.

    Args:
        name: "real" or "generated".
        shape: (width,), the number of features.
        num_parts: Number of parts, a positive int.

    Example:

    ```python
    kept = Moments("real", (2,), num_parts=1)
    kept.update_state(tf.constant([[1.0, 2.0], [3.0, 4.0]], "float64"))
    kept.result()["mean"]  # [[2, 3]]
    ```
    """

    def __init__(self, name: str, shape: Iterable[int], num_parts: int):
        super().__init__(name=name, dtype="float64")
        self.shape = tuple(shape)
        self.num_parts = num_parts
        shapes = {"count": (), "mean": self.shape, "scatter": 2 * self.shape}
        self._kept = {
            key: examples.add_state(self, key, (num_parts, *shape), self.dtype)
            for key, shape in shapes.items()
        }

    @property
    def num_examples(self) -> int:
        """How many examples were added."""
        return int(tf.reduce_sum(self._kept["count"]))

    def update_state(self, rows: npt.ArrayLike) -> None:
        """Adds examples.

        Args:
            rows: Float64 `[batch, width]`.
        """
        variables = self._kept.values()
        seen = tf.cast(tf.reduce_sum(self._kept["count"]), tf.int32)
        parts = (seen + tf.range(tf.shape(rows)[0])) % self.num_parts
        olds = zip(*map(tf.unstack, variables), strict=True)
        news = [
            _merge_moments(old, _compute_moments(rows, tf.cast(parts == part, rows.dtype)))
            for part, old in enumerate(olds)
        ]
        for variable, values in zip(variables, zip(*news, strict=True), strict=True):
            variable.assign(tf.stack(values))

    def result(self) -> dict[str, tf.Tensor]:
        return {key: tf.convert_to_tensor(variable) for key, variable in self._kept.items()}

    def set_state(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Replaces the moments by those of a result.

        Raises:
            ValueError: If it is not a result of the same shape.
        """
        examples.check_names(state, self._kept)
        values = {
            key: examples.check_batch(state[key], f"state['{key}']", variable.shape[1:], self.dtype)
            for key, variable in self._kept.items()
        }
        for key, variable in self._kept.items():
            variable.assign(values[key])

    @staticmethod
    def size(kept: Mapping[str, np.ndarray]) -> int:
        """Returns the number of examples in a result."""
        return int(kept["count"].sum())

    @staticmethod
    def halves(kept: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
        """Returns the results of a result's two parts."""
        return tuple({k: values[part : part + 1] for k, values in kept.items()} for part in (0, 1))


def _make_moments(name, shape):
    return Moments(name, shape, num_parts=2 if name == "real" else 1)


def _compute_moments(rows, chosen):
    """Returns count, mean and scatter of the rows for which `chosen` is 1, not 0."""
    count = tf.reduce_sum(chosen)
    mean = tf.math.divide_no_nan(tf.linalg.matvec(rows, chosen, transpose_a=True), count)
    centred = (rows - mean) * chosen[:, tf.newaxis]
    return count, mean, tf.matmul(centred, centred, transpose_a=True)


def _merge_moments(old, new):
    """Returns count, mean and scatter of two groups of examples together."""
    (old_count, old_mean, old_scatter), (new_count, new_mean, new_scatter) = old, new
    count = old_count + new_count
    share = tf.math.divide_no_nan(new_count, count)
    shift = new_mean - old_mean
    between = tf.tensordot(shift, shift, axes=0) * (old_count * share)
    return count, old_mean + share * shift, old_scatter + new_scatter + between


def _factorize(covariance):
    """Returns F with `F F'` equal to the covariance; rounding below 0 is cut off."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))
