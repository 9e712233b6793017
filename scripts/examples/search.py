"""A search of learning rate and width with keras-tuner, each trial trained in a fused loop.

Mode: one of those below; "fused" by default. Data: `km.data.sums`, made on the spot.
Run: python scripts/examples/search.py [eager|graph|xla|fused]
Prints: a table of the trials, best first, then the validation loss of the best model, loaded.
"""

import functools
import sys
import tempfile

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import keras_tuner
import rich


def build_model(hp: keras_tuner.HyperParameters, mode: str) -> keras.Model:
    """Returns a compiled model that hyperparameters describe; its optimizer's state is saved."""
    inputs = keras.Input((20,))
    features = keras.layers.Dense(hp.Int("units", 8, 64, step=8), "relu")(inputs)
    model = km.Model(inputs, keras.layers.Dense(1)(features))
    optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-1, sampling="log"))
    model.compile(km.build_optimizer(optimizer, model), "mean_squared_error", mode=mode)
    return model


def main(mode: str = "fused", epochs: int = 5, max_trials: int = 6) -> tuple[list[float], float]:
    """Returns the trials' validation losses, best first, and that of the best model, loaded."""
    x, y = km.data.sums(num_samples=2_000, seed=0)
    validation_data = km.data.sums(num_samples=500, seed=1)
    with tempfile.TemporaryDirectory() as folder:  # a folder that stays resumes the search
        tuner = km.tuning.search(
            functools.partial(build_model, mode=mode),
            tuner="random",
            objective="val_loss",
            max_trials=max_trials,
            epochs=epochs,
            directory=folder,
            seed=0,
            x=x,
            y=y,
            validation_data=validation_data,
            verbose=0,
        )
        rich.print(km.tuning.best_trials_table(tuner))
        km.tuning.save_best_model(tuner, f"{folder}/best.keras")
        best = keras.models.load_model(f"{folder}/best.keras")
    loss = best.evaluate(*validation_data, verbose=0)
    print(f"the best model, loaded: {loss:.4f}")
    return [trial.score for trial in tuner.oracle.get_best_trials(max_trials)], loss


if __name__ == "__main__":
    main(*sys.argv[1:2])
