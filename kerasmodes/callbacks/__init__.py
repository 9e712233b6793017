"""What watches a run: pictures, metrics of generated images, warnings, stops, and resuming.

Each file is one subject. The caller decides how a run is made and from which data.
"""

from kerasmodes.callbacks.generation_metrics import GenerationMetrics
from kerasmodes.callbacks.health import HealthCheck
from kerasmodes.callbacks.nan_guard import NaNGuard
from kerasmodes.callbacks.nan_report import NaNReport
from kerasmodes.callbacks.pictures import LossCurves, SampleGrid
from kerasmodes.callbacks.resume import Resume

__all__ = [
    "GenerationMetrics",
    "HealthCheck",
    "LossCurves",
    "NaNGuard",
    "NaNReport",
    "Resume",
    "SampleGrid",
]
