"""Metrics that judge generated images, each a `keras.metrics.Metric` with streaming state.

Where the images come from, and when they are judged, is not here: the caller brings them.
"""

from kerasmodes.metrics.density_coverage import DensityCoverage
from kerasmodes.metrics.feature_network import feature_network
from kerasmodes.metrics.frechet_distance import FrechetDistance
from kerasmodes.metrics.image_judge import ImageJudge
from kerasmodes.metrics.kernel_distance import KernelDistance
from kerasmodes.metrics.memorisation import distance_ratio
from kerasmodes.metrics.precision_recall import PrecisionRecall
from kerasmodes.metrics.sliced_wasserstein_distance import SlicedWassersteinDistance

__all__ = [
    "DensityCoverage",
    "FrechetDistance",
    "ImageJudge",
    "KernelDistance",
    "PrecisionRecall",
    "SlicedWassersteinDistance",
    "distance_ratio",
    "feature_network",
]
