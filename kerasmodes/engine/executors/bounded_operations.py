"""The operations that XLA computes with the bound of a size, and the axes on which it does.

Found by computing some 300 operations, layers, losses and their gradients with XLA and without it
(TensorFlow 2.21), of a part of a tensor; a third of them also of examples that a mask has chosen.
The others were right, or XLA itself refused them.
"""

import tensorflow as tf

from kerasmodes.engine import kept_sizes


def _list_all_axes(operation):
    return range(operation.inputs[0].shape.rank)


def _list_pooled_axes(operation):
    """Returns the axes on which averages are taken of fewer numbers at the edges."""
    if operation.get_attr("padding") != b"SAME":
        return []
    return [axis for axis, size in enumerate(operation.get_attr("ksize")) if size > 1]


def _list_image_axes(operation):
    return [1, 2]


def _list_given_axes(operation, place):
    """Returns the axes of an operation that is given them; any, if they are no constants."""
    axes = tf.get_static_value(operation.inputs[place])
    rank = operation.inputs[0].shape.rank
    return range(rank) if axes is None else [int(axis) % rank for axis in axes.flat]


def _list_scanned_axes(operation):
    return [] if kept_sizes.is_cut(operation) else _list_given_axes(operation, 1)


def _list_rolled_axes(operation):
    return _list_given_axes(operation, 2)


def _list_mirrored_axes(operation):
    paddings = tf.get_static_value(operation.inputs[1])
    if paddings is None:
        return _list_all_axes(operation)
    return [axis for axis, ends in enumerate(paddings) if any(ends)]


def _list_axes_from_the_end(operation):
    """Returns the axes on which a part begins at an index that counts from the end."""
    begins = tf.get_static_value(operation.inputs[1], partial=True)
    if begins is None:
        return []
    names = ("begin_mask", "ellipsis_mask", "new_axis_mask")
    masks = {name: operation.get_attr(name) for name in names}
    rank = operation.inputs[0].shape.rank
    return kept_sizes.list_axes_from_the_end(rank, begins, **masks).values()


# Functions of an operation that return these axes of its first input.
WRONG = {
    "AvgPool": _list_pooled_axes,
    "AvgPool3D": _list_pooled_axes,
    "CumulativeLogsumexp": _list_scanned_axes,
    "Cumprod": _list_scanned_axes,
    "Cumsum": _list_scanned_axes,
    "MatrixDiagPartV3": _list_all_axes,
    "MirrorPad": _list_mirrored_axes,
    "ResizeBilinear": _list_image_axes,
    "ResizeNearestNeighbor": _list_image_axes,
    "Roll": _list_rolled_axes,
    "StridedSlice": _list_axes_from_the_end,
    "Unique": _list_all_axes,
    "UniqueV2": _list_all_axes,
}
