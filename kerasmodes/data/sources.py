"""`from_source`: examples that are had by their numbers, each read where it is used.

How they are read is not here: that is `engine/examples.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from kerasmodes import arguments
from kerasmodes.engine import examples


def from_source(
    source: Any,
    batch_size: int = 32,
    map_func: Callable[[Any, np.random.Generator], Any] | None = None,
    num_threads: int = 1,
) -> keras.utils.PyDataset:
    """Returns batches of the examples of a source, for `fit`, `evaluate` and `predict`.

    A source is read as arrays are: the batches, their order in each epoch and the numbers of a fit
    are the same to the bit. But an example is read only when it is used. With several workers, each
    reads its own examples only; of a last batch that cannot be cut into equal shards, all. `fit`
    shuffles the examples unless it is given `shuffle=False`; `keras.utils.set_random_seed` decides
    in which orders. `km.callbacks.Resume` resumes in mid-epoch without reading again.

    While steps run, threads read ten batches ahead. They share Python's lock: more of them help
    where an example waits for a disk or for NumPy.

    Args:
        source: What has `len(source)` examples `source[index]`: a data source of TFDS or Grain, a
            map-style data set of PyTorch, a list or a class of your own. The same on each worker.
            An example is an array, a tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)`, or a
            dictionary; all have the same shapes and dtypes. Lists count as tuples, and floats
            become `keras.config.floatx()`.
        batch_size: Positive integer: examples in a batch, under a strategy the global batch.
        map_func: Function of an example and a `np.random.Generator` that returns the example for
            the model, or `None`. When shuffled, the generator follows from seed, epoch and example:
            numbers that it draws are the same on any number of workers, and after a resume.
            Otherwise it follows from the example alone: each validation sees the same.
        num_threads: Positive integer: examples that are read at a time.

    Returns:
        A `keras.utils.PyDataset`. Models without modes read it batch by batch.

    Raises:
        TypeError: If `source` has no examples by number, or `map_func` cannot be called.
        ValueError: If a size is not positive; in `fit`, if examples differ in shape or dtype, are
            no numbers, or if workers have other sources.

    Example:

    ```python
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), "uint8")

    class Folder:
        def __len__(self):
            return 12

        def __getitem__(self, index):  # on two workers, each reads six images in an epoch
            return images[index], index % 3

    def flip(example, generator):
        image, label = example
        image = image / 127.5 - 1
        return image[:, ::-1] if generator.random() < 0.5 else image, label

    data = km.data.from_source(Folder(), batch_size=4, map_func=flip)
    ```
    """
    _check_source(source)
    arguments.check_positive_integers(batch_size=batch_size, num_threads=num_threads)
    if map_func is not None and not callable(map_func):
        raise TypeError(
            "`map_func` must be a function of an example and a generator, or None. "
            f"Received: map_func={map_func!r}"
        )
    return examples.Examples(source, int(batch_size), map_func, int(num_threads))


def _check_source(source):
    if isinstance(source, keras.utils.PyDataset):
        raise TypeError(
            "`source` must give single examples. Received: a keras.utils.PyDataset, which gives "
            f"batches: {type(source).__name__}. Give it to `fit` as it is, or let its "
            "`__getitem__` return one example in a class without that base."
        )
    if isinstance(source, tuple):
        raise TypeError(
            "`source` must give single examples. Received: a tuple. Arrays are given to `fit` "
            "as they are; those that are not in memory, in a class whose `__getitem__` returns "
            "a tuple for each example."
        )
    has_both = all(hasattr(source, name) for name in ("__len__", "__getitem__"))
    if not has_both or isinstance(source, (Mapping, str, bytes)):
        raise TypeError(
            "`source` must have `__len__` and a `__getitem__` that takes an integer. "
            f"Received: a {type(source).__name__}"
        )
