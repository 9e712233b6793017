"""Seeds for tests that use models which others have compiled."""

import random

import numpy as np
import tensorflow as tf

from kerasmodes.engine import keras_private


def set_seed(seed):
    """Sets the seeds of weights, orders, Keras's draws and TensorFlow's, as Keras would.

    TensorFlow's own seed is set only where another test has changed it: each time it is set,
    TensorFlow prepares each compiled function again at its next call, 0.15 s for a small fit.
    """
    random.seed(seed)
    np.random.seed(seed)
    keras_private.set_global_seeds(None)
    if tf.compat.v1.get_seed(1)[0] != seed:
        tf.random.set_seed(seed)
