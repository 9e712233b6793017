"""Data sets for the package's models, and pictures of image batches.

Nothing here depends on a model or a strategy: the caller brings them together.
"""

from kerasmodes.data.fashion_mnist import prepare
from kerasmodes.data.image_grid import image_grid, label_rows, plot_batch, save_gif, save_image
from kerasmodes.data.image_pipeline import images
from kerasmodes.data.shape_factors import read_colour_shapes
from kerasmodes.data.shapes import colour_shapes
from kerasmodes.data.shards import map_shard
from kerasmodes.data.sources import from_source
from kerasmodes.data.synthetic import sums

__all__ = [
    "colour_shapes",
    "from_source",
    "image_grid",
    "images",
    "label_rows",
    "map_shard",
    "plot_batch",
    "prepare",
    "read_colour_shapes",
    "save_gif",
    "save_image",
    "sums",
]
