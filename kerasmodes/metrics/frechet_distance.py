"""`FrechetDistance`: the distance between Gaussians with the moments of two sets of features.

What makes features of images, and how examples come in, is not here: see `feature_metric.py`.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.metrics import examples, feature_metric


@keras.saving.register_keras_serializable(package="kerasmodes")
class FrechetDistance(feature_metric.FeatureMetric):
    """Squared Fréchet distance between real and generated features, each taken as Gaussian.

    `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`, with the means m and the (unbiased) covariances
    S of the two sides: Heusel et al. 2017 (arXiv 1706.08500), equation 6. It is 0 for equal moments
    and, unlike the other metrics, keeps only moments, whatever the number of examples. In the
    features of Inception it is the FID; in others its numbers are others.

    It is biased upwards. Two samples of n examples from one distribution, of d uncorrelated
    features of unit variance, are about `2 d / n + d (d + 1) / (2 n)` apart (to first order in
    1 / n; with sizes n1 and n2, put `1 / n1 + 1 / n2` for `2 / n`). So compare only results at the
    same n, and give the `floor()` with them: its halves hold n / 2 examples each, so its bias is
    twice that of a result with as many generated as real examples.

    Args:
        num_features: Width of the features that `update_state` is given, a positive int; or `None`
            if there is a network.
        network: Keras model, images to features `[batch, width]`, if `update_state` is given
            images. A configuration holds its layers: weights that its `build` does not bring along,
            as that of `feature_network` does, are to be set again after `from_config`.
        name: Name of the metric.

    Example:

    ```python
    features = np.random.default_rng(0).normal(size=(2_000, 8))
    metric = km.metrics.FrechetDistance(num_features=8)
    metric.update_state(real=features)
    metric.update_state(generated=features[:1_000] + 0.5)
    metric.result(), metric.floor()  # about 8 * 0.5**2, and 0.05
    ```
    """

    def __init__(self, num_features=None, network=None, name="frechet"):
        super().__init__(num_features, network, name, _make_moments)

    def _compare(self, real, generated):
        return [frechet_distance(*gaussian(real), *gaussian(generated))]


def frechet_distance(mean, covariance, other_mean, other_covariance):
    """Returns the squared Fréchet distance between two Gaussians, a float.

    With S = F F', the trace of (S1 S2)^(1/2) is the sum of the singular values of F1' F2: real and
    stable for covariances of any rank, where a square root of the product S1 S2 is not.

    Args:
        mean: Array `[width]`.
        covariance: Array `[width, width]`, symmetric and positive semi-definite.
        other_mean: The other Gaussian's mean.
        other_covariance: The other Gaussian's covariance.

    Example:

    ```python
    frechet_distance(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2))  # 1 + 1 + 1 + 1
    ```
    """
    factor, other_factor = _factor(covariance), _factor(other_covariance)
    overlap = np.linalg.svd(factor.T @ other_factor, compute_uv=False).sum()
    spread = np.sum(factor**2) + np.sum(other_factor**2) - 2 * overlap
    return float(np.sum((mean - other_mean) ** 2) + spread)


def gaussian(kept):
    """Returns mean `[width]` and unbiased covariance `[width, width]` of a result of `Moments`."""
    counts = kept["count"]
    mean = counts @ kept["mean"] / counts.sum()
    offsets = np.sqrt(counts)[:, np.newaxis] * (kept["mean"] - mean)
    return mean, (kept["scatter"].sum(axis=0) + offsets.T @ offsets) / (counts.sum() - 1)


class Moments(keras.metrics.Metric):
    """Keeps count, mean and scatter (sum of squares about the mean) of features, in float64.

    Examples are dealt out in turn to a number of parts, each with moments of its own. A batch's
    moments are merged with what is kept, so large means do no harm: Chan, Golub and LeVeque 1983,
    "Algorithms for computing the sample variance", pairwise updating.

    Args:
        name: "real" or "generated".
        shape: (number of features,).
        num_parts: Number of parts.

    Example:

    ```python
    kept = Moments("real", (2,), num_parts=1)
    kept.update_state(tf.constant([[1.0, 2.0], [3.0, 4.0]], "float64"))
    kept.result()["mean"]  # [[2, 3]]
    ```
    """

    def __init__(self, name, shape, num_parts):
        super().__init__(name=name, dtype="float64")
        self.shape = tuple(shape)
        self.num_parts = num_parts
        shapes = {"count": (), "mean": self.shape, "scatter": 2 * self.shape}
        self._kept = {
            key: examples.add_state(self, key, (num_parts, *shape), self.dtype)
            for key, shape in shapes.items()
        }

    @property
    def num_examples(self):
        return int(tf.reduce_sum(self._kept["count"]))

    def update_state(self, rows):
        variables = self._kept.values()
        seen = tf.cast(tf.reduce_sum(self._kept["count"]), tf.int32)
        parts = (seen + tf.range(tf.shape(rows)[0])) % self.num_parts
        olds = zip(*map(tf.unstack, variables), strict=True)
        news = [
            _merged(old, _moments(rows, tf.cast(parts == part, rows.dtype)))
            for part, old in enumerate(olds)
        ]
        for variable, values in zip(variables, zip(*news, strict=True), strict=True):
            variable.assign(tf.stack(values))

    def result(self):
        return {key: tf.convert_to_tensor(variable) for key, variable in self._kept.items()}

    def set_state(self, state):
        examples.check_names(state, self._kept)
        values = {
            key: examples.checked(state[key], f"state['{key}']", variable.shape[1:], self.dtype)
            for key, variable in self._kept.items()
        }
        for key, variable in self._kept.items():
            variable.assign(values[key])

    @staticmethod
    def size(kept):
        """Returns the number of examples in a result."""
        return int(kept["count"].sum())

    @staticmethod
    def halves(kept):
        """Returns the results of a result's two parts."""
        return tuple({k: values[part : part + 1] for k, values in kept.items()} for part in (0, 1))


def _make_moments(name, shape):
    return Moments(name, shape, num_parts=2 if name == "real" else 1)


def _moments(rows, chosen):
    """Returns count, mean and scatter of the rows for which `chosen` is 1, not 0."""
    count = tf.reduce_sum(chosen)
    mean = tf.math.divide_no_nan(tf.linalg.matvec(rows, chosen, transpose_a=True), count)
    centred = (rows - mean) * chosen[:, tf.newaxis]
    return count, mean, tf.matmul(centred, centred, transpose_a=True)


def _merged(old, new):
    (old_count, old_mean, old_scatter), (new_count, new_mean, new_scatter) = old, new
    count = old_count + new_count
    share = tf.math.divide_no_nan(new_count, count)
    shift = new_mean - old_mean
    between = tf.tensordot(shift, shift, axes=0) * (old_count * share)
    return count, old_mean + share * shift, old_scatter + new_scatter + between


def _factor(covariance):
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))
