"""What a step raises about a batch that it cannot take, said in the user's words."""

import contextlib
import re
import traceback
from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import batch_parts, data_checks, target_checks
from kerasmodes.engine.executors import xla_errors

METHODS = {"train": "fit", "test": "evaluate", "predict": "predict"}

# What Keras and TensorFlow say of batches in the middle of a step.
ABOUT_SIZES = re.compile("shape|size|dimension|axis|rank|incompatible", re.IGNORECASE)
# What Python and TensorFlow say where a program asks a tensor of a graph for its value.
READS = re.compile(
    "|".join(
        (
            "Using a symbolic `tf.Tensor` as a Python `bool`",
            "Iterating over a symbolic `tf.Tensor`",
            "Cannot convert a symbolic tf.Tensor",
            r"^(float|int|complex)\(\) argument must be .*'SymbolicTensor'",
            "'SymbolicTensor' object has no attribute '(numpy|item|tolist)'",
            "'SymbolicTensor' object cannot be interpreted as an integer",
            "must be integers or slices, not SymbolicTensor",
            "format string passed to SymbolicTensor",
            r"numpy\(\) is only available when eager execution",
        )
    ),
    re.MULTILINE,
)
# Lines of TensorFlow's that say where it happened, whatever it was.
PLACES = ("File ", "[[", "Detected at node")


class StepErrors:
    """Explains the errors of one of a model's steps by the batches that it is given.

    What a model asks of its data is checked before they are read, as far as their specs tell. Here
    the sizes are those of a batch on which the step has failed.

    Args:
        model: A compiled Keras model with modes.
        kind: `"train"`, `"test"` or `"predict"`: which of its steps.
    """

    def __init__(self, model: keras.Model, kind: str) -> None:
        self._model, self._kind = model, kind
        self._first = None  # The specs of the first batch that has run.

    @contextlib.contextmanager
    def explain(self, batch: Any, is_stacked: bool = False):
        """While open, an error that the batch is the reason for is raised in the user's words.

        Args:
            batch: Nested tensors or their specs.
            is_stacked: Whether it is a super-batch, of which the step is given a batch.

        Raises:
            ValueError: If the batch does not fit.
            TypeError: If the step unpacks inputs alone, or reads a tensor of a graph in Python.
        """
        try:
            yield
        except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
            self._explain(error, _find_specs(batch, is_stacked))
            self._explain_reading(error)
            raise
        except (AttributeError, RuntimeError) as error:  # Of `.numpy()`, or of Keras, of which.
            self._explain_reading(error)
            raise
        if self._first is None:
            self._first = _find_specs(batch, is_stacked)

    def _explain(self, error, specs):
        if self._is_about_unpacking(error, specs):
            raise TypeError(
                f"`{self._kind}_step` must not unpack or iterate over a batch of inputs alone. "
                f"Received: a tensor with shape={tuple(specs.shape)}, since y=None. Give `y`, or "
                "use keras.utils.unpack_x_y_sample_weight(data)."
            ) from error
        try:
            data_checks.check_failed_batch(self._model, specs, METHODS[self._kind])
            if _find_sentence(error) is not None:
                data_checks.check_numbers_of_examples(specs)
                self._compare_with_first(specs)
        except ValueError as explained:
            # Keras's filter of tracebacks shows an error without its cause.
            said = _find_sentence(error) or str(error).partition("\n")[0]
            explained.add_note(f"The step raised {type(error).__name__}: {said}")
            raise explained from error

    def _explain_reading(self, error):
        if self._model.run_eagerly or not READS.search(str(error)):
            return
        place = xla_errors.find_place(traceback.extract_tb(error.__traceback__), "read")
        raise TypeError(
            f"`{self._kind}_step` must not read a tensor in Python, as `if`, `for`, `float()` and "
            f"`.numpy()` do, in mode={self._model.mode!r}. Received: a tensor of a graph{place}. "
            "Use tf.where, tf.cond or tf.while_loop, or mode='eager'."
        ) from error

    def _is_about_unpacking(self, error, specs):
        if self._kind == "predict" or not isinstance(specs, tf.TensorSpec):
            return False
        if isinstance(error, tf.errors.OperatorNotAllowedInGraphError):
            return "Iterating over" in str(error)
        step = getattr(self._model, f"{self._kind}_step")
        # Python's own: not that of a function which the step calls.
        is_own = _find_code(error) is getattr(step, "__code__", None)
        return is_own and isinstance(error, ValueError) and "values to unpack" in str(error)

    def _compare_with_first(self, specs):
        """Raises if sizes are others than those of a batch that has run."""
        first, now = map(batch_parts.label_shapes, (self._first, specs))
        for name, shape in now.items():
            before = first.get(name, shape)
            if before.rank != shape.rank or not before[1:].is_compatible_with(shape[1:]):
                raise ValueError(
                    f"`{name}` must have shape {target_checks.show_shape(before)}, as a batch "
                    f"before it. Received: {name} with shape={target_checks.show_shape(shape)}"
                )


def _find_specs(batch, is_stacked):
    def find_spec(part):
        spec = part if isinstance(part, tf.TypeSpec) else tf.type_spec_from_value(part)
        return tf.TensorSpec(spec.shape[1:], spec.dtype) if is_stacked else spec

    return tf.nest.map_structure(lambda part: None if part is None else find_spec(part), batch)


def _find_code(error):
    """Returns the code of the function that has raised."""
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    return place.tb_frame.f_code


def _find_sentence(error):
    """Returns what of an error is about sizes, or `None`."""
    lines = (line.strip() for line in str(error).splitlines())
    lines = (line for line in lines if not line.startswith(PLACES))
    return next((line for line in lines if ABOUT_SIZES.search(line)), None)
