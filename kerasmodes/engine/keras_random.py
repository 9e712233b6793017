"""What `keras.random`, and so each layer of Keras that draws, draws under XLA and on replicas.

For one seed TensorFlow's kernels and XLA have the same Philox words and make other floats of them,
and each replica draws what the others do. Here floats are made of the words as the kernels make
them (the lowest bits are the fraction; Box and Muller's transform of pairs, sine before cosine),
so each mode draws what a graph does, and a replica what one device draws for its examples. Where
Keras's own functions have these numbers already, they are called.
"""

import math
import typing
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import replicas
from kerasmodes.engine import keras_private

PHILOX, WORDS_OF_A_BLOCK = 1, 4
# The bits of a word that are a number's fraction; of float64, those of the first of two words.
FRACTIONS = {tf.float32: 23, tf.float16: 10, tf.bfloat16: 7, tf.float64: 20}
LEAST = 1e-7  # What the kernels take the logarithm of, at least.


def replace_draws() -> None:
    """Lets functions of `keras.random` draw as in a graph on one device, wherever they run.

    `truncated_normal` and `categorical` are left: of their numbers the kernels throw some away, or
    share the work out among threads. `gamma`, `beta` and `binomial` XLA cannot compile.
    """
    keras_private.replace_random_functions(
        {
            "uniform": _draw_uniform,
            "normal": _draw_normal,
            "randint": _draw_integers,
            "dropout": _drop,
            "shuffle": _shuffle,
        }
    )


class _Place(typing.NamedTuple):
    """Where a replica's numbers begin in a draw for the global batch, and how many they are."""

    first: Any
    count: Any


def _find_place(shape, is_of_examples, differs_in_xla=True):
    """Returns the place of a draw, or `None` where Keras's own numbers are right."""
    index = replicas.shard_index() if replicas.has_shard() and is_of_examples else 0
    if index == 0 and not (differs_in_xla and keras_private.is_traced_for_xla()):
        return None
    count = tf.reduce_prod(shape)
    return _Place(index and index * tf.cast(count, tf.int64), count)


def _is_of_examples(shape):
    """Returns whether a draw has a number, or some, for each of the replica's examples."""
    sizes = tf.get_static_value(shape, partial=True)
    return sizes is not None and len(sizes) > 0 and sizes[0] == replicas.num_examples()


def _draw_uniform(keras_uniform, shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    sizes = _as_tensor(shape)
    place = _find_place(sizes, _is_of_examples(sizes))
    if place is None:
        return keras_uniform(shape, minval, maxval, dtype=dtype, seed=seed)
    dtype = tf.as_dtype(keras.utils.standardize_dtype(dtype))
    minval, maxval = tf.cast(minval, dtype), tf.cast(maxval, dtype)
    fractions = _draw_fractions(place, sizes, dtype, keras_private.draw_seed(seed))
    return fractions * (maxval - minval) + minval


def _draw_normal(keras_normal, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    sizes = _as_tensor(shape)
    place = _find_place(sizes, _is_of_examples(sizes))
    if place is None:
        return keras_normal(shape, mean, stddev, dtype=dtype, seed=seed)
    dtype = tf.as_dtype(keras.utils.standardize_dtype(dtype))
    wide = tf.float64 if dtype == tf.float64 else tf.float32
    fractions, lead = _draw_from_block(place, wide, keras_private.draw_seed(seed), is_of_pairs=True)
    first, second = tf.unstack(tf.reshape(fractions, [-1, 2]), axis=1)
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(first, tf.constant(LEAST, wide))))
    angle = 2.0 * math.pi * second
    numbers = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=1)
    numbers = tf.reshape(tf.reshape(numbers, [-1])[lead : lead + place.count], sizes)
    stddev, mean = tf.convert_to_tensor(stddev, dtype), tf.convert_to_tensor(mean, dtype)
    return tf.cast(numbers, dtype) * stddev + mean


def _draw_integers(keras_randint, shape, minval, maxval, dtype="int32", seed=None):
    sizes = _as_tensor(shape)
    place = _find_place(sizes, _is_of_examples(sizes), differs_in_xla=False)
    if place is None:
        return keras_randint(shape, minval, maxval, dtype=dtype, seed=seed)
    drawn = tf.int32 if dtype == "int32" else tf.int64
    unsigned = tf.uint32 if drawn == tf.int32 else tf.uint64
    words, lead = _draw_words(place, drawn.size // 4, keras_private.draw_seed(seed))
    if drawn == tf.int64:
        words = tf.bitcast(tf.reshape(words, [-1, 2]), tf.uint64)
    minval, maxval = tf.cast(minval, drawn), tf.cast(maxval, drawn)
    rests = words[lead : lead + place.count] % tf.bitcast(maxval - minval, unsigned)
    return tf.cast(tf.reshape(minval + tf.bitcast(rests, drawn), sizes), dtype)


def _drop(keras_dropout, inputs, rate, noise_shape=None, seed=None):
    sizes = _as_tensor(keras_private.find_noise_shape(inputs, noise_shape))
    is_of_examples = not isinstance(inputs, keras.Variable) and _is_of_activations(sizes)
    place = _find_place(sizes, is_of_examples) if 0 < rate < 1 else None
    if place is None:
        return keras_dropout(inputs, rate, noise_shape=noise_shape, seed=seed)
    inputs = tf.convert_to_tensor(inputs)
    fractions = _draw_fractions(place, sizes, inputs.dtype, keras_private.draw_seed(seed))
    scaled = inputs * tf.constant(1 / (1 - rate), inputs.dtype)
    return tf.where(fractions >= tf.constant(rate, inputs.dtype), scaled, tf.zeros_like(scaled))


def _is_of_activations(shape):
    """Returns whether what is dropped may be of the replica's examples: some rows for each one."""
    sizes = tf.get_static_value(shape, partial=True)
    if sizes is None or len(sizes) == 0 or not replicas.num_examples():
        return False
    return sizes[0] is not None and sizes[0] % replicas.num_examples() == 0


def _shuffle(keras_shuffle, x, axis=0, seed=None):
    sizes = tf.shape(x)[axis][tf.newaxis]
    place = _find_place(sizes, _is_of_examples(sizes))
    if place is None:
        return keras_shuffle(x, axis=axis, seed=seed)
    fractions = _draw_fractions(place, sizes, tf.float32, keras_private.draw_seed(seed))
    return tf.gather(x, tf.argsort(fractions), axis=axis)


def _draw_fractions(place, shape, dtype, seed):
    """Returns numbers of `[0, 1)` in that shape."""
    fractions, lead = _draw_from_block(place, dtype, seed)
    return tf.reshape(fractions[lead : lead + place.count], shape)


def _draw_from_block(place, dtype, seed, is_of_pairs=False):
    """Returns numbers of `[0, 1)`, and how many of them come before the first of the place."""
    words, lead = _draw_words(place, 2 if dtype == tf.float64 else 1, seed, is_of_pairs)
    mask = tf.constant(2 ** FRACTIONS[dtype] - 1, tf.uint32)
    if dtype != tf.float64:
        return tf.cast(words & mask, dtype) * tf.cast(2.0 ** -FRACTIONS[dtype], dtype), lead
    high, low = tf.unstack(tf.cast(tf.reshape(words, [-1, 2]), tf.uint64), axis=1)
    fraction = (high & tf.cast(mask, tf.uint64)) * 2**32 + low
    return tf.cast(fraction, tf.float64) * 2.0**-52, lead


def _draw_words(place, of_a_number, seed, is_of_pairs=False):
    """Returns the words of a place's numbers, from the block of Philox on in which they begin.

    Args:
        place: Which numbers.
        of_a_number: How many words make one.
        seed: int32 tensor `[2]`.
        is_of_pairs: Whether an even number is needed.

    Returns:
        uint32 words, and how many numbers are before the first.
    """
    of_a_block = WORDS_OF_A_BLOCK // of_a_number
    block, lead = place.first // of_a_block, tf.cast(place.first % of_a_block, tf.int32)
    count = lead + place.count
    count += count % 2 if is_of_pairs else 0
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    skipped = tf.stack([tf.cast(block, tf.uint64), tf.constant(0, tf.uint64)])
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[of_a_number * count], key=key, counter=counter + skipped, alg=PHILOX, dtype=tf.uint32
    )
    return words, lead


def _as_tensor(shape):
    return (
        tf.cast(shape, tf.int32) if tf.is_tensor(shape) else tf.convert_to_tensor(shape, tf.int32)
    )
