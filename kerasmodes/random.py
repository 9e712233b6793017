"""Random numbers that are the same in every mode, differ on each replica and step, and whose
state is saved with the model. Initial weights are not drawn here: they are Keras's initializers'.

XLA draws other floats than TensorFlow's kernels for the same seed, but the same Philox integers.
So every draw here starts from full-range 32-bit integers and is turned into floats by arithmetic
that all modes share (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
"""

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kerasmodes")
class SeedGenerator(keras.layers.Layer):
    """A stream of seeds that belongs to a model or layer and is saved with it.

    Like `keras.random.SeedGenerator`, but its state goes into `.keras` and `.weights.h5` files (as
    the attribute of any layer or model), and each replica of a strategy gets its own seeds. It has
    no weights: parameter counts do not change.

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
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")
        super().__init__(**kwargs)
        self.seed = seed
        self._generator = keras.random.SeedGenerator(seed)
        self.built = True

    @property
    def state(self):
        """The stream's variable: int64 `[2]`, the seed and the number of seeds taken."""
        return self._generator.state

    def next(self):
        """Returns the next seed, an int64 tensor `[2]`, distinct on each replica."""
        return _fold_in_replica(self._generator.next())

    def save_own_variables(self, store):
        store["state"] = keras.ops.convert_to_numpy(self.state)

    def load_own_variables(self, store):
        self.state.assign(store["state"])

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def uniform(shape, minval=0.0, maxval=1.0, *, seed):
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
    return minval + (maxval - minval) * _unit(_bits(shape, _next_seed(seed)))


def normal(shape, mean=0.0, stddev=1.0, *, seed):
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
    bits = _bits(tf.concat([[2], shape], axis=0), _next_seed(seed))
    radius = tf.sqrt(-2.0 * tf.math.log(_unit(bits[0]) + 2.0**-24))
    return mean + stddev * radius * tf.cos(2.0 * math.pi * _unit(bits[1]))


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
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
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
        """Returns booleans of that shape: two an integer, since drawing is what takes the time."""
        size = tf.reduce_prod(shape)
        bits = _bits([(size + 1) // 2], self.seed_generator.next())
        numbers = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
        return tf.reshape(numbers >= tf.constant(self._threshold, tf.uint16), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed_generator.seed}


def _next_seed(seed):
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, int) and not isinstance(seed, bool):
        return _fold_in_replica(tf.constant([seed, 0], tf.int64))
    raise TypeError(
        f"`seed` must be a km.random.SeedGenerator or an integer. Received: seed={seed!r}"
    )


def _fold_in_replica(seed):
    replica = tf.distribute.get_replica_context()
    replica_id = 0 if replica is None else replica.replica_id_in_sync_group
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(replica_id, seed.dtype), "philox")


def _bits(shape, seed):
    return tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )


def _unit(bits):
    """Returns the top 24 bits as float32 in [0, 1): each value is exact."""
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24
