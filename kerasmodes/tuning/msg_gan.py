"""`MSGGANHyperModel`: what a search varies of `km.MSGGAN`."""

import keras
import keras_tuner

from kerasmodes.models import MSGGAN
from kerasmodes.models.msg_gan import penalties, presets
from kerasmodes.tuning.batch_size import BatchSizeHyperModel


class MSGGANHyperModel(BatchSizeHyperModel):
    """Search space of `km.MSGGAN`: latents, widths, both Adam optimizers, R1, batch size.

    `fit` takes an array of images or a `tf.data.Dataset` of batches, which is batched again.

    Args:
        image_shape: `(height, width, channels)`, as in `km.MSGGAN`.
        num_scales: Positive int, as in `km.MSGGAN`.
        mode: The `mode` of the model's `compile`.

    Example:

    ```python
    objective = keras_tuner.Objective("g_loss", "min")
    hypermodel = km.tuning.MSGGANHyperModel()
    tuner = keras_tuner.RandomSearch(hypermodel, objective, max_trials=2, directory="gan")
    tuner.search(km.data.images("fashion_mnist_sample", split="train[:128]"), epochs=1)
    ```
    """

    batch_sizes = (32, 64, 128)

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        num_scales: int = 3,
        mode: str | None = None,
    ):
        super().__init__()
        self.image_shape = image_shape
        self.num_scales = num_scales
        self.mode = mode

    def build(self, hp: keras_tuner.HyperParameters) -> MSGGAN:
        preset = presets.Default(
            generator_filters=hp.Choice("generator_filters", [32, 64, 128]),
            discriminator_filters=hp.Choice("discriminator_filters", [32, 64, 128]),
        )
        latent_dim = hp.Choice("latent_dim", [32, 64, 100])
        gan = MSGGAN(self.image_shape, self.num_scales, latent_dim, preset=preset)
        penalty = penalties.R1(hp.Float("gamma", 0.1, 10.0, sampling="log"), every=4)
        beta_1 = hp.Choice("beta_1", [0.0, 0.5, 0.9])
        optimizers = {}
        for name in ("generator", "discriminator"):
            rate = hp.Float(f"{name}_learning_rate", 1e-4, 4e-3, sampling="log")
            optimizers[f"{name}_optimizer"] = keras.optimizers.Adam(rate, beta_1=beta_1)
        gan.compile(**optimizers, penalties=penalty, mode=self.mode)
        return gan
