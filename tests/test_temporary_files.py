"""Tests of what a killed program leaves in the folder of temporary files: nothing of this package.

TensorFlow writes each function that it converts (AutoGraph) to a file, and removes it at the end of
the program. What it has converted is in `sys.modules`.
"""

import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km
from kerasmodes.engine import super_batches
from kerasmodes.models.msg_gan import training_images

X = np.zeros((4, 3), "float32")
IMAGES = np.zeros((4, 4, 4, 1), "float32")


def list_names(code):
    """Yields the name of a piece of code, and of all functions in it."""
    yield code.co_name
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from list_names(constant)


def find_converted():
    """Returns the names of the functions that TensorFlow has converted in this process."""
    return {
        name.removeprefix("tf__")
        for module_name, module in list(sys.modules.items())
        if module_name.startswith("__autograph_generated_file")
        for name in list_names(module.outer_factory.__code__)
    }


def read_images():
    next(iter(km.data.images("fashion_mnist_sample", split="test[:4]", batch_size=4)))


def check_images_of_a_gan():
    data = tf.data.Dataset.from_tensor_slices((IMAGES, [0, 1, 0, 1])).batch(4)
    checked, _ = training_images.check_data(data, None, (4, 4, 1), num_classes=2)
    next(iter(checked))


def stack_batches_without_targets():
    data = tf.data.Dataset.from_tensor_slices((X, None, X[:, 0])).batch(2)
    next(super_batches.SuperBatchStream(data, 2))


@pytest.mark.parametrize(
    ("run", "names"),
    [
        (read_images, {"_scale"}),
        (check_images_of_a_gan, {"_check_lazily", "_split_batch", "_assert_within"}),
        (stack_batches_without_targets, {"_drop_missing"}),
    ],
)
def test_functions_for_data_sets_are_not_converted(run, names):
    run()
    assert not names & find_converted()


def test_what_users_map_is_converted():
    """Shows that the test above would find it."""

    def double_by_the_user(x):
        return 2 * x

    next(iter(tf.data.Dataset.from_tensor_slices(X).map(double_by_the_user)))
    assert "double_by_the_user" in find_converted()
