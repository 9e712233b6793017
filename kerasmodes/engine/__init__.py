"""How a step is run: the classes that give a Keras model its modes, and what they need of Keras."""

from kerasmodes.engine import tensorflow_settings
from kerasmodes.engine.model import Model, Sequential, with_modes
from kerasmodes.engine.modes_mixin import ModesMixin
from kerasmodes.engine.optimizers import build_optimizer
from kerasmodes.engine.plain_models import to_keras

__all__ = ["Model", "ModesMixin", "Sequential", "build_optimizer", "to_keras", "with_modes"]

tensorflow_settings.set_graph_options()
tensorflow_settings.set_xla_cpu_flags()
