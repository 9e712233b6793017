"""`MSGGANHyperModel`: what a search varies of `km.MSGGAN`."""

import contextlib
import functools
from collections.abc import Sequence

import keras
import keras_tuner

from kerasmodes import arguments
from kerasmodes.models import MSGGAN
from kerasmodes.models.msg_gan import presets
from kerasmodes.models.msg_gan.losses import LOSSES
from kerasmodes.models.msg_gan.penalties import PENALTIES
from kerasmodes.tuning import ranges
from kerasmodes.tuning.batch_size import BatchSize

NO_PENALTY = "none"


class MSGGANHyperModel(BatchSize):
    """Search space of `km.MSGGAN`: scales, latents, widths, loss, penalty, both optimizers, batch.

    The preset `"default"` is in it, and its settings are the defaults of the hyperparameters. A
    search by `km.tuning.search` minimizes `val_frechet` unless told otherwise: give it a
    `km.callbacks.GenerationMetrics`. A loss of a GAN does not tell how good its images are.

    A range is two numbers, drawn from evenly by their logarithms, or one number that is fixed.
    Choices may be one, too. What is fixed is no hyperparameter.

    Args:
        image_shape: `(height, width, channels)`, as in `km.MSGGAN`.
        num_scales: Positive ints to choose from, as in `km.MSGGAN`.
        mode: The `mode` of the model's `compile`.
        latent_dims: Positive ints to choose from: the `latent_dim`.
        filters: Positive ints to choose from: the widths of each network.
        half_lives: Positive ints to choose from: images after which a weight counts half in the
            average of the generator's weights. `None` is for no average.
        losses: Names of adversarial losses to choose from.
        penalties: Names of penalties to choose from; `"none"` is without.
        gamma: Range of positive numbers: the weight of the penalty in the first step.
        gamma_decay_steps: Range of positive ints: steps after which that weight has fallen to half,
            by a `keras.optimizers.schedules.InverseTimeDecay`. `None` is for a constant weight.
        learning_rate: Range of positive numbers: the learning rate of each optimizer in the first
            step.
        learning_rate_decay_steps: Range of positive ints: steps after which the learning rates have
            fallen to half, as in `gamma_decay_steps`. `None` is for constant rates.
        beta_1: Numbers in [0, 1) to choose from: the `beta_1` of both Adam optimizers.
        beta_2: Numbers in [0, 1) to choose from: the `beta_2` of both Adam optimizers.
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
        latent_dims: int | Sequence[int] = (32, 64, 100),
        filters: int | Sequence[int] = (32, 64, 128),
        half_lives: int | Sequence[int] | None = (5_000, 20_000, 80_000),
        losses: str | Sequence[str] = ("non_saturating",),
        penalties: str | Sequence[str] = ("r1",),
        gamma: float | Sequence[float] = (0.3, 30.0),
        gamma_decay_steps: int | Sequence[int] | None = (1_250, 80_000),
        learning_rate: float | Sequence[float] = (5e-4, 8e-3),
        learning_rate_decay_steps: int | Sequence[int] | None = (300, 20_000),
        beta_1: float | Sequence[float] = (0.0, 0.5, 0.9),
        beta_2: float | Sequence[float] = (0.9, 0.99, 0.999),
        batch_sizes: int | Sequence[int] = (8, 16, 32, 64),
        seed: int | None = None,
    ):
        super().__init__(choices=ranges.read_sizes("batch_sizes", batch_sizes))
        arguments.check_image_shape(image_shape)
        arguments.check_seed(seed, can_be_none=True)
        self.image_shape, self.mode, self.seed = tuple(image_shape), mode, seed
        self.num_scales = ranges.read_sizes("num_scales", num_scales)
        self.latent_dims = ranges.read_sizes("latent_dims", latent_dims)
        self.filters = ranges.read_sizes("filters", filters)
        self.half_lives = (
            None if half_lives is None else ranges.read_sizes("half_lives", half_lives)
        )
        self.losses = ranges.read_names("losses", losses, LOSSES)
        self.penalties = ranges.read_names("penalties", penalties, [*PENALTIES, NO_PENALTY])
        is_positive = arguments.is_positive_number
        self.gamma = ranges.read_range("gamma", gamma, is_positive)
        self.learning_rate = ranges.read_range("learning_rate", learning_rate, is_positive)
        self.gamma_decay_steps = _read_steps("gamma_decay_steps", gamma_decay_steps)
        self.learning_rate_decay_steps = _read_steps(
            "learning_rate_decay_steps", learning_rate_decay_steps
        )
        self.beta_1, self.beta_2 = _read_betas("beta_1", beta_1), _read_betas("beta_2", beta_2)

    def build(self, hp: keras_tuner.HyperParameters) -> MSGGAN:
        num_scales = ranges.choose(hp, "num_scales", self.num_scales)
        preset = presets.Default(
            generator_filters=_choose(hp, "generator_filters", self.filters),
            discriminator_filters=_choose(hp, "discriminator_filters", self.filters),
            half_life=self.half_lives and _choose(hp, "half_life", self.half_lives),
        )
        latent_dim = _choose(hp, "latent_dim", self.latent_dims)
        gan = MSGGAN(self.image_shape, num_scales, latent_dim, preset=preset, seed=self.seed)
        gan.compile(
            **self._make_optimizers(hp),
            loss=ranges.choose(hp, "loss", self.losses),
            penalties=self._make_penalty(hp),
            mode=self.mode,
        )
        return gan

    def _make_optimizers(self, hp):
        betas = {name: _choose(hp, name, getattr(self, name)) for name in ("beta_1", "beta_2")}
        steps = _draw(hp, "learning_rate_decay_steps", self.learning_rate_decay_steps)
        optimizers = {}
        for network in ("generator", "discriminator"):
            rate = _draw(hp, f"{network}_learning_rate", self.learning_rate)
            optimizer = keras.optimizers.Adam(_make_schedule(rate, steps), **betas)
            optimizers[f"{network}_optimizer"] = optimizer
        return optimizers

    def _make_penalty(self, hp):
        name = ranges.choose(hp, "penalty", self.penalties)
        names = [one for one in self.penalties if one != NO_PENALTY]
        if not names:
            return None
        is_alone = len(self.penalties) == 1
        with contextlib.nullcontext() if is_alone else hp.conditional_scope("penalty", names):
            gamma = _draw(hp, "gamma", self.gamma)
            steps = _draw(hp, "gamma_decay_steps", self.gamma_decay_steps)
        if name == NO_PENALTY:
            return None
        return PENALTIES[name](_make_schedule(gamma, steps), every=_read_preset()["penalty_every"])


def _read_steps(name, value):
    return None if value is None else ranges.read_range(name, value, arguments.is_positive_integer)


def _read_betas(name, value):
    def is_beta(one):
        return arguments.is_number(one) and 0 <= one < 1

    found = ranges.read_choices(name, value, is_beta, "numbers from 0 up and below 1")
    return tuple(map(float, found))  # keras-tuner takes choices of one type.


def _choose(hp, name, choices):
    return ranges.choose(hp, name, choices, _read_preset()[name])


def _draw(hp, name, bounds):
    return None if bounds is None else ranges.draw(hp, name, bounds, _read_preset()[name])


@functools.cache
def _read_preset():
    """Returns the preset `default`, as hyperparameters."""
    preset = presets.Default()
    (penalty,) = preset.penalties()
    optimizer = preset.optimizer().get_config()
    rate, gamma = optimizer["learning_rate"]["config"], penalty.get_config()["gamma"]["config"]
    return {
        **preset.get_config(),
        "latent_dim": preset.latent_dim,
        "penalty_every": penalty.every,
        "gamma": gamma["initial_learning_rate"],
        "gamma_decay_steps": gamma["decay_steps"],
        "generator_learning_rate": rate["initial_learning_rate"],
        "discriminator_learning_rate": rate["initial_learning_rate"],
        "learning_rate_decay_steps": rate["decay_steps"],
        "beta_1": optimizer["beta_1"],
        "beta_2": optimizer["beta_2"],
    }


def _make_schedule(first, steps):
    """Returns a schedule that has fallen to half after so many steps; without them, a constant."""
    if steps is None:
        return first
    return keras.optimizers.schedules.InverseTimeDecay(first, steps, decay_rate=1.0)
