"""What watches a run or steers it: pictures, metrics of generated images, warnings, stops,
resuming, eager first steps, and Keras's callbacks for one of several optimizers.

Each file is one subject. The caller decides how a run is made and from which data.
"""

from kerasmodes.callbacks.eager_steps import EagerSteps
from kerasmodes.callbacks.for_optimizer import ForOptimizer
from kerasmodes.callbacks.generation_metrics import GenerationMetrics
from kerasmodes.callbacks.health import HealthCheck
from kerasmodes.callbacks.nan_guard import NaNGuard
from kerasmodes.callbacks.nan_report import NaNReport
from kerasmodes.callbacks.pictures import LossCurves, SampleGrid
from kerasmodes.callbacks.resume import Resume

__all__ = [
    "EagerSteps",
    "ForOptimizer",
    "GenerationMetrics",
    "HealthCheck",
    "LossCurves",
    "NaNGuard",
    "NaNReport",
    "Resume",
    "SampleGrid",
]
