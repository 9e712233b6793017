"""Trains the feature network of `km.metrics` on Fashion-MNIST and writes its file of weights.

Command:  python scripts/assets/train_feature_network.py [npz file, by default the package's own]
Cost:     19 minutes on 2 busy cores (AVX-512 with bfloat16); 8 minutes on idle ones, calculated
          from the 52 ms of a step; 1.5 GB of memory.
Expected: "509746 bytes, sha256 c65c2d20471f6b65...", "252554 parameters", "test accuracy 0.9381".

Copy the SHA-256 that it prints into `kerasmodes/metrics/feature_network.py`. Another number of
threads or another processor gives other weights of the same quality.
"""

import hashlib
import pathlib
import sys

import keras
import numpy as np

import kerasmodes as km
from kerasmodes.metrics.feature_network import WEIGHTS_FILE, make_network, set_weights
from kerasmodes.models.msg_gan.layers import convolutions

SEED = 0
BATCH_SIZE = 128
EPOCHS = 18
WARMUP_EPOCHS = 2
LEARNING_RATE = 0.1
# Keras applies the decay outside the momentum of 0.9: ten times the usual 5e-4 has the same effect.
WEIGHT_DECAY = 5e-3
SHIFT = 2
EPSILON = 1e-3


class ShiftedImages(keras.utils.PyDataset):
    """Shuffled batches of images, each moved by up to two pixels and mirrored half of the time.

    Args:
        images: Float32 array `[n, 28, 28, 1]` in [-1, 1].
        labels: Int array `[n]`.
    """

    def __init__(self, images, labels):
        super().__init__()
        self._generator = np.random.default_rng(SEED)
        _, height, width, _ = images.shape
        border = (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)
        padded = np.pad(images, border, constant_values=-1)
        # [n, top, left, 1, 28, 28]: views, no copies.
        self._windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (1, 2))
        self._labels = labels
        self.on_epoch_end()

    def __len__(self):
        return len(self._labels) // BATCH_SIZE

    def __getitem__(self, index):
        chosen, top, left, mirrored = self._draws[:, index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        images = self._windows[chosen, top, left, 0]
        images = np.where(mirrored[:, None, None], images[..., ::-1], images)
        return images[..., None], self._labels[chosen]

    def on_epoch_end(self):
        count = len(self._labels)
        top, left = self._generator.integers(0, 2 * SHIFT + 1, (2, count))
        mirrored = self._generator.integers(0, 2, count)
        self._draws = np.stack([self._generator.permutation(count), top, left, mirrored])


def load_arrays(split):
    """Returns all images and labels of a split."""
    batches = km.data.images("fashion_mnist", split, 10_000, with_labels=True, seed=SEED)
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def apply_convolution(x, filters, strides, name):
    """Returns the ReLU of a 3×3 convolution of `x` with batch norm, in bfloat16."""
    x = keras.layers.Conv2D(
        filters, 3, strides, "same", use_bias=False, dtype="mixed_bfloat16", name=name
    )(x)
    x = convolutions.BatchNormalization(
        momentum=0.99, epsilon=EPSILON, dtype="mixed_bfloat16", name=f"{name}_normalisation"
    )(x)
    return keras.layers.ReLU(dtype="mixed_bfloat16")(x)


def train(images, labels):
    """Returns the trained network, with batch norm.

    Labels are not smoothed. Smoothing would move the features of a class closer together (Müller et
    al. 2019, arXiv 1906.02629, section 2), and metrics must see the variety within a class.
    """
    network = make_network(apply_convolution)
    batches = ShiftedImages(images, labels)
    warmup_steps = WARMUP_EPOCHS * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        EPOCHS * len(batches) - warmup_steps,
        warmup_target=LEARNING_RATE,
        warmup_steps=warmup_steps,
    )
    model = keras.Model(network.input, network.output[1])
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA's convolutions are slow on a CPU.
    )
    model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=2)
    return network


def fold_batch_norm(network):
    """Returns the weights, float16, with batch norm folded into kernels and biases."""
    weights = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            (kernel,) = layer.get_weights()
            normalisation = network.get_layer(f"{layer.name}_normalisation")
            gamma, beta, mean, variance = normalisation.get_weights()
            scale = gamma / np.sqrt(variance + EPSILON)
            weights[f"{layer.name}_kernel"] = kernel * scale
            weights[f"{layer.name}_bias"] = beta - mean * scale
    weights["classes_kernel"], weights["classes_bias"] = network.get_layer("classes").get_weights()
    return {name: array.astype("float16") for name, array in weights.items()}


def measure_accuracy(weights):
    """Returns the share of the 10,000 test images that the rounded weights classify correctly."""
    network = make_network()
    set_weights(network, weights)
    images, labels = load_arrays("test")
    _, probabilities = network.predict(images, batch_size=500, verbose=0)
    return np.mean(probabilities.argmax(-1) == labels)


def main(path):
    keras.utils.set_random_seed(SEED)
    weights = fold_batch_norm(train(*load_arrays("train")))
    with open(path, "wb") as file:
        np.savez(file, **weights)
    content = pathlib.Path(path).read_bytes()
    print(f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    print(f"{sum(array.size for array in weights.values())} parameters")
    print(f"test accuracy {measure_accuracy(weights):.4f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else WEIGHTS_FILE)
