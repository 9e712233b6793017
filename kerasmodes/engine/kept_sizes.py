"""Operations that would lose, under XLA, a size that follows from the data: ways to keep it.

XLA gives such a tensor the most elements that it can have and notes the size beside it. Of a scan
such as `tf.cumsum` it forgets the note, and an index that counts from the end counts from the last
element that could be. In a graph that is traced for XLA a scan is cut to the size of what is
scanned, and such an index counts from the start.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasmodes.engine import keras_private

# Not `cumulative_logsumexp`: its gradient reads what was not cut.
SCANS = ("cumsum", "cumprod")
SCOPE = "kerasmodes_cut"  # In the names of what cuts a scan.


def keep_sizes() -> None:
    """Lets scans and indices from the end keep sizes, in graphs that are traced for XLA."""
    scans = dict.fromkeys(SCANS, _scan)
    keras_private.replace_operations({**scans, "strided_slice": _take_part})


def is_cut(operation: tf.Operation) -> bool:
    """Returns whether a scan is used in the size of what is scanned only."""
    return all(SCOPE in one.name for one in operation.outputs[0].consumers())


def _scan(kernel: Callable, x: Any, axis: Any, *args: Any, **kwargs: Any):
    if _has_known_shape(x):
        return kernel(x, axis, *args, **kwargs)
    scanned = kernel(x, axis, *args, **kwargs)
    with tf.name_scope(SCOPE):
        return _cut(scanned, x)


@tf.custom_gradient
def _cut(scanned, x):
    """Returns what was made of `x` in its size; its gradient has that size already."""
    part = tf.slice(scanned, [0] * x.shape.rank, tf.shape(x))
    return part, lambda gradient: (gradient, None)


def _take_part(kernel: Callable, input: Any, begin: Any, end: Any, strides: Any, **kwargs: Any):
    begins = None if _has_known_shape(input) else tf.get_static_value(begin, partial=True)
    shift = None if begins is None else _find_shift(input, begins, kwargs)
    if shift is not None:  # XLA takes int32 only where such an index is no constant.
        begin, end, strides = (tf.cast(one, tf.int32) for one in (begin, end, strides))
        begin, end = begin + shift, end + shift
    return kernel(input, begin, end, strides, **kwargs)


def _find_shift(x, begins, masks):
    """Returns what to add to indices, so that none of a single element counts from the end."""
    axes = list_axes_from_the_end(x.shape.rank, begins, **masks)
    single = masks.get("shrink_axis_mask", 0)
    axes = {p: axis for p, axis in axes.items() if single & 1 << p and x.shape[axis] is None}
    if not axes:
        return None
    sizes = tf.shape(x)
    return tf.stack([sizes[axes[place]] if place in axes else 0 for place in range(len(begins))])


def list_axes_from_the_end(
    rank: int,
    begins: Any,
    begin_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    **others: Any,
) -> dict[int, int]:
    """Returns the axes on which a `StridedSlice` begins at an index that counts from the end.

    Args:
        rank: That of the whole tensor.
        begins: Where the part begins, `None` where that is no constant.
        begin_mask: As in `tf.strided_slice`, and so are the other masks.

    Returns:
        The axes by their places in `begins`.
    """
    axes, axis = {}, 0
    for place, begin in enumerate(begins):
        bit = 1 << place
        if ellipsis_mask & bit:
            later = sum(not new_axis_mask & 1 << p for p in range(place + 1, len(begins)))
            axis = rank - later
        elif not new_axis_mask & bit:
            if begin is not None and begin < 0 and not begin_mask & bit:
                axes[place] = axis
            axis += 1
    return axes


def _has_known_shape(x):
    """Returns whether a size of a tensor cannot follow from the data, or is of no concern."""
    if not tf.is_tensor(x) or x.shape.rank is None or x.shape.is_fully_defined():
        return True
    return not keras_private.is_traced_for_xla()
