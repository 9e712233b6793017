"""The operations that XLA computes with the bound of a size, and the axes on which it does.

Found by computing some 300 operations, layers, losses and their gradients with XLA and without it
(TensorFlow 2.21), of a part of a tensor; a third of them also of examples that a mask has chosen.
The others were right, or XLA itself refused them.
"""

import tensorflow as tf


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
    return _list_given_axes(operation, 1)


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
    masks = ("begin_mask", "ellipsis_mask", "new_axis_mask")
    begin_mask, ellipsis_mask, new_axis_mask = map(operation.get_attr, masks)
    axes, axis = [], 0
    for place, begin in enumerate(begins):
        bit = 1 << place
        if ellipsis_mask & bit:
            later = sum(not new_axis_mask & 1 << p for p in range(place + 1, len(begins)))
            axis = operation.inputs[0].shape.rank - later
        elif not new_axis_mask & bit:
            if begin is not None and begin < 0 and not begin_mask & bit:
                axes.append(axis)
            axis += 1
    return axes


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
