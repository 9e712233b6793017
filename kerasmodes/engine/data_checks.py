"""What `fit`, `evaluate` and `predict` are given, checked in words before a step is traced.

What several replicas ask of data is in `shard_checks.py`; targets against outputs are in
`target_checks.py`; numbers and callbacks, in `fit_arguments.py`.
"""

import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import batch_parts, keras_private, target_checks, value_ranges

# What TensorFlow and Keras say of a generator's batch with other sizes than its specs.
UNEVEN = re.compile(
    r"enerator`? yielded an element of shape (\(.*?\)) where an element of shape (\(.*?\)) was"
)


def check_reader(model: keras.Model, reader: Any, method: str) -> None:
    """Raises if batches do not fit a model, as far as their specs tell.

    Args:
        model: A Keras model with modes.
        reader: The `Reader` of the data.
        method: `"fit"`, `"evaluate"` or `"predict"`.
    """
    if reader.element_spec is None:
        return
    _check_spec(model, reader.element_spec, method)
    spec = keras_private.make_symbolic_batch(reader.element_spec)
    if not isinstance(spec, (tuple, list)) or len(spec) <= 3:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(spec)
        reader.check_values(value_ranges.find_ranges(model, x, None if method == "predict" else y))


def check_failed_batch(model: keras.Model, spec: Any, method: str) -> None:
    """Raises if a batch on which a step has failed does not fit a model.

    Its sizes are known now, and those that the model was built for may be the reason, also where
    other models take others.

    Args:
        model: A Keras model with modes.
        spec: Nested specs of the batch.
        method: `"fit"`, `"evaluate"` or `"predict"`.
    """
    _check_spec(model, spec, method)
    if isinstance(spec, (tuple, list)) and len(spec) > 3:
        return
    x = keras.utils.unpack_x_y_sample_weight(keras_private.make_symbolic_batch(spec))[0]
    _compare_sizes(x, [one.shape for one in batch_parts.find_inputs(model, x)])


def explain_uneven_batches(spec: Any, error: Exception) -> None:
    """Raises if a batch of a generator has other sizes than its specs.

    TensorFlow does not say which part of the batch it is.

    Args:
        spec: Nested specs of a batch.
        error: What reading the batch has raised.

    Raises:
        ValueError: If that is the reason.
    """
    found = UNEVEN.search(str(error))
    if found is None:
        return
    received, expected = (target_checks.show_shape(_read_shape(one)) for one in found.groups())
    shapes = batch_parts.label_shapes(spec).items()
    names = [name for name, one in shapes if target_checks.show_shape(one) == expected] or ["x"]
    raise ValueError(
        f"`{'` or `'.join(names)}` must have shape {expected} in all batches. "
        f"Received: {' or '.join(names)} with shape={received}. Sizes that change must do so in "
        "the first two batches of a generator, or be None in the signature of a data set."
    ) from error


def check_validation(model: keras.Model, arguments: dict[str, Any] | None) -> None:
    """Raises at the start of a fit if validation data are empty, endless, or do not fit.

    What an `evaluate` of the model's own makes of them is not known.

    Args:
        model: A Keras model with modes.
        arguments: Those of `evaluate`, or `None` for no validation.
    """
    if arguments is None or has_own_evaluate(model):
        return
    x, y, sample_weight = (arguments[name] for name in ("x", "y", "sample_weight"))
    check_length(x, arguments["steps"], "validation_steps", "validation_data")
    if isinstance(x, tf.data.Dataset):
        spec = x.element_spec
    elif all(map(_is_array, keras.tree.flatten((x, y, sample_weight)))):
        spec = tf.nest.map_structure(_make_spec_of_array, (x, y, sample_weight))
    else:
        return
    try:
        _check_spec(model, spec, "evaluate")
        if not isinstance(x, tf.data.Dataset):
            value_ranges.check_values(value_ranges.find_ranges(model, *spec[:2]), (x, y))
    except ValueError as error:
        raise ValueError(f"In `validation_data`: {error}") from error


def has_own_evaluate(model: keras.Model) -> bool:
    """Returns whether a model's `evaluate` may read other data than those that it is given."""
    return not target_checks.find_module(model, "evaluate").startswith("kerasmodes.engine.")


def check_length(x: Any, steps: int | None, steps_name: str, name: str = "x") -> None:
    """Raises a `ValueError` if data are known to be empty, or to have no end.

    Args:
        x: The inputs, or all data.
        steps: Steps that were asked for, or `None` for all batches.
        steps_name: The argument that gives `steps`.
        name: The argument that holds the data.
    """
    if x is None:
        raise ValueError(f"`{name}` must be given. Received: {name}=None")
    count = _count(x)
    steps = steps or keras.config.max_steps_per_epoch()  # Keras's switch for dry runs
    if count == tf.data.INFINITE_CARDINALITY and not steps:
        raise ValueError(
            f"`{steps_name}` must be a positive integer for data without end. "
            f"Received: {steps_name}=None. Or leave out `repeat()`."
        )
    if count == 0:
        unit = "batches" if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)) else "examples"
        raise ValueError(f"`{name}` must hold at least one example. Received: 0 {unit}")


def check_arrays(**arguments: Any) -> None:
    """Raises a `ValueError` if arguments are no data, or arrays without examples or numbers.

    Args:
        **arguments: What `fit` was given, by the argument's name.
    """
    for name, given in arguments.items():
        if isinstance(_find_first_part(given), (bool, int, float, str, bytes)):
            raise ValueError(
                f"`{name}` must be an array, a tf.data.Dataset or a keras.utils.PyDataset. "
                f"Received: a {type(given).__name__} of Python's. Use np.asarray({name})."
            )
        for part in keras.tree.flatten(given):
            if not isinstance(part, (np.ndarray, np.generic)):
                continue
            # Not "V": bfloat16 is of that kind, too.
            if part.dtype.kind in "OSU" or part.dtype.names:
                raise ValueError(
                    f"`{name}` must hold numbers. Received: {name} of dtype={part.dtype}. "
                    f"Convert them; text is given as tf.constant({name}), or in a tf.data.Dataset."
                )
            if not part.shape:
                raise ValueError(
                    f"`{name}` must have an axis of examples. Received: {name} with shape=[]"
                )


def _find_first_part(given):
    """Returns what lists and tuples begin with, at any depth."""
    while isinstance(given, (list, tuple)) and given:
        given = given[0]
    return given


def _count(x):
    """Returns the batches or examples in data; below 0 where they are unknown or without end."""
    if isinstance(x, tf.data.Dataset):
        return int(x.cardinality())
    if isinstance(x, keras.utils.PyDataset):
        return tf.data.INFINITE_CARDINALITY if x.num_batches is None else x.num_batches
    arrays = [part for part in keras.tree.flatten(x) if getattr(part, "shape", ())]
    return arrays[0].shape[0] if arrays else tf.data.UNKNOWN_CARDINALITY


def _check_spec(model, spec, method):
    if isinstance(spec, (tuple, list)) and len(spec) > 3:
        return  # Only a step of the user's own takes so many parts; Keras's refuses them itself.
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(
        keras_private.make_symbolic_batch(spec)
    )
    model.check_batch(x, y, sample_weight, method)


def check_inputs(model: keras.Model, x: Any) -> None:
    """Raises a `ValueError` if a functional model is to be given other inputs than it takes.

    That is text, complex numbers for real ones, and another width.

    What a step or a `call` of the user's own hands on to the model is not known.

    Args:
        model: A Keras model.
        x: Nested specs of the inputs.
    """
    inputs, parts = getattr(model, "inputs", None) or [], keras.tree.flatten(x)
    if len(inputs) == len(parts) and all(one.dtype != "string" for one in inputs):
        for part in parts:
            target_checks.check_numbers("x", part)
            _check_real(inputs, part)
    _compare_sizes(x, _find_needed_sizes(model, x))


def _check_real(inputs, part):
    """Raises a `ValueError` if Keras would drop the imaginary parts of numbers."""
    takes_complex = any(tf.as_dtype(one.dtype).is_complex for one in inputs)
    if getattr(part, "dtype", None) is not None and part.dtype.is_complex and not takes_complex:
        raise ValueError(
            f"`x` must hold real numbers. Received: x of dtype={part.dtype.name}. Give np.abs(x), "
            "or the real and the imaginary parts."
        )


def _find_needed_sizes(model, x):
    """Returns the shapes of the inputs that a model takes, `None` for sizes that may be others.

    A sequential model was built for those of the first batch; only its layers say what they need.
    """
    shapes = [one.shape for one in batch_parts.find_inputs(model, x)]
    if shapes and isinstance(model, keras.Sequential):
        (shape,), spec = shapes, model.layers[0].input_spec
        needed = {axis % len(shape) for axis in getattr(spec, "axes", None) or ()}
        return [[size if place in needed else None for place, size in enumerate(shape)]]
    return shapes


def _compare_sizes(x, shapes):
    """Raises a `ValueError` if inputs have other sizes than these, as far as both are known.

    Args:
        x: Nested specs of the inputs.
        shapes: The shape of each of them, `None` for any size; `[]` if they are not known.
    """
    parts = batch_parts.label_parts((x,))
    for (name, part), expected in zip(parts.items(), shapes, strict=False):
        received = tf.TensorShape(getattr(part, "shape", None))
        if received.rank is None or _is_taken(received, expected):
            continue
        advice = ". The first axis is that of examples: a tf.data.Dataset needs `batch()`."
        raise ValueError(
            f"`{name}` must have shape {target_checks.show_shape((None, *expected[1:]))}. "
            f"Received: {name} with shape={target_checks.show_shape(received)}"
            + (advice if received.rank < len(expected) else "")
        )


def _is_taken(received, expected):
    """Returns whether Keras takes an input, or adds or removes a last axis of 1."""
    if received.rank == len(expected):
        return received[1:].is_compatible_with(expected[1:])
    if received.rank == len(expected) + 1:
        return received[-1] in (1, None)
    return received.rank == len(expected) - 1 and expected[-1] in (1, None)


def check_numbers_of_examples(spec: Any) -> None:
    """Raises a `ValueError` if the parts of a batch have other numbers of examples."""
    shapes = batch_parts.label_shapes(spec).items()
    known = {name: one[0] for name, one in shapes if one.rank and one[0] is not None}
    if len(set(known.values())) > 1:
        raise ValueError(
            f"{' and '.join(f'`{name}`' for name in known)} must have as many examples in a batch. "
            f"Received: {', '.join(f'{size} in {name}' for name, size in known.items())}"
        )


def _read_shape(words):
    """Returns the shape that is written as `(4, 5)`."""
    return [None if one == "None" else int(one) for one in re.findall(r"\d+|None", words)]


def _is_array(part):
    return part is None or hasattr(part, "shape") and hasattr(part, "dtype")


def _make_spec_of_array(array):
    if array is None:
        return None
    try:
        return tf.TensorSpec([None, *array.shape[1:]], array.dtype)
    except TypeError:  # A dtype of other libraries: Keras converts it.
        return tf.TensorSpec([None, *array.shape[1:]])
