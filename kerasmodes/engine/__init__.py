"""How a step is run: the classes that give a Keras model its modes, and what they need of Keras."""

from kerasmodes.engine import tensorflow_settings
from kerasmodes.engine.compile_config import build_optimizer
from kerasmodes.engine.model import Model, with_modes
from kerasmodes.engine.modes_mixin import ModesMixin

__all__ = ["Model", "ModesMixin", "build_optimizer", "with_modes"]

tensorflow_settings.set_graph_options()
tensorflow_settings.set_xla_cpu_flags()
