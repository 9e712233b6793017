"""MSG-GAN: the model, its presets, and what they are made of."""

from kerasmodes.models.msg_gan.model import MSGGAN

__all__ = ["MSGGAN"]
