"""`km.tuning`: both models' search spaces for keras-tuner, and one call that runs a search.

How a model trains is not here (`models/`, `engine/`), nor is a search in several processes.
"""

from kerasmodes.tuning.batch_size import BatchSize
from kerasmodes.tuning.best_trials import best_trials_table, save_best_model
from kerasmodes.tuning.msg_gan import MSGGANHyperModel
from kerasmodes.tuning.sum_regressor import SumRegressorHyperModel
from kerasmodes.tuning.tuners import search

__all__ = [
    "BatchSize",
    "MSGGANHyperModel",
    "SumRegressorHyperModel",
    "best_trials_table",
    "save_best_model",
    "search",
]
