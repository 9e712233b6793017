"""`MultiScaleNetworks`: `MSGGAN` without its training: two networks, made, kept and generating.

How they are trained is in `model.py`, their layers in the `networks/`.
"""

import contextlib
import random as python_random
from typing import Any

import keras
import tensorflow as tf

from kerasmodes import arguments, random, replicas
from kerasmodes.engine import Model, plain_models
from kerasmodes.models.msg_gan import augmentation as augmenting
from kerasmodes.models.msg_gan import labels as image_labels
from kerasmodes.models.msg_gan import presets
from kerasmodes.models.msg_gan.moving_average import MovingAverage
from kerasmodes.models.msg_gan.networks import default

GENERATE_BATCH_SIZE = 64
SERIALIZED = ("preset", "augmentation")  # Arguments that are objects.


class MultiScaleNetworks(Model):
    """A preset's generator, with the average of its weights, and discriminator.

    The arguments are those of `MSGGAN`, the only class that needs this one.
    """

    def __init__(
        self,
        image_shape=(28, 28, 1),
        num_scales=3,
        latent_dim=None,
        num_classes=None,
        preset="default",
        augmentation=None,
        seed=None,
        **kwargs,
    ):
        preset = presets.get(preset)
        presets.check_not_misplaced(preset, kwargs)
        latent_dim = preset.latent_dim if latent_dim is None else latent_dim
        arguments.check_image_shape(image_shape)
        arguments.check_positive_integers(num_scales=num_scales, latent_dim=latent_dim)
        if num_classes is not None:
            arguments.check_positive_integers(num_classes=num_classes)
        super().__init__(**kwargs)
        self.image_shape = tuple(image_shape)
        self.num_scales = num_scales
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.preset = preset
        self.augmentation = augmenting.get(augmentation)
        self.seed = seed
        with _global_policy(self.dtype_policy):  # That of a file may differ from the program's.
            self._make_networks()
        self.seed_generator = random.SeedGenerator(seed)
        # Validation has its own stream: it must not change what training draws next.
        self.test_seed_generator = random.SeedGenerator(seed)
        self.means = [
            keras.metrics.Mean(name=name)
            for name in ("g_loss", "d_loss", "real_accuracy", "fake_accuracy")
        ]
        self.built = True

    def _make_networks(self):
        sizes = (self.image_shape, self.num_scales, self.latent_dim, self.num_classes)
        self.generator = self.preset.make_generator(*sizes)
        self.average = None
        if self.preset.half_life is not None:
            copy = self.preset.make_generator(*sizes)
            self.average = MovingAverage(copy, self.preset.half_life)
            copy.set_weights(self.generator.get_weights())
        self.discriminator = self.preset.make_discriminator(*sizes[:2], self.num_classes, self.seed)

    @classmethod
    def from_preset(cls, preset: Any, **kwargs):
        """Returns a model with the networks and the training of a preset.

        Args:
            preset: `"default"`, `"tutorial"`, `"paper"`, or one of `km.presets`.
            **kwargs: As in the constructor.

        Raises:
            ValueError: If there is no such preset, or an argument is wrong.

        Example:

        ```python
        gan = km.MSGGAN.from_preset("paper", image_shape=(32, 32, 3), num_scales=4)
        ```
        """
        return cls(preset=preset, **kwargs)

    def call(self, latents, labels=None, training=False, averaged=True):
        """Returns the images of all scales, but in training those of the averaged weights.

        Args:
            latents: Float tensor `[batch, latent_dim]`, or a pair of such and labels.
            labels: With `num_classes`, ints `[batch]` or one-hot `[batch, num_classes]`; `None`
                takes the classes in turn.
            training: Bool.
            averaged: Whether the averaged weights make them, if not in training and the preset has
                an average.
        """
        if isinstance(latents, (tuple, list)):
            latents, labels = latents
        network = self._pick_generator(averaged and not training)
        return self._make_images(network, latents, labels, training)

    def pyramid(self, images: Any):
        """Returns the images at every scale, smallest first.

        Args:
            images: Float tensor `[batch, height, width, channels]`.

        Returns:
            A list of `num_scales` tensors; the last is `images`, the preset makes the others.
        """
        sizes = default.scale_sizes(self.image_shape, self.num_scales)
        return [self.preset.shrink(images, size) for size in sizes[:-1]] + [images]

    def generate(
        self, num_images: int = 16, seed: Any = None, labels: Any = None, averaged: bool = True
    ):
        """Returns new images at every scale.

        Args:
            num_images: Positive int.
            seed: Int for the same images each time; `None` draws a new seed. Neither touches the
                random state of training.
            labels: With `num_classes`, an int for all images or one an image; `None` takes the
                classes in turn.
            averaged: Whether the averaged weights make them, if the preset has an average.

        Returns:
            A list of float32 NumPy arrays `[num_images, height, width, channels]` in [-1, 1],
            smallest scale first. (The paper's linear heads may leave it.)

        Raises:
            ValueError: If `num_images` is not a positive integer, `seed` no integer, or labels do
                not fit.
        """
        arguments.check_positive_integers(num_images=num_images)
        if self.num_classes is not None:
            labels = image_labels.expand_labels(num_images, labels, self.num_classes)
        elif labels is not None:
            raise ValueError(f"`labels` need a model with num_classes. Received: labels={labels!r}")
        network = self._pick_generator(averaged)
        arguments.check_seed(seed, can_be_none=True, can_be_negative=True)
        # No generator: its variable would have to be made on all workers at once.
        seed = python_random.getrandbits(31) if seed is None else int(seed)
        latents = self._draw_latents(num_images, seed)
        batches = []
        for start in range(0, num_images, GENERATE_BATCH_SIZE):
            part = slice(start, start + GENERATE_BATCH_SIZE)
            own = None if labels is None else labels[part]
            batches.append(self._make_images(network, latents[part], own))
        return [tf.concat(scale, axis=0).numpy() for scale in zip(*batches, strict=True)]

    def export(self, filepath, *args, input_signature=None, **kwargs):
        """As Keras's `export`, of what `km.to_keras` makes: latents to images of all scales.

        Its weights are the averaged ones; with `num_classes`, labels are a second input.

        Args:
            filepath, *args, **kwargs: As in Keras.
            input_signature: As in Keras, for `call`; `None` is latents `[batch, latent_dim]`,
                float32, and with `num_classes` labels `[batch]`, int32, in one list.
        """
        if input_signature is None:
            plain_models.to_keras(self).export(filepath, *args, **kwargs)
        else:
            super().export(filepath, *args, input_signature=input_signature, **kwargs)

    def make_plain(self):
        """Returns what `km.to_keras` does: the generator with the averaged weights.

        Its inputs are latents `[batch, latent_dim]` and, with `num_classes`, int labels `[batch]`;
        with one scale, its output is a tensor, no list.
        """
        network = self.generator if self.average is None else self.average.network
        network = _state_sizes(plain_models.to_keras(network))
        network.trainable = True
        if self.num_classes is None:
            return network
        latents = keras.Input((self.latent_dim,), name="latents")
        labels = keras.Input((), dtype="int32", name="labels")
        classes = image_labels.make_one_hot(labels, self.num_classes)
        return keras.Model([latents, labels], network([latents, classes]), name=self.name)

    def get_config(self):
        names = ("image_shape", "num_scales", "latent_dim", "num_classes", "seed")
        config = {name: getattr(self, name) for name in names}
        parts = {n: keras.saving.serialize_keras_object(getattr(self, n)) for n in SERIALIZED}
        return {**super().get_config(), **config, **parts}

    @classmethod
    def from_config(cls, config):
        parts = {n: keras.saving.deserialize_keras_object(config[n]) for n in SERIALIZED}
        return cls(**{**config, **parts})

    def _pick_generator(self, averaged):
        return self.average if averaged and self.average is not None else self.generator

    def _make_images(self, network, latents, labels, training=False):
        if labels is None and self.num_classes is not None:
            size = tf.shape(latents)[0]
            labels = (replicas.shard_index() * size + tf.range(size)) % self.num_classes
        inputs = image_labels.append_labels([latents], labels, self.num_classes)
        images = network(inputs if labels is not None else latents, training=training)
        return images if isinstance(images, list) else [images]  # Keras unpacks a single output

    def _draw_latents(self, num_images, seed):
        return random.normal((num_images, self.latent_dim), seed=seed)


def _state_sizes(network):
    """Returns a network with the same layers, and the size of each image after its upsampling.

    Keras's upsampling computes the size when it runs, and LiteRT has no convolution of an image
    whose height it does not know.
    """

    def call(layer, *args, **kwargs):
        outputs = layer(*args, **kwargs)
        if not isinstance(layer, keras.layers.UpSampling2D):
            return outputs
        return keras.layers.Reshape(outputs.shape[1:], dtype=outputs.dtype)(outputs)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


@contextlib.contextmanager
def _global_policy(policy):
    """While open, layers are made under a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
