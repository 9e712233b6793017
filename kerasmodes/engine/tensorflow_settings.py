"""What is set once a process, each with its reason, and never over what the user has set.

Checked with TensorFlow 2.20 and 2.21.
"""

import os

import tensorflow as tf

# Passes of TensorFlow's graph optimizer.
#
# - `dependency_optimization` takes away orders that other nodes imply; some of those nodes are then
#   folded to constants. What remains lets a bias be updated before a penalty on gradients has read
#   it, in 8 of 471 starts of a small GAN: its numbers then depend on the threads.
# - `remapping` fuses a dense layer or convolution with its ReLU to one operation of oneDNN, which
#   makes 0 of NaN: a step would continue with finite losses and hide what went wrong.
#
# Steps are not slower without the first, and at most 4 % without the second (medians of 40 turns,
# convolutions with and without batch normalisation and dense layers of 1,024, inference too).
GRAPH_OPTIONS = {"dependency_optimization": False, "remapping": False}

XLA_FLAG = "--xla_backend_extra_options="
XLA_OPTIONS = {
    # XLA:CPU runs a loop kernel by kernel, at about 50 nanoseconds each, unless one round touches
    # less memory than this, in bytes: then the loop becomes one function, 2 to 8 times faster for
    # small steps. Its matrix products are plain loops, slower than Eigen's for larger ones.
    "xla_cpu_small_while_loop_byte_threshold": "131072",
    # Loops over a few dozen numbers, such as an optimizer's over a small kernel, were unrolled into
    # scalar code before they could be vectorised: 1.9 against 1.1 microseconds for a small network.
    "xla_cpu_disable_loop_unrolling": "",
}


def set_graph_options() -> None:
    """Sets the options that the user has not set; all others stay as they are."""
    given = tf.config.optimizer.get_experimental_options()
    missing = {name: value for name, value in GRAPH_OPTIONS.items() if name not in given}
    tf.config.optimizer.set_experimental_options(missing)


def set_xla_cpu_flags() -> None:
    """Adds the options for small loops to `XLA_FLAGS`, but for those that the user has set.

    XLA reads that variable when it first compiles; what it compiled before keeps its speed.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    extra = next((flag for flag in flags if flag.startswith(XLA_FLAG)), XLA_FLAG)
    own = [
        f"{name}={value}" if value else name
        for name, value in XLA_OPTIONS.items()
        if name not in extra
    ]
    options = ",".join(filter(None, [extra.removeprefix(XLA_FLAG), *own]))
    os.environ["XLA_FLAGS"] = " ".join([*(f for f in flags if f != extra), XLA_FLAG + options])
