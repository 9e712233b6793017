"""Seeds for tests that use models which others have compiled."""

from unittest import mock

import keras
from tensorflow.python import pywrap_tfe


def set_seed(seed):
    """Sets the seeds that `keras.utils.set_random_seed` sets; TensorFlow keeps its kernels.

    Otherwise it prepares each compiled function again at its next call: 0.15 s for a small fit.
    What tests draw does not need it: kernels with a state are those of `tf.random.normal` and the
    like.
    """
    with mock.patch.object(pywrap_tfe, "TFE_ContextClearCaches"):
        keras.utils.set_random_seed(seed)
