"""Makes the bundled sample of Fashion-MNIST, kerasmodes/data/fashion_mnist_sample.npz.

Command:  python scripts/assets/make_fashion_mnist_sample.py [folder of the four IDX files]
          (default folder: /usr/share/datasets/fashion-mnist, of Debian's dataset-fashion-mnist)
Cost:     9 seconds and 800 MB of memory, most of both for importing TensorFlow.
Expected: "1024 training and 256 test images, 560748 bytes, sha256 of the arrays 025cfe1f468703cc"
          (another zlib can give another size, never another digest).

The sample is the first 102 or 103 training and 25 or 26 test images of each class, in the order of
the files. `images("fashion_mnist_sample")` reads it; nothing else of the package uses this script.
"""

import hashlib
import pathlib
import sys

import numpy as np

from kerasmodes.data import fashion_mnist

PATH = pathlib.Path(__file__).parents[2] / "kerasmodes" / "data" / "fashion_mnist_sample.npz"
SIZES = {"train": 1024, "test": 256}


def choose_balanced(labels, size):
    """Returns the sorted indices of `size` examples, the first ones of each class."""
    share, rest = divmod(size, fashion_mnist.NUM_CLASSES)
    classes = range(fashion_mnist.NUM_CLASSES)
    indices = [np.flatnonzero(labels == k)[: share + (k < rest)] for k in classes]
    return np.sort(np.concatenate(indices))


def main(folder):
    arrays = {}
    for split, size in SIZES.items():
        images, labels = fashion_mnist.read_split(folder, split)
        chosen = choose_balanced(labels, size)
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images[chosen], labels[chosen]
    np.savez_compressed(PATH, **arrays)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    print(
        f"{SIZES['train']} training and {SIZES['test']} test images, {PATH.stat().st_size} bytes, "
        f"sha256 of the arrays {digest[:16]}"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else fashion_mnist.DEBIAN_DIR)
