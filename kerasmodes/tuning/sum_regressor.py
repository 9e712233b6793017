"""`SumRegressorHyperModel`: what a search varies of `km.SumRegressor`."""

from collections.abc import Sequence

import keras
import keras_tuner

from kerasmodes import arguments
from kerasmodes.models import SumRegressor
from kerasmodes.tuning import ranges
from kerasmodes.tuning.batch_size import BatchSize


class SumRegressorHyperModel(BatchSize):
    """Search space of `km.SumRegressor`: hidden layers, optimizer, learning rate, batch size.

    Args:
        num_features: Positive int, the width of `x`.
        mode: The `mode` of the model's `compile`.
        loss: The `loss` of the model's `compile`.
        hidden_layers: Two positive ints, the fewest and the most hidden layers; or one, fixed.
        units: Two positive ints, the narrowest and the widest hidden layer; or one, fixed.
        optimizers: Names of Keras optimizers to choose from.
        learning_rate: Two positive numbers, the lowest and the highest learning rate, drawn
            evenly by its logarithm; or one, fixed.
        batch_sizes: Positive ints to choose from.

    Raises:
        ValueError: If a range is empty or a choice impossible.

    Example:

    ```python
    hypermodel = km.tuning.SumRegressorHyperModel(num_features=5, mode="fused")
    tuner = keras_tuner.RandomSearch(hypermodel, "val_loss", max_trials=3, directory="sum")
    tuner.search(*km.data.sums(1_000, 5), epochs=2, validation_split=0.1)
    ```
    """

    def __init__(
        self,
        num_features: int = 20,
        mode: str | None = None,
        loss: str | keras.losses.Loss = "mean_squared_error",
        hidden_layers: int | Sequence[int] = (1, 3),
        units: int | Sequence[int] = (8, 64),
        optimizers: str | Sequence[str] = ("adam", "rmsprop", "sgd"),
        learning_rate: float | Sequence[float] = (1e-4, 3e-2),
        batch_sizes: int | Sequence[int] = (1, 8, 32, 128),
    ):
        super().__init__(choices=ranges.read_sizes("batch_sizes", batch_sizes))
        arguments.check_positive_integers(num_features=num_features)
        self.num_features, self.mode, self.loss = num_features, mode, loss
        is_size = arguments.is_positive_integer
        self.hidden_layers = ranges.read_range("hidden_layers", hidden_layers, is_size)
        self.units = ranges.read_range("units", units, is_size)
        self.optimizers = _read_optimizers(optimizers)
        self.learning_rate = ranges.read_range(
            "learning_rate", learning_rate, arguments.is_positive_number
        )

    def build(self, hp: keras_tuner.HyperParameters) -> SumRegressor:
        fewest, most = self.hidden_layers
        hp.Int("hidden_layers", fewest, most)
        units = []
        for layer in range(1, most + 1):
            with hp.conditional_scope("hidden_layers", list(range(max(layer, fewest), most + 1))):
                units.append(hp.Int(f"units_{layer}", *self.units, step=8))  # None: out of scope.
        optimizer = keras.optimizers.get(hp.Choice("optimizer", list(self.optimizers)))
        optimizer.learning_rate = hp.Float("learning_rate", *self.learning_rate, sampling="log")
        model = SumRegressor([width for width in units if width])
        model.compile(optimizer, loss=self.loss, mode=self.mode)
        # Keras restores the state of built optimizers only.
        model.build((None, self.num_features))
        optimizer.build(model.trainable_variables)
        return model


def _read_optimizers(value):
    """Returns a tuple of names of Keras's optimizers; raises if one is none."""

    def is_known(name):
        try:
            return isinstance(name, str) and keras.optimizers.get(name) is not None
        except ValueError:
            return False

    return ranges.read_choices(
        "optimizers", value, is_known, "names of Keras's optimizers, such as adam or sgd"
    )
