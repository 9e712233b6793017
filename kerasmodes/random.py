"""Random numbers that are the same in every mode and on any number of replicas, differ for each
example and step, and whose state is saved with the model. Initial weights are not drawn here: they
are Keras's initializers'.

XLA draws other floats than TensorFlow's kernels for the same seed, but the same Philox integers.
So every draw here starts from full-range 32-bit integers and is turned into floats by arithmetic
that all modes share. A seed is a key of Philox; its second number and the place of a number in the
draw are the counter, so a replica can begin where its examples do (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3", section 2).
"""

import math
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments, replicas

__all__ = ["Dropout", "SeedGenerator", "normal", "uniform"]

PHILOX = 1
# Philox makes 128 bits at a time: words of 32 bits, or half words.
WORDS, HALVES = 4, 8


@keras.saving.register_keras_serializable(package="kerasmodes")
class SeedGenerator(keras.layers.Layer):
    """A stream of seeds that belongs to a model or layer and is saved with it.

    Like `keras.random.SeedGenerator`, but its state goes into `.keras` and `.weights.h5` files (as
    the attribute of any layer or model). It has no weights: parameter counts do not change.

    Args:
        seed: Int that starts the stream; `None` draws one from Python's `random`, which
            `keras.utils.set_random_seed` controls.

    Example:

    ```python
    class Noise(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = km.random.SeedGenerator(0)

        def call(self, x):
            return x + km.random.normal(tf.shape(x), seed=self.seed_generator)
    ```
    """

    def __init__(self, seed=None, **kwargs):
        arguments.check_seed(seed, can_be_none=True, can_be_negative=True)
        seed = seed if seed is None else int(seed)  # NumPy's, too
        super().__init__(**kwargs)
        self.seed = seed
        self._generator = keras.random.SeedGenerator(seed)
        self.built = True

    @property
    def state(self):
        """The stream's variable: int64 `[2]`, the seed and the number of seeds taken."""
        return self._generator.state

    def next(self):
        """Returns the next seed, an int64 tensor `[2]`: the same one on each replica.

        The draws of this module take it from there. For a `tf.random` operation of your own, fold
        the replica in: `tf.random.experimental.stateless_fold_in`.
        """
        return self._generator.next()

    def save_own_variables(self, store):
        store["state"] = keras.ops.convert_to_numpy(self.state)

    def load_own_variables(self, store):
        self.state.assign(store["state"])

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def uniform(shape: Any, minval: float = 0.0, maxval: float = 1.0, *, seed: Any):
    """Returns float32 numbers, uniform in `[minval, maxval)`, on a grid of 2**24 steps.

    Args:
        shape: Shape of the result: ints, or an integer tensor.
        minval: Lower bound, included.
        maxval: Upper bound, not included.
        seed: A `km.random.SeedGenerator` (new numbers each call) or an int (the same ones).

    Returns:
        A float32 tensor of that shape.

    Raises:
        TypeError: If `seed` is neither.

    Example:

    ```python
    alpha = km.random.uniform((8, 1), seed=0)
    ```
    """
    shape = _as_tensor(shape)
    words = _words(tf.reduce_prod(shape), _next_seed(seed))
    return minval + (maxval - minval) * tf.reshape(_unit(words), shape)


def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, *, seed: Any):
    """Returns float32 numbers from a normal distribution, by Box and Muller's transform.

    Values reach 5.8 standard deviations, the limit of 24 random bits. Eager and graph agree to the
    bit, XLA within 2.4e-7. Source: Box and Muller 1958, equation 1.

    Args:
        shape: Shape of the result: ints, or an integer tensor.
        mean: Mean of the distribution.
        stddev: Its standard deviation.
        seed: A `km.random.SeedGenerator` (new numbers each call) or an int (the same ones).

    Returns:
        A float32 tensor of that shape.

    Raises:
        TypeError: If `seed` is neither.

    Example:

    ```python
    latents = km.random.normal((16, 100), seed=km.random.SeedGenerator(0))
    ```
    """
    shape = _as_tensor(shape)
    words = _words(2 * tf.reduce_prod(shape), _next_seed(seed))
    first, second = tf.unstack(tf.reshape(_unit(words), [-1, 2]), axis=1)
    radius = tf.sqrt(-2.0 * tf.math.log(first + 2.0**-24))
    return mean + stddev * tf.reshape(radius * tf.cos(2.0 * math.pi * second), shape)


@keras.saving.register_keras_serializable(package="kerasmodes")
class Dropout(keras.layers.Layer):
    """`keras.layers.Dropout` whose masks are bit-equal in every mode and differ on each replica.

    In training each input is set to 0 with probability `rate` and the others are scaled by
    `1 / (1 - rate)`; otherwise the inputs pass unchanged. Source: Srivastava et al. 2014,
    section 4, with the scaling moved to training.

    Args:
        rate: Float in `[0, 1)`; taken to the nearest multiple of 2**-16, as is the scaling.
        seed: Int that starts the stream of masks, or `None`.

    Example:

    ```python
    y = km.random.Dropout(0.3, seed=1)(tf.ones((2, 4)), training=True)
    ```
    """

    def __init__(self, rate, seed=None, **kwargs):
        if not arguments.is_number(rate) or not 0 <= rate < 1:
            raise ValueError(f"`rate` must be a number in [0, 1). Received: rate={rate!r}")
        super().__init__(**kwargs)
        self.rate = rate
        self._threshold = min(round(rate * 2**16), 2**16 - 1)
        self.seed_generator = SeedGenerator(seed, name="seed_generator")
        self.supports_masking = True
        self.built = True

    def call(self, inputs, training=False):
        if not training or self._threshold == 0:
            return inputs
        kept = tf.cast(self._draw_kept(tf.shape(inputs)), inputs.dtype)
        return inputs * (kept * (2**16 / (2**16 - self._threshold)))

    def _draw_kept(self, shape):
        """Returns booleans of that shape: two a word, since drawing is what takes the time."""
        size = tf.reduce_prod(shape)
        block, lead = _place(size, HALVES)
        words = _philox(block, (lead + size + 1) // 2, self.seed_generator.next())
        halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[lead : lead + size]
        return tf.reshape(halves >= tf.constant(self._threshold, tf.uint16), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed_generator.seed}

    def make_plain(self):
        """Returns Keras's layer for `km.to_keras`; it draws other masks."""
        return keras.layers.Dropout(self.rate, name=self.name, dtype=self.dtype_policy)


def _next_seed(seed):
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, int) and not isinstance(seed, bool):
        return tf.constant([seed, 0], tf.int64)
    raise TypeError(
        f"`seed` must be a km.random.SeedGenerator or an integer. Received: seed={seed!r}"
    )


def _as_tensor(shape):
    if tf.is_tensor(shape):
        return tf.cast(shape, tf.int32)
    return tf.convert_to_tensor(shape, tf.int32)


def _words(count, seed):
    """Returns this replica's `count` words of a draw."""
    block, lead = _place(count, WORDS)
    return _philox(block, lead + count, seed)[lead:]


def _place(count, of_a_block):
    """Returns in which block of Philox this replica's numbers begin, and how many come before.

    Replicas draw for their examples what one device would: numbers of a draw are taken to lie
    example by example.

    Args:
        count: How many numbers this replica draws.
        of_a_block: How many a block holds.
    """
    place = replicas.shard_index()
    if place == 0:
        return 0, 0
    first = place * tf.cast(count, tf.int64)
    return first // of_a_block, tf.cast(first % of_a_block, tf.int32)


def _philox(block, count, seed):
    """Returns `count` words of the sequence that belongs to a seed, from that block on."""
    key, high = tf.split(tf.bitcast(seed, tf.uint64), 2)
    counter = tf.concat([tf.cast([block], tf.uint64), high], axis=0)
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[count], key=key, counter=counter, alg=PHILOX, dtype=tf.uint32
    )


def _unit(words):
    """Returns the top 24 bits as float32 in [0, 1): each value is exact."""
    return tf.cast(tf.bitwise.right_shift(words, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
