"""Examples of one side of a comparison: checked when they arrive, and stored unchanged.

`frechet_distance.py` stores only moments; `two_samples.py` brings the two sides together.
Checks of values raise at once, in a `tf.function` when it runs; XLA leaves them out.
"""

from collections.abc import Iterable, Mapping

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf


class Examples(keras.metrics.Metric):
    """Stores examples in float32, up to a number for which it takes memory at once.

    Its result is a dict with the float32 tensor `examples`, `[num_examples, *shape]`.

    Args:
        name: "real" or "generated".
        shape: Shape of one example.
        max_samples: The most examples, a positive int. One more is an error: a metric that left out
            the last ones would measure an ordered data set by its first classes.

    Example:

    ```python
    kept = Examples("real", (64,), max_samples=100)
    kept.update_state(tf.ones((8, 64)))
    kept.result()["examples"].shape
    ```
    """

    def __init__(self, name: str, shape: Iterable[int], max_samples: int):
        super().__init__(name=name, dtype="float32")
        self.shape = tuple(shape)
        self.max_samples = max_samples
        self._count = add_state(self, "count", (), "int64")
        self._rows = add_state(self, "examples", (max_samples, *self.shape), "float32")

    @property
    def num_examples(self) -> int:
        """How many examples are stored."""
        return int(self._count)

    def update_state(self, rows: npt.ArrayLike) -> None:
        """Stores more examples.

        Args:
            rows: Float32 `[batch, *shape]`.

        Raises:
            ValueError: If they are more than `max_samples` in all.
        """
        before, more = tf.convert_to_tensor(self._count), tf.shape(rows, tf.int64)[0]
        before = _require(
            before + more <= self.max_samples,
            f"`max_samples` must be at least the number of {self.name} examples in all. "
            f"Received: max_samples={self.max_samples} and more {self.name} examples.",
            before,
        )
        places = before + tf.range(more)[:, tf.newaxis]
        self._rows.assign(tf.tensor_scatter_nd_update(self._rows, places, rows))
        self._count.assign(before + more)

    def result(self) -> dict[str, tf.Tensor]:
        return {"examples": self._rows[: tf.convert_to_tensor(self._count)]}

    def set_state(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Replaces the examples by those of a result.

        Raises:
            ValueError: If it is not a result of the same shape, or holds too many examples.
        """
        check_names(state, ("examples",))
        rows = check_batch(state["examples"], "state['examples']", self.shape, self.dtype)
        self.reset_state()
        self.update_state(rows)

    @staticmethod
    def size(kept: Mapping[str, np.ndarray]) -> int:
        """Returns the number of examples in a result."""
        return len(kept["examples"])

    @staticmethod
    def halves(kept: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
        """Returns a result's even and odd examples, two results."""
        return tuple({"examples": kept["examples"][start::2]} for start in (0, 1))


def add_state(
    metric: keras.metrics.Metric, name: str, shape: tuple[int, ...], dtype: str
) -> keras.Variable:
    """Returns a new variable of zeros; a strategy does not sum it over the replicas."""
    return metric.add_variable(shape, "zeros", dtype, "only_first_replica", name)


def check_batch(values: npt.ArrayLike, name: str, shape: tuple[int, ...], dtype: str) -> tf.Tensor:
    """Returns a batch as a tensor of a dtype, once its shape and values are checked.

    Args:
        values: Numbers of any dtype, `[batch, *shape]`.
        name: Name of the batch in messages.
        shape: Shape of one example.
        dtype: Float dtype of the result.

    Raises:
        ValueError: If the shape is wrong, or a number is not finite in that dtype. In a graph a
            wrong number, or a shape unknown before, is an `InvalidArgumentError` of TensorFlow.
    """
    values = tf.convert_to_tensor(values)
    if not values.shape.is_compatible_with((None, *shape)):
        raise ValueError(
            f"`{name}` must have shape [batch, {', '.join(map(str, shape))}]. "
            f"Received: {name} with shape={tuple(values.shape)}"
        )
    return check_finite(tf.cast(tf.ensure_shape(values, (None, *shape)), dtype), name)


def check_finite(values: tf.Tensor, name: str) -> tf.Tensor:
    """Returns a float tensor; a `ValueError` names it if it holds NaN or infinity."""
    return _require(
        tf.reduce_all(tf.math.is_finite(values)),
        f"`{name}` must be finite. Received: {name} with NaN or infinity in it.",
        values,
    )


def check_names(state: Iterable[str], names: Iterable[str]) -> None:
    """Raises a `ValueError` unless a dict of arrays has exactly these names."""
    if set(state) != set(names):
        raise ValueError(
            f"`state` must have the entries {', '.join(map(repr, names))}. "
            f"Received: {', '.join(map(repr, state)) or 'none'}. Take it from `real_state`."
        )


def _require(condition, message, value):
    """Returns the value if the condition holds.

    Otherwise it raises a `ValueError`; in a graph an `InvalidArgumentError` of TensorFlow, when the
    value is used.
    """
    if tf.executing_eagerly():
        if not condition:
            raise ValueError(message)
        return value
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)
