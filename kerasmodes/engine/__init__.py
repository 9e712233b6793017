"""How a step is run: the classes that give a Keras model its modes, and what they need of Keras."""

from kerasmodes.engine import tensorflow_settings, xla_flags
from kerasmodes.engine.compile_config import build_optimizer
from kerasmodes.engine.model import Model, ModesMixin, with_modes

__all__ = ["Model", "ModesMixin", "build_optimizer", "with_modes"]

tensorflow_settings.set_optimizer_options()
xla_flags.ask_for_whole_loops()
