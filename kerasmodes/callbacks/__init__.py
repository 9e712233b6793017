"""What watches a run or steers it: pictures, TensorBoard, MLflow, W&B, a record of the run, metrics
of generated images, warnings, stops, resuming after them, eager first steps, one of the optimizers.

Each file is one subject. The caller decides how a run is made and from which data.
"""

from kerasmodes.callbacks.eager_steps import EagerSteps
from kerasmodes.callbacks.for_optimizer import ForOptimizer
from kerasmodes.callbacks.generation_metrics import GenerationMetrics
from kerasmodes.callbacks.health import HealthCheck
from kerasmodes.callbacks.mlflow import MLflow
from kerasmodes.callbacks.nan_guard import NaNGuard
from kerasmodes.callbacks.nan_report import NaNReport
from kerasmodes.callbacks.pictures import LossCurves, SampleGrid
from kerasmodes.callbacks.resume import Resume
from kerasmodes.callbacks.run_record import RunRecord
from kerasmodes.callbacks.tensorboard import TensorBoard
from kerasmodes.callbacks.wandb import WandB

__all__ = [
    "EagerSteps",
    "ForOptimizer",
    "GenerationMetrics",
    "HealthCheck",
    "LossCurves",
    "MLflow",
    "NaNGuard",
    "NaNReport",
    "Resume",
    "RunRecord",
    "SampleGrid",
    "TensorBoard",
    "WandB",
]
