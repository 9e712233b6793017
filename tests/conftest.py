"""What must happen before TensorFlow starts, and what several test files share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

import kerasmodes as km

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def _seeded():
    """The same initial weights in every run, whichever tests ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def two_replicas():
    """A strategy with one replica on each of two logical CPU devices."""
    return km.get_strategy("cpu:2")
