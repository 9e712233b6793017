"""The sum regressor's data for every peer: the same draws as `km.data.sums`.

kerasmodes is not imported here: the processes of JAX and PyTorch must run without it.
"""

import numpy as np

UNITS = (20, 10)


def sums(num_samples, num_features=20, seed=0):
    """Returns rows of standard normals `[num_samples, num_features]` and the sum of each."""
    x = np.random.default_rng(seed).standard_normal((num_samples, num_features), dtype="float32")
    return x, x.sum(axis=1, keepdims=True)


def summarize_times(seconds, num_steps, call_seconds):
    """Returns the result of a run: µs per step of each epoch, and of the whole call."""
    return {
        "samples": [1e6 * s / num_steps for s in seconds],
        "whole_call": 1e6 * call_seconds / (num_steps * len(seconds)),
    }
