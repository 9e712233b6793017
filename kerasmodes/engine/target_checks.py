"""Targets and sample weights against a model's outputs: what Keras would broadcast is refused.

What else data must be is in `data_checks.py`.
"""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import keras_private

# Losses that compare targets with outputs element by element. Keras would broadcast other targets.
ELEMENTWISE = (
    *("binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy"),
    *("categorical_focal_crossentropy", "categorical_hinge", "cosine_similarity", "hinge"),
    *("huber", "kl_divergence", "log_cosh", "mean_absolute_error", "mean_squared_error"),
    *("mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson"),
    "squared_hinge",
)


def check_plain_step(model: keras.Model, y: Any, sample_weight: Any) -> None:
    """Checks the targets of a model whose step and losses are Keras's own.

    What a step of the user's own makes of targets, it alone knows.

    Args:
        model: A compiled Keras model.
        y: Nested specs of targets, or `None`.
        sample_weight: Nested specs of weights, or `None`.
    """
    compiled_loss = keras_private.find_compiled_loss(model)
    if compiled_loss is None or not has_plain_step(model):
        return
    if y is None:
        raise ValueError(
            "`y` must be given: the model was compiled with a loss. Received: y=None. "
            "A tf.data.Dataset must hold tuples of inputs and targets."
        )
    for target in keras.tree.flatten(y):
        check_numbers("y", target)
    _check_names(model, keras_private.find_given_losses(compiled_loss)[0], y)
    for name, loss, output, target, weight in pair_targets(model, y, sample_weight):
        if isinstance(target, tf.TensorSpec):
            _check_loss(name, loss, output, target, weight)


def pair_targets(
    model: keras.Model, y: Any, sample_weight: Any = None, outputs: list | None = None
) -> list[tuple]:
    """Returns the targets of a model whose step and losses are Keras's own, output by output.

    Args:
        model: A Keras model.
        y: Nested specs of targets, or `None`.
        sample_weight: Nested specs of weights, or `None`.
        outputs: The shapes of the outputs, if the model does not know them yet.

    Returns:
        What the targets are called, their loss, the shape of the output, their spec, and that of
        the weights or `None`. A list without entries where outputs are not known, or not as many.
    """
    compiled_loss = keras_private.find_compiled_loss(model) if model.compiled else None
    outputs = outputs or _find_outputs(model)
    if compiled_loss is None or y is None or not has_plain_step(model):
        return []
    names, given = _list_names(model), keras_private.find_given_losses(compiled_loss)[0]
    losses = [given] * len(outputs) if not keras.tree.is_nested(given) else _sort(given, names)
    targets, weights = _sort(y, names), _sort(sample_weight, names)
    weights = weights * len(outputs) if len(weights) == 1 else weights
    weights = weights if len(weights) == len(outputs) else [None] * len(outputs)
    if not len(outputs) == len(targets) == len(losses):
        return []
    keys = names if isinstance(y, dict) else range(len(targets))
    called = [f"y[{key!r}]" for key in keys] if keras.tree.is_nested(y) else ["y"]
    weights = [one if isinstance(one, tf.TensorSpec) else None for one in weights]
    return list(zip(called, losses, outputs, targets, weights, strict=True))


def check_outputs(model: keras.Model, y: Any, y_pred: Any) -> None:
    """Raises a `ValueError` if a loss of Keras's would broadcast targets against outputs.

    That is for models whose outputs are known only now; of others, `check_plain_step` knows them.

    Args:
        model: A compiled Keras model.
        y: Nested targets of a step.
        y_pred: Nested outputs.
    """
    compiled_loss = keras_private.find_compiled_loss(model)
    if compiled_loss is None or _find_outputs(model):
        return
    given = keras_private.find_given_losses(compiled_loss)[0]
    losses, targets, outputs = map(keras.tree.flatten, (given, y, y_pred))
    if not len(losses) == len(targets) == len(outputs) == 1:
        return
    if _is_elementwise(losses[0]) and hasattr(targets[0], "shape"):
        check_targets(targets[0], None, outputs[0].shape)


def check_targets(y: Any, sample_weight: Any, output: Any, y_name: str = "y") -> None:
    """Raises a `ValueError` if targets or weights would be broadcast against an output.

    Args:
        y: Spec of the targets.
        sample_weight: Spec of the weights, or `None`.
        output: Shape of the output, whose first dimension is the batch's.
        y_name: Name of the targets.
    """
    check_numbers(y_name, y)
    shape, output = tf.TensorShape(y.shape), tf.TensorShape(output)
    if not _compares(shape, output):
        raise ValueError(
            f"`{y_name}` must have the shape of the model's output, {show_shape(output)}. "
            f"Received: {y_name} with shape={show_shape(shape)}"
        )
    if sample_weight is not None and not _weighs(tf.TensorShape(sample_weight.shape), output):
        raise ValueError(
            f"`sample_weight` must be one number an example, [batch]{_describe_steps(output)}. "
            f"Received: sample_weight with shape={show_shape(sample_weight.shape)}"
        )


def has_plain_step(model: keras.Model) -> bool:
    """Returns whether the steps and losses of a model are Keras's own."""
    names = ("train_step", "test_step", "compute_loss")
    modules = [find_module(model, name) for name in names]
    return all(one.startswith(("keras.", "kerasmodes.engine.")) for one in modules)


def find_module(model: keras.Model, name: str) -> str:
    """Returns the module of the function that a method is, of the class or given to the model."""
    return getattr(getattr(model, name), "__module__", None) or ""


def check_numbers(name: str, spec: Any) -> None:
    """Raises a `ValueError` if a spec is one of text.

    Args:
        name: The argument's name.
        spec: A `tf.TensorSpec`, or `None`.
    """
    if getattr(spec, "dtype", None) == tf.string:
        raise ValueError(f"`{name}` must hold numbers. Received: {name} of dtype=string")


def show_shape(shape: Any) -> str:
    """Returns a shape for a message, with the batch's dimension by name: `[batch, 3]`."""
    shape = tf.TensorShape(shape)
    if shape.rank is None:
        return "unknown"
    if shape.rank == 0:
        return "[]"
    sizes = ["?" if size is None else str(size) for size in shape[1:]]
    return f"[{', '.join(['batch', *sizes])}]"


def _check_names(model, losses, y):
    """Raises if targets that have names have not those of the outputs.

    An output without a loss needs no targets.
    """
    names = _list_names(model)
    if not isinstance(y, dict):
        _check_number(model, losses, y)
    if not isinstance(y, dict) or not names:
        return
    if not keras.tree.is_nested(model.output):
        raise ValueError(
            f"`y` must be an array: the model has one output. Received: y with names {sorted(y)}"
        )
    has_named_losses = isinstance(losses, dict)
    needed = {name for name in names if not has_named_losses or losses.get(name) is not None}
    if not needed <= set(y) <= set(names):
        raise ValueError(
            f"`y` must have the names of the model's outputs, {sorted(names)}. "
            f"Received: y with names {sorted(y)}"
        )


def _check_number(model, losses, y):
    """Raises if there are not as many targets as outputs, or as outputs with a loss."""
    num_outputs, num_targets = len(_find_outputs(model)), len(keras.tree.flatten(y))
    num_losses = num_outputs
    if keras.tree.is_nested(losses):
        num_losses = sum(loss is not None for loss in keras.tree.flatten(losses))
    if num_outputs > 1 and num_targets not in (num_losses, num_outputs):
        raise ValueError(
            f"`y` must hold an array for each of the {num_outputs} outputs, {_list_names(model)}. "
            f"Received: {num_targets}"
        )


def _list_names(model):
    """Returns the names of a functional model's outputs; `[]` of another."""
    names = list(getattr(model, "output_names", ()))
    return sorted(model.output) if names and isinstance(model.output, dict) else names


def _sort(values, names):
    """Returns nested values in the order of the outputs; `[]` if they have other names."""
    if not isinstance(values, dict):
        return keras.tree.flatten(values)
    return [values[name] for name in names] if set(values) == set(names) else []


def _check_loss(name, loss, output, target, weight):
    """Raises if the loss of one output would compare a target with other examples' outputs."""
    if _is_elementwise(loss):
        check_targets(target, weight, output, name)
    elif target.shape.rank == 1 and output[1:] == (1,) and _broadcasts(loss):
        raise ValueError(
            f"`{name}` must have the shape of the model's output, [batch, 1]: "
            f"{type(loss).__name__} compares each target with each output otherwise. "
            f"Received: {name} with shape=[batch]"
        )


def _is_elementwise(loss):
    """Returns whether a loss is Keras's, by name, function or object, and goes by elements."""
    if isinstance(loss, str):
        loss = _get_loss(loss)
    if isinstance(loss, keras.losses.Loss):
        loss = keras_private.find_wrapped_function(loss)[0]
    is_keras = (getattr(loss, "__module__", None) or "").startswith("keras.")
    return is_keras and getattr(loss, "__name__", None) in ELEMENTWISE


_get_loss = functools.cache(keras.losses.get)


def _broadcasts(loss):
    """Returns whether a loss is a mean over the examples for a column of targets, not for a row.

    A function is wrapped by Keras, which makes a column of the row; what a class does, it shows.
    """
    if not isinstance(loss, keras.losses.Loss) or keras_private.find_wrapped_function(loss)[0]:
        return False
    row, outputs = tf.linspace(0.1, 0.7, 7), tf.linspace(0.9, 0.2, 7)[:, tf.newaxis]
    try:
        alone = [loss(row[i : i + 1], outputs[i : i + 1]) for i in range(7)]
        found = loss(row, outputs), loss(row[:, tf.newaxis], outputs)
    except Exception:  # It asks for other numbers, or for another form.
        return False
    of_row, of_column = (np.allclose(np.mean(alone), one, rtol=1e-3) for one in found)
    return of_column and not of_row


def _find_outputs(model):
    """Returns the shapes of a functional or sequential model's outputs; `[]` of another."""
    if not model.built or not hasattr(model, "outputs"):
        return []
    return [output.shape for output in model.outputs or ()]


def _compares(shape, output):
    """Returns whether Keras compares targets of a shape with such outputs, none twice."""
    if shape.rank is None or output.rank is None:
        return True
    if shape.rank == output.rank + 1 and shape[-1] in (1, None):
        shape = shape[:-1]
    elif shape.rank == output.rank - 1 and output[-1] in (1, None):
        output = output[:-1]
    return shape.rank == output.rank and shape[1:].is_compatible_with(output[1:])


def _weighs(shape, output):
    """Returns whether weights of a shape are numbers an example, or an example's parts."""
    if shape.rank is None or output.rank is None:
        return True
    if shape.rank > 1 and shape.rank == output.rank and shape[-1] in (1, None):
        shape = shape[:-1]
    pairs = zip(shape[1:], output[1:], strict=False)
    return 1 <= shape.rank < output.rank and all(
        size in (1, None) or length in (size, None) for size, length in pairs
    )


def _describe_steps(output):
    return ", or one a time step" if output.rank == 3 else ""
