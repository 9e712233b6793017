"""What the metrics share: a real and a generated sample, and numbers that compare them.

How two samples are compared is each metric's own; what is kept of one, and the checks of its
examples, is in `examples.py`.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.metrics import examples


class TwoSampleMetric(keras.metrics.Metric):
    """A metric that compares real with generated examples, given in any number of batches.

    Results are computed by NumPy in double precision: in eager execution as floats, in a
    `tf.function` as tensors. A subclass sets `min_examples`, the least number a side; returns from
    `_compare` the numbers of two samples as arrays; and names them in `result_names` if they are
    several.

    Args:
        real: What keeps the real examples, such as `Examples`: a metric with a name, the `shape` of
            an example, `num_examples`, `set_state`, `size` and `halves`.
        generated: The same for the generated ones.
        name: Name of the metric.

    Example:

    ```python
    class MeanDifference(TwoSampleMetric):
        min_examples = 1

        def __init__(self, width, name="mean_difference"):
            real, generated = (Examples(side, (width,), 10) for side in ("real", "generated"))
            super().__init__(real, generated, name)

        def _compare(self, real, generated):
            return [np.abs(real["examples"].mean(0) - generated["examples"].mean(0)).max()]
    ```
    """

    min_examples = 2
    result_names = ()

    def __init__(self, real, generated, name):
        super().__init__(name=name)
        self._real = real
        self._generated = generated

    @property
    def num_real(self):
        """How many real examples were given."""
        return self._real.num_examples

    @property
    def num_generated(self):
        """How many generated examples were given."""
        return self._generated.num_examples

    def update_state(self, real=None, generated=None, sample_weight=None):
        """Takes in a batch of each side, or of one.

        Args:
            real: Batch of real examples, or `None`.
            generated: Batch of generated examples, or `None`; of another size if need be.
            sample_weight: Must be `None`, which is what `compile(metrics=...)` hands over.

        Raises:
            ValueError: If a batch has the wrong shape or a number in it is not finite.
            RuntimeError: On one of several replicas.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None: each example counts once. "
                f"Received: sample_weight={sample_weight!r}"
            )
        _check_one_replica()
        sides = ((self._real, real), (self._generated, generated))
        checked = [(side, self._checked(side, batch)) for side, batch in sides if batch is not None]
        for side, rows in checked:
            side.update_state(rows)

    def result(self):
        """Returns the float, or dict of floats, that compares the examples given so far.

        Raises:
            RuntimeError: If a side has too few examples.
        """
        kept = [self._real.result(), self._generated.result()]
        if tf.executing_eagerly():
            return self._named(self._compared(*_as_arrays(kept)))

        def compared(*arrays):
            return np.array(self._compared(*tf.nest.pack_sequence_as(kept, arrays)), "float64")

        values = tf.numpy_function(compared, tf.nest.flatten(kept), tf.float64)
        return self._named(tf.unstack(tf.ensure_shape(values, len(self.result_names) or 1)))

    def floor(self):
        """Returns what `result` would be of one half of the real examples against the other.

        Each half is every second example. So this is what a perfect generator would get from half
        as many examples a side; how that number changes the result is in the class's description.
        Not for use in a `tf.function`.

        Raises:
            RuntimeError: If a half has too few examples.
        """
        halves = self._real.halves(self.real_state())
        return self._named(self._compared(*halves, "floor", "in each half of the real ones"))

    def real_state(self):
        """Returns what is kept of the real examples, a dict of NumPy arrays.

        It may be saved, say by `np.savez`, and given to `set_real_state` of a metric made alike.
        """
        return _as_arrays(self._real.result())

    def set_real_state(self, state):
        """Replaces what is kept of the real examples by a dict of arrays from `real_state`.

        Raises:
            ValueError: If it is not from a metric made alike.
        """
        self._real.set_state(state)

    def get_config(self):
        return {"name": self.name}

    def _checked(self, side, batch):
        rows = self._examples(batch, side.name)
        return examples.checked(rows, side.name, side.shape, side.dtype)

    def _examples(self, batch, name):
        """Returns the examples to keep of a batch of the side of that name."""
        return batch

    def _compared(self, real, generated, method="result", where="on each side, real and generated"):
        sizes = [self._real.size(real), self._generated.size(generated)]
        if min(sizes) < self.min_examples:
            raise RuntimeError(
                f"`{method}` of {type(self).__name__} needs at least {self.min_examples} examples "
                f"{where}. Received: {sizes[0]} and {sizes[1]}"
            )
        return [float(value) for value in self._compare(real, generated)]

    def _named(self, values):
        if not self.result_names:
            return values[0]
        return dict(zip(self.result_names, values, strict=True))


def _as_arrays(tensors):
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)


def _check_one_replica():
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        raise RuntimeError(
            "`update_state` must be called once for the whole batch. Received: a call on one of "
            f"{replica.num_replicas_in_sync} replicas. Gather the examples by `strategy.gather` "
            "and call it outside `strategy.run`."
        )
