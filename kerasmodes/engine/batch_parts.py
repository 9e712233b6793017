"""The parts of a batch: what they are called in errors, and which input of a model takes each."""

from typing import Any

import keras
import tensorflow as tf

from kerasmodes.engine import target_checks


def label_parts(batch: Any) -> dict[str, Any]:
    """Returns the tensors or specs of a batch by what they are called: `x['words']`, `y`, say."""
    names = ("x", "y", "sample_weight")
    is_packed = isinstance(batch, (tuple, list)) and len(batch) <= len(names)
    named = zip(names, batch, strict=False) if is_packed else [("x", batch)]
    return {
        name + "".join(f"[{key!r}]" for key in path): part
        for name, parts in named
        for path, part in keras.tree.flatten_with_path(parts)
    }


def label_shapes(batch: Any) -> dict[str, tf.TensorShape]:
    """Returns the shapes of the parts of a batch of which something is known, by name."""
    parts = label_parts(batch).items()
    shapes = {name: tf.TensorShape(getattr(part, "shape", None)) for name, part in parts}
    return {name: shape for name, shape in shapes.items() if shape.rank is not None}


def hands_on_data(model: keras.Model) -> bool:
    """Returns whether the steps and the call of a model are Keras's: they change no data."""
    has_plain_call = target_checks.find_module(model, "call").startswith("keras.")
    return has_plain_call and target_checks.has_plain_step(model)


def find_inputs(model: keras.Model, x: Any) -> list:
    """Returns the symbolic inputs of a model, one for each part of `x`.

    A dictionary names inputs; lists of them are in their order. Where a step or a call is the
    user's own, `[]` is returned: it may hand on something else.

    Args:
        model: A Keras model.
        x: Nested specs of the inputs.
    """
    inputs = getattr(model, "inputs", None) or []
    if not inputs or not hands_on_data(model):
        return []
    if isinstance(x, dict):
        is_named = isinstance(getattr(model, "input", None), dict)  # Sequential has no `input`.
        by_name = model.input if is_named else {one.name: one for one in inputs}
        if set(x) != set(by_name):
            return []
        inputs = inputs if is_named else [by_name[name] for name in sorted(x)]
    return inputs if len(inputs) == len(keras.tree.flatten(x)) else []
