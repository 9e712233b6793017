"""A model with modes as the last step of a scikit-learn pipeline, its settings chosen by a grid.

Mode: one of those below; "fused" by default. Data: Friedman's function, drawn on the spot.
Run: python scripts/examples/sklearn_pipeline.py [eager|graph|xla|fused]
Prints: the mean R² of each setting in cross-validation, then that of the best on unseen examples.
"""

import sys

import kerasmodes as km  # first: it starts TensorFlow without the usual notices
import keras
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def build_regressor(X: np.ndarray, y: np.ndarray, units: int, mode: str) -> keras.Model:  # noqa: N803
    """Returns a compiled model for these examples; scikit-learn calls it once a fit."""
    keras.utils.set_random_seed(0)  # the same weights and orders in each fit
    inputs = keras.Input(X.shape[1:])
    hidden = keras.layers.Dense(units, "relu")(inputs)
    model = km.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(1e-2), "mean_squared_error", mode=mode)
    return model


def main(mode: str = "fused", epochs: int = 30, widths: tuple = (4, 16, 64)) -> list[float]:
    """Returns R² of each width in cross-validation, then of the best on unseen examples."""
    keras.config.disable_interactive_logging()  # no progress bar in each `predict`
    x, y = make_friedman1(n_samples=1_200, noise=0.5, random_state=0)
    x, unseen_x, y, unseen_y = train_test_split(x, y, test_size=300, random_state=0)
    regressor = keras.wrappers.SKLearnRegressor(build_regressor)
    pipeline = Pipeline([("scale", StandardScaler()), ("train", regressor)])
    settings = [{"units": units, "mode": mode} for units in widths]
    search = GridSearchCV(pipeline, {"train__model_kwargs": settings}, cv=3)
    # Not the wrapper's `fit_kwargs`: Keras 3.15 loses them where scikit-learn clones it.
    search.fit(x, y, train__batch_size=20, train__epochs=epochs, train__verbose=0)
    scores = [*search.cv_results_["mean_test_score"], search.score(unseen_x, unseen_y)]
    for name, score in zip([*settings, "the best, on unseen examples"], scores, strict=True):
        print(f"{name}: {score:.3f}")
    return scores


if __name__ == "__main__":
    main(*sys.argv[1:2])
