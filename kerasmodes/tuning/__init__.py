"""`km.tuning`: both models' search spaces for keras-tuner, a call that searches, and its results.

How a model trains is not here (`models/`, `engine/`).
"""

from kerasmodes.tuning.batch_size import BatchSize
from kerasmodes.tuning.importance import measure_importance
from kerasmodes.tuning.msg_gan import MSGGANHyperModel
from kerasmodes.tuning.pictures import plot_search
from kerasmodes.tuning.results import (
    best_trials_table,
    save_best_model,
    save_trials,
    write_hparams,
)
from kerasmodes.tuning.sum_regressor import SumRegressorHyperModel
from kerasmodes.tuning.tuners import search
from kerasmodes.tuning.worker_processes import launch_workers
from kerasmodes.tuning.workers import find_role

__all__ = [
    "BatchSize",
    "MSGGANHyperModel",
    "SumRegressorHyperModel",
    "best_trials_table",
    "find_role",
    "launch_workers",
    "measure_importance",
    "plot_search",
    "save_best_model",
    "save_trials",
    "search",
    "write_hparams",
]
