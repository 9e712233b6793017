"""Seeds for tests that use models which others have compiled."""

import random

import numpy as np

from kerasmodes.engine import keras_private


def set_seed(seed):
    """Sets the seeds from which weights, orders of arrays and Keras's draws follow.

    `keras.utils.set_random_seed` sets that of TensorFlow's own draws, too, of which tests have few.
    With it, TensorFlow prepares each compiled function again at its next call: 0.15 s for a small
    fit.
    """
    random.seed(seed)
    np.random.seed(seed)
    keras_private.set_global_seeds(None)
