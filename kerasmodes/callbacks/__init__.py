"""What watches a run: pictures, metrics of generated images, warnings, and going on after a stop.

Each file is one subject. How a run is made, and by which data, is the caller's business.
"""

from kerasmodes.callbacks.generation_metrics import GenerationMetrics
from kerasmodes.callbacks.health import HealthCheck
from kerasmodes.callbacks.pictures import LossCurves, SampleGrid
from kerasmodes.callbacks.resume import Resume

__all__ = ["GenerationMetrics", "HealthCheck", "LossCurves", "Resume", "SampleGrid"]
