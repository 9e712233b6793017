"""`kerasmodes tune`: a search from start to the saved best model."""

import pathlib

from kerasmodes import data, tuning
from kerasmodes.cli.flags import console, pick

VALIDATION_SHARE = 0.1


def tune_sum(parser):
    """Search the sum regressor's settings; print the best trials and save the best model."""
    of_hypermodel = parser.add_class_arguments(tuning.SumRegressorHyperModel, skip={"num_features"})
    of_data = parser.add_function_arguments(data.sums, skip={"seed"})
    of_search = parser.add_function_arguments(tuning.search, skip={"hypermodel", "fit_arguments"})

    def run(flags):
        x, y = data.sums(**pick(flags, of_data), seed=flags.seed)
        tuner = tuning.search(
            tuning.SumRegressorHyperModel(flags.num_features, **pick(flags, of_hypermodel)),
            **pick(flags, of_search),
            x=x,
            y=y,
            validation_split=VALIDATION_SHARE,
        )
        console.print(tuning.best_trials_table(tuner))
        best = pathlib.Path(flags.directory) / "best.keras"
        tuning.save_best_model(tuner, best)
        console.print(f"Best model: {best}")

    return run
