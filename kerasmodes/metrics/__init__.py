"""Metrics of generated images, most of them `keras.metrics.Metric`s with streaming state.

The caller brings the images and decides when to compare them.
"""

from kerasmodes.metrics.density_coverage import DensityCoverage
from kerasmodes.metrics.factor_coverage import factor_coverage
from kerasmodes.metrics.feature_network import feature_network
from kerasmodes.metrics.frechet_distance import FrechetDistance
from kerasmodes.metrics.image_evaluator import ImageEvaluator
from kerasmodes.metrics.kernel_distance import KernelDistance
from kerasmodes.metrics.memorisation import distance_ratio
from kerasmodes.metrics.precision_recall import PrecisionRecall
from kerasmodes.metrics.sliced_wasserstein_distance import SlicedWassersteinDistance

__all__ = [
    "DensityCoverage",
    "FrechetDistance",
    "ImageEvaluator",
    "KernelDistance",
    "PrecisionRecall",
    "SlicedWassersteinDistance",
    "distance_ratio",
    "factor_coverage",
    "feature_network",
]
