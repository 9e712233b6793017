"""What watches a run: pictures, metrics of generated images, warnings, and resuming after a stop.

Each file is one subject. The caller decides how a run is made and from which data.
"""

from kerasmodes.callbacks.generation_metrics import GenerationMetrics
from kerasmodes.callbacks.health import HealthCheck
from kerasmodes.callbacks.pictures import LossCurves, SampleGrid
from kerasmodes.callbacks.resume import Resume

__all__ = ["GenerationMetrics", "HealthCheck", "LossCurves", "Resume", "SampleGrid"]
