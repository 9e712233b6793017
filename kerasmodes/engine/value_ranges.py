"""Ids of embeddings and labels of classes, which must be in the range that a model has.

On a CPU, TensorFlow raises where one is not. XLA does not look: it takes another row of the
embedding, and the loss of the label is NaN. The numbers would depend on the mode.
"""

import typing
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes.engine import batch_parts, keras_private, target_checks


class ValueRange(typing.NamedTuple):
    """The whole numbers that a part of a batch may hold.

    Args:
        name: What the part is called: `x['words']`, say.
        low: The least.
        high: The next above the greatest.
        ignored: Another one that it may hold, or `None`.
        owner: What of the model has so many.
    """

    name: str
    low: int
    high: int
    ignored: int | None
    owner: str


def find_ranges(model: keras.Model, x: Any, y: Any) -> list[ValueRange]:
    """Returns the ranges of the parts of a batch of which a model tells one.

    Those are inputs that an `Embedding` takes as they are, and targets of Keras's sparse
    crossentropy, of a model whose call and step are Keras's.

    Args:
        model: A compiled Keras model, or one that predicts.
        x: Nested specs of the inputs.
        y: Nested specs of the targets, or `None`.
    """
    ranges = []
    for name, layer in _list_first_layers(model, x):
        if type(layer).call is keras.layers.Embedding.call:
            size, owner = layer.input_dim, f"the rows of the Embedding {layer.name!r}"
            ranges.append(ValueRange(name, -size, size, None, owner))  # -1 is the last row.
    for name, loss, output, _, _ in target_checks.pair_targets(
        model, y, outputs=_find_outputs(model, x)
    ):
        size, arguments = output[-1], _find_arguments(loss)
        if arguments is not None and size is not None and arguments.get("axis", -1) == -1:
            ignored, owner = arguments.get("ignore_class"), f"the {size} classes of the output"
            ranges.append(ValueRange(name, 0, size, ignored, owner))
    return ranges


def check_values(
    ranges: list[ValueRange], data: Any, batches: slice | None = None, is_batch: bool = False
) -> None:
    """Raises if parts of data hold numbers that are out of range.

    Without a fault, arrays are read once for their least number, once for their greatest.

    Args:
        ranges: The ranges of some of the parts.
        data: Nested arrays, or dense eager tensors, of inputs, targets and weights.
        batches: Of a super-batch, the batches to look at.
        is_batch: Whether it is one batch of many.

    Raises:
        ValueError: If a number is out of range; the first one is named.
    """
    parts = batch_parts.label_parts(data) if ranges else {}
    for one in ranges:
        part = parts.get(one.name)
        if not isinstance(part, (np.ndarray, tf.Tensor)):
            continue
        values = np.asarray(part)
        values = values if batches is None else values[batches]
        place = _find_outside(values, one)
        if place is not None:
            ignored = "" if one.ignored is None else f", or ignore_class={one.ignored}"
            where = place if batches is None else place[1:]
            in_batch = " in a batch" if is_batch or batches is not None else ""
            raise ValueError(
                f"`{one.name}` must be in [{one.low}, {one.high}), {one.owner}{ignored}. "
                f"Received: {one.name}{list(where)}={values[place]}{in_batch}"
            )


def _list_first_layers(model, x):
    """Yields what each part of `x` is called, with each layer that takes it as it is."""
    parts = batch_parts.label_parts((x,))
    if isinstance(model, keras.Sequential):  # It may not be built yet.
        if batch_parts.hands_on_data(model):
            yield from zip(parts, model.layers, strict=False)
        return
    for name, tensor in zip(parts, batch_parts.find_inputs(model, x), strict=False):
        for layer in keras_private.find_consumers(model, tensor):
            yield name, layer


def _find_outputs(model, x):
    """Returns the shape of the output of a sequential model that is not built; `[]` of others."""
    if (
        model.built
        or not isinstance(model, keras.Sequential)
        or not batch_parts.hands_on_data(model)
    ):
        return []
    try:
        return [model.compute_output_shape(tuple(x.shape))]
    except Exception:  # Not all layers tell; nor is what does not fit a matter of ranges.
        return []


def _find_arguments(loss):
    """Returns the arguments of Keras's sparse crossentropy, `None` of another loss."""
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    function, arguments = loss, {}
    if isinstance(loss, keras.losses.Loss):
        function, arguments = keras_private.find_wrapped_function(loss)
    is_own = isinstance(loss, keras.losses.Loss) and not type(loss).__module__.startswith("keras.")
    is_sparse = function is keras.losses.sparse_categorical_crossentropy and not is_own
    return arguments if is_sparse else None


def _find_outside(values, one):
    """Returns the place of the first number that is out of range, or `None` if there is none."""
    if values.dtype.kind not in "iuf" or not values.size:
        return None
    if one.low - 1 < values.min() and values.max() < one.high:
        return None
    # Keras takes the whole part of a fraction: that of -0.5 is 0. NaN has none.
    is_outside = ~((values > one.low - 1) & (values < one.high))
    if one.ignored is not None:
        is_outside &= values != one.ignored
    flat = int(is_outside.argmax())
    if not is_outside.flat[flat]:
        return None
    return tuple(int(index) for index in np.unravel_index(flat, values.shape))
