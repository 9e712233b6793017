"""The parts of a batch: what they are called in errors, and which input of a model takes each."""

from typing import Any

import keras

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
        if getattr(part, "shape", None) is not None
    }


def find_inputs(model: keras.Model, x: Any) -> list:
    """Returns the symbolic inputs of a model, one for each part of `x`.

    A dictionary names inputs; lists of them are in their order. Where a step or a call is the
    user's own, `[]` is returned: it may hand on something else.

    Args:
        model: A Keras model.
        x: Nested specs of the inputs.
    """
    inputs = getattr(model, "inputs", None) or []
    is_plain = type(model).call.__module__.startswith("keras.")
    if not is_plain or not target_checks.has_plain_step(model):
        return []
    if isinstance(x, dict) and not isinstance(model.input, dict):
        by_name = {one.name: one for one in inputs}
        inputs = [by_name[name] for name in sorted(x) if name in by_name]
    return inputs if len(inputs) == len(keras.tree.flatten(x)) else []
