"""What the metrics share: a real and a generated sample, and numbers that compare them.

Each metric compares two samples in its own way. `examples.py` checks and stores one sample.
"""

from collections.abc import Mapping

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kerasmodes.metrics import examples


class TwoSampleMetric(keras.metrics.Metric):
    """A metric that compares real with generated examples, in any number of batches.

    NumPy computes results in double precision: floats in eager execution, float64 tensors in a
    `tf.function`. A subclass sets `min_examples`, the least number of examples a side. Its
    `_compare` takes what is stored of two samples, as arrays, and returns a list of numbers. If
    there are several, `result_names` holds their names.

    Args:
        real: Store of the real examples, such as `Examples`: a metric with a name, the `shape` of
            an example, `num_examples`, `set_state`, `size` and `halves`.
        generated: Store of the generated examples.
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

    def __init__(self, real: keras.metrics.Metric, generated: keras.metrics.Metric, name: str):
        super().__init__(name=name)
        self._real = real
        self._generated = generated

    @property
    def num_real(self) -> int:
        """The number of real examples so far."""
        return self._real.num_examples

    @property
    def num_generated(self) -> int:
        """The number of generated examples so far."""
        return self._generated.num_examples

    def update_state(
        self,
        real: npt.ArrayLike | None = None,
        generated: npt.ArrayLike | None = None,
        sample_weight: None = None,
    ) -> None:
        """Adds a batch of each side, or of one side.

        Args:
            real: Batch of real examples `[batch, *shape]` of any dtype, or `None`.
            generated: Batch of generated examples, or `None`; its size can differ.
            sample_weight: Must be `None`, which is what `compile(metrics=...)` passes.

        Raises:
            ValueError: If a batch has the wrong shape, or holds NaN or infinity.
            RuntimeError: On one of several replicas.
        """
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None: each example counts once. "
                f"Received: sample_weight={sample_weight!r}"
            )
        _check_one_replica()
        sides = ((self._real, real), (self._generated, generated))
        ready = [
            (side, self._prepare_batch(side, batch)) for side, batch in sides if batch is not None
        ]
        for side, rows in ready:
            side.update_state(rows)

    def result(self) -> float | dict[str, float]:
        """Returns the float, or dict of floats, that compares the examples so far.

        Raises:
            RuntimeError: If a side has too few examples.
        """
        kept = [self._real.result(), self._generated.result()]
        if tf.executing_eagerly():
            return self._name_results(self._compute_results(*_convert_to_arrays(kept)))

        def compute(*arrays):
            return np.array(
                self._compute_results(*tf.nest.pack_sequence_as(kept, arrays)), "float64"
            )

        values = tf.numpy_function(compute, tf.nest.flatten(kept), tf.float64)
        return self._name_results(tf.unstack(tf.ensure_shape(values, len(self.result_names) or 1)))

    def baseline(self) -> float | dict[str, float]:
        """Returns what one half of the real examples scores against the other half.

        Each half is every second example. A perfect generator would get this result with half as
        many examples a side. The class's description says how the number of examples changes it.
        It cannot be called in a `tf.function`.

        Raises:
            RuntimeError: If a half has too few examples.
        """
        halves = self._real.halves(self.real_state())
        return self._name_results(
            self._compute_results(*halves, "baseline", "in each half of the real ones")
        )

    def real_state(self) -> dict[str, np.ndarray]:
        """Returns what is stored of the real examples, a dict of NumPy arrays.

        Save it with `np.savez`, for example, and pass it to `set_real_state` of an equal metric.
        """
        return _convert_to_arrays(self._real.result())

    def set_real_state(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Replaces what is stored of the real examples by a dict of arrays from `real_state`.

        Raises:
            ValueError: If it is not from a metric with the same arguments.
        """
        self._real.set_state(state)

    def get_config(self):
        return {"name": self.name}

    def _prepare_batch(self, side, batch):
        rows = self._make_examples(batch, side.name)
        return examples.check_batch(rows, side.name, side.shape, side.dtype)

    def _make_examples(self, batch, name):
        """Returns the examples to store of a batch of the side `name`, "real" or "generated"."""
        return batch

    def _compute_results(
        self, real, generated, method="result", where="on each side, real and generated"
    ):
        sizes = [self._real.size(real), self._generated.size(generated)]
        if min(sizes) < self.min_examples:
            raise RuntimeError(
                f"`{method}` of {type(self).__name__} needs at least {self.min_examples} examples "
                f"{where}. Received: {sizes[0]} and {sizes[1]}"
            )
        return [float(value) for value in self._compare(real, generated)]

    def _name_results(self, values):
        if not self.result_names:
            return values[0]
        return dict(zip(self.result_names, values, strict=True))


def _convert_to_arrays(tensors):
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)


def _check_one_replica():
    replica = tf.distribute.get_replica_context()
    if replica is not None and replica.num_replicas_in_sync > 1:
        raise RuntimeError(
            "`update_state` must be called once for the whole batch. Received: a call on one of "
            f"{replica.num_replicas_in_sync} replicas. Gather the examples with `strategy.gather` "
            "and call it outside `strategy.run`."
        )
