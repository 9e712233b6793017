"""The two models; their data and strategies come from the caller, never from here."""

from kerasmodes.models.msg_gan.model import MSGGAN
from kerasmodes.models.sum_regressor import SumRegressor

__all__ = ["MSGGAN", "SumRegressor"]
