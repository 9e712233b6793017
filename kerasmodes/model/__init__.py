"""How a step is run: the classes that give a Keras model its modes, and what they need of Keras."""

from kerasmodes.model import update_order
from kerasmodes.model.modes_mixin import Model, ModesMixin, with_modes

__all__ = ["Model", "ModesMixin", "with_modes"]

update_order.keep()
