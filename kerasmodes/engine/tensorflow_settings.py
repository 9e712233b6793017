"""What is set once a process, each with its reason: passes of TensorFlow's graph optimizer.

Checked with TensorFlow 2.21.

- `dependency_optimization` takes away orders that other nodes imply; some of those nodes are then
  folded to constants. What remains lets a bias be updated before a penalty on gradients has read
  it, in 8 of 471 starts of a small GAN: its numbers then depend on the threads.
- `remapping` fuses a dense layer or convolution with its ReLU to one operation of oneDNN, which
  makes 0 of NaN: a step would go on with finite losses and hide what went wrong.

Steps are not slower without the first, and at most 4 % without the second (medians of 40 turns,
convolutions with and without batch normalisation and dense layers of 1,024, inference too).
"""

import tensorflow as tf

OPTIMIZER_OPTIONS = {"dependency_optimization": False, "remapping": False}


def set_optimizer_options():
    """Sets the options that the user has not set; all others stay as they are."""
    given = tf.config.optimizer.get_experimental_options()
    missing = {name: value for name, value in OPTIMIZER_OPTIONS.items() if name not in given}
    tf.config.optimizer.set_experimental_options(missing)
