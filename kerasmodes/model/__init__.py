"""How a step is run: the classes that give a Keras model its modes, and what they need of Keras."""

from kerasmodes.model import tensorflow_settings
from kerasmodes.model.modes_mixin import Model, ModesMixin, with_modes

__all__ = ["Model", "ModesMixin", "with_modes"]

tensorflow_settings.set_optimizer_options()
