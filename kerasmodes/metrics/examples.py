"""Examples of one side of a comparison: checked as they come, and kept as they are.

Keeping only their moments is in `frechet_distance.py`; the two sides meet in `two_samples.py`.
Checks of values raise at once, in a `tf.function` when it runs; XLA leaves them out.
"""

import keras
import tensorflow as tf


class Examples(keras.metrics.Metric):
    """Keeps examples as they are, in float32, up to a number for which memory is taken at once.

    Its result is a dict with the array `examples`.

    Args:
        name: "real" or "generated".
        shape: Shape of one example.
        max_samples: The most examples; one more is an error, since a metric that leaves out the
            last of them would judge an ordered data set by its first classes.

    Example:

    ```python
    kept = Examples("real", (64,), max_samples=100)
    kept.update_state(tf.ones((8, 64)))
    kept.result()["examples"].shape
    ```
    """

    def __init__(self, name, shape, max_samples):
        super().__init__(name=name, dtype="float32")
        self.shape = tuple(shape)
        self.max_samples = max_samples
        self._count = add_state(self, "count", (), "int64")
        self._rows = add_state(self, "examples", (max_samples, *self.shape), "float32")

    @property
    def num_examples(self):
        return int(self._count)

    def update_state(self, rows):
        before, more = tf.convert_to_tensor(self._count), tf.shape(rows, tf.int64)[0]
        before = _provided(
            before + more <= self.max_samples,
            f"`max_samples` must be at least the number of {self.name} examples in all. "
            f"Received: max_samples={self.max_samples} and more {self.name} examples.",
            before,
        )
        places = before + tf.range(more)[:, tf.newaxis]
        self._rows.assign(tf.tensor_scatter_nd_update(self._rows, places, rows))
        self._count.assign(before + more)

    def result(self):
        return {"examples": self._rows[: tf.convert_to_tensor(self._count)]}

    def set_state(self, state):
        check_names(state, ("examples",))
        rows = checked(state["examples"], "state['examples']", self.shape, self.dtype)
        self.reset_state()
        self.update_state(rows)

    @staticmethod
    def size(kept):
        """Returns the number of examples in a result."""
        return len(kept["examples"])

    @staticmethod
    def halves(kept):
        """Returns a result's even and odd examples, two results."""
        return tuple({"examples": kept["examples"][start::2]} for start in (0, 1))


def add_state(metric, name, shape, dtype):
    """Returns a new variable of zeros; under a strategy it is not added up over the replicas."""
    return metric.add_variable(shape, "zeros", dtype, "only_first_replica", name)


def checked(values, name, shape, dtype):
    """Returns a batch as a tensor of a dtype; raises if its shape is wrong or it is not finite.

    Args:
        values: Numbers of any dtype, `[batch, *shape]`.
        name: What to call it in messages.
        shape: Shape of one example.
        dtype: Float dtype of the result.
    """
    values = tf.convert_to_tensor(values)
    if not values.shape.is_compatible_with((None, *shape)):
        raise ValueError(
            f"`{name}` must have shape [batch, {', '.join(map(str, shape))}]. "
            f"Received: {name} with shape={tuple(values.shape)}"
        )
    return finite(tf.cast(tf.ensure_shape(values, (None, *shape)), dtype), name)


def finite(values, name):
    """Returns a float tensor; raises if it holds NaN or infinity."""
    return _provided(
        tf.reduce_all(tf.math.is_finite(values)),
        f"`{name}` must be finite. Received: {name} with NaN or infinity in it.",
        values,
    )


def check_names(state, names):
    """Raises a `ValueError` unless a dict of arrays has exactly these names."""
    if set(state) != set(names):
        raise ValueError(
            f"`state` must have the entries {', '.join(map(repr, names))}. "
            f"Received: {', '.join(map(repr, state)) or 'none'}. Take it from `real_state`."
        )


def _provided(condition, message, value):
    """Returns the value; raises if the condition does not hold, in a graph when the value is used.

    That is a `ValueError`, in a graph an `InvalidArgumentError` of TensorFlow's.
    """
    if tf.executing_eagerly():
        if not condition:
            raise ValueError(message)
        return value
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)
