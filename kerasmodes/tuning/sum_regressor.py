"""`SumRegressorHyperModel`: what a search varies of `km.SumRegressor`."""

import keras
import keras_tuner

from kerasmodes.models import SumRegressor
from kerasmodes.tuning.batch_size import BatchSizeHyperModel


class SumRegressorHyperModel(BatchSizeHyperModel):
    """Search space of `km.SumRegressor`: hidden layers, optimizer, learning rate, batch size.

    Args:
        num_features: Positive int, the width of `x`.
        mode: The `mode` of the model's `compile`.
        loss: The `loss` of the model's `compile`.

    Example:

    ```python
    hypermodel = km.tuning.SumRegressorHyperModel(num_features=5, mode="fused")
    tuner = keras_tuner.RandomSearch(hypermodel, "val_loss", max_trials=3, directory="sum")
    tuner.search(*km.data.sums(1_000, 5), epochs=2, validation_split=0.1)
    ```
    """

    batch_sizes = (1, 8, 32, 128)

    def __init__(
        self,
        num_features: int = 20,
        mode: str | None = None,
        loss: str | keras.losses.Loss = "mean_squared_error",
    ):
        super().__init__()
        self.num_features = num_features
        self.mode = mode
        self.loss = loss

    def build(self, hp: keras_tuner.HyperParameters) -> SumRegressor:
        hp.Int("hidden_layers", 1, 3)
        units = []
        for layer in (1, 2, 3):
            with hp.conditional_scope("hidden_layers", list(range(layer, 4))):
                units.append(hp.Int(f"units_{layer}", 8, 64, step=8))  # None if out of scope.
        optimizer = keras.optimizers.get(hp.Choice("optimizer", ["adam", "rmsprop", "sgd"]))
        optimizer.learning_rate = hp.Float("learning_rate", 1e-4, 3e-2, sampling="log")
        model = SumRegressor([width for width in units if width])
        model.compile(optimizer, loss=self.loss, mode=self.mode)
        # Keras restores the state of built optimizers only.
        model.build((None, self.num_features))
        optimizer.build(model.trainable_variables)
        return model
