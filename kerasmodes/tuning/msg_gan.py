"""`MSGGANHyperModel`: what a search varies of `km.MSGGAN`."""

from collections.abc import Sequence

import keras
import keras_tuner

from kerasmodes import arguments
from kerasmodes.models import MSGGAN
from kerasmodes.models.msg_gan import presets
from kerasmodes.models.msg_gan.losses import LOSSES
from kerasmodes.models.msg_gan.penalties import PENALTIES
from kerasmodes.tuning.batch_size import BatchSize, check_sizes

NO_PENALTY = "none"
PENALTY_INTERVAL = 4  # Steps from one penalty to the next: a quarter of its cost.


class MSGGANHyperModel(BatchSize):
    """Search space of `km.MSGGAN`: scales, latents, widths, loss, penalty, both optimizers, batch.

    A search by `km.tuning.search` minimizes `val_frechet` unless told otherwise: give it a
    `km.callbacks.GenerationMetrics`. A loss of a GAN does not tell how good its images are.

    Args:
        image_shape: `(height, width, channels)`, as in `km.MSGGAN`.
        num_scales: Positive int, or several to choose from, as in `km.MSGGAN`.
        mode: The `mode` of the model's `compile`.
        latent_dims: Positive ints to choose from: the `latent_dim`.
        filters: Positive ints to choose from: the widths of each network.
        losses: Names of adversarial losses to choose from.
        penalties: Names of penalties to choose from; `"none"` is without.
        gamma: Two positive numbers, the weakest and the strongest penalty; drawn evenly by its
            logarithm.
        learning_rate: Two positive numbers, the lowest and the highest rate of each optimizer;
            drawn evenly by its logarithm.
        beta_1: Numbers in [0, 1) to choose from: the `beta_1` of both Adam optimizers.
        batch_sizes: Positive ints to choose from.
        seed: The `seed` of each trial's `km.MSGGAN`.

    Raises:
        ValueError: If a range is empty or a choice impossible.

    Example:

    ```python
    hypermodel = km.tuning.MSGGANHyperModel()
    evaluate = km.callbacks.GenerationMetrics(
        km.data.images("fashion_mnist_sample", split="test"), num_images=128
    )
    tuner = km.tuning.search(
        hypermodel,
        max_trials=2,
        epochs=1,
        directory="gan",
        x=km.data.images("fashion_mnist_sample", split="train[:128]"),
        callbacks=[evaluate],
    )
    ```
    """

    objective = keras_tuner.Objective("val_frechet", "min")

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        num_scales: int | Sequence[int] = 3,
        mode: str | None = None,
        latent_dims: Sequence[int] = (32, 64, 100),
        filters: Sequence[int] = (32, 64, 128),
        losses: Sequence[str] = ("non_saturating",),
        penalties: Sequence[str] = ("r1",),
        gamma: Sequence[float] = (0.1, 10.0),
        learning_rate: Sequence[float] = (1e-4, 4e-3),
        beta_1: Sequence[float] = (0.0, 0.5, 0.9),
        batch_sizes: Sequence[int] = (32, 64, 128),
        seed: int | None = None,
    ):
        num_scales = (num_scales,) if isinstance(num_scales, int) else tuple(num_scales)
        check_sizes("batch_sizes", batch_sizes)
        check_sizes("num_scales", num_scales)
        check_sizes("latent_dims", latent_dims)
        check_sizes("filters", filters)
        super().__init__(choices=batch_sizes)
        arguments.check_image_shape(image_shape)
        arguments.check_seed(seed, can_be_none=True)
        self.image_shape = tuple(image_shape)
        self.num_scales, self.mode, self.seed = num_scales, mode, seed
        for loss in losses:
            arguments.check_choice("losses", loss, LOSSES)
        for penalty in penalties:
            arguments.check_choice("penalties", penalty, [*PENALTIES, NO_PENALTY])
        arguments.check_range("gamma", gamma, arguments.is_positive_number)
        arguments.check_range("learning_rate", learning_rate, arguments.is_positive_number)
        if not beta_1 or not all(arguments.is_number(one) and 0 <= one < 1 for one in beta_1):
            raise ValueError(
                "`beta_1` must be one or more numbers from 0 up and below 1. "
                f"Received: beta_1={beta_1!r}"
            )
        self.latent_dims, self.filters = tuple(latent_dims), tuple(filters)
        self.losses, self.penalties = tuple(losses), tuple(penalties)
        self.gamma, self.learning_rate = tuple(gamma), tuple(learning_rate)
        self.beta_1 = tuple(beta_1)

    def build(self, hp: keras_tuner.HyperParameters) -> MSGGAN:
        num_scales = _choose(hp, "num_scales", self.num_scales)
        preset = presets.Default(
            generator_filters=hp.Choice("generator_filters", list(self.filters)),
            discriminator_filters=hp.Choice("discriminator_filters", list(self.filters)),
        )
        latent_dim = hp.Choice("latent_dim", list(self.latent_dims))
        gan = MSGGAN(self.image_shape, num_scales, latent_dim, preset=preset, seed=self.seed)
        beta_1 = hp.Choice("beta_1", list(self.beta_1))
        optimizers = {}
        for name in ("generator", "discriminator"):
            rate = hp.Float(f"{name}_learning_rate", *self.learning_rate, sampling="log")
            optimizers[f"{name}_optimizer"] = keras.optimizers.Adam(rate, beta_1=beta_1)
        gan.compile(
            **optimizers,
            loss=_choose(hp, "loss", self.losses),
            penalties=self._make_penalty(hp),
            mode=self.mode,
        )
        return gan

    def _make_penalty(self, hp):
        name = _choose(hp, "penalty", self.penalties)
        if len(self.penalties) == 1:
            return None if name == NO_PENALTY else self._weigh(hp, name)
        with hp.conditional_scope("penalty", [one for one in self.penalties if one != NO_PENALTY]):
            return self._weigh(hp, name)

    def _weigh(self, hp, name):
        gamma = hp.Float("gamma", *self.gamma, sampling="log")
        # Out of scope, without a penalty, it is None.
        return gamma and PENALTIES[name](gamma, every=PENALTY_INTERVAL)


def _choose(hp, name, choices):
    """Returns one of the choices; no hyperparameter is made if there is only one."""
    return hp.Choice(name, list(choices)) if len(choices) > 1 else choices[0]
