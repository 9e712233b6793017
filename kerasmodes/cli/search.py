"""`kerasmodes tune`: a search, the table of its best trials and the file of its best model."""

import pathlib

import jsonargparse

from kerasmodes import data, tuning
from kerasmodes.cli.flags import Command, add_arguments, console, pick

VALIDATION_SHARE = 0.1
NOT_FLAGS = {"hypermodel", "hyperparameters", "distribution_strategy"}


def tune_sum(parser: jsonargparse.ArgumentParser) -> Command:
    """Search settings of the sum regressor; print the best trials and save the best model."""
    model_flags = add_arguments(
        parser, "model", tuning.SumRegressorHyperModel, skip={"num_features", "hypermodel"}
    )
    data_flags = add_arguments(parser, "data", data.sums, skip={"seed"})
    search_flags = add_arguments(parser, "search", tuning.search, skip=NOT_FLAGS)

    def run(flags: jsonargparse.Namespace) -> None:
        x, y = data.sums(**pick(flags, data_flags), seed=flags.seed)
        tuner = tuning.search(
            tuning.SumRegressorHyperModel(flags.num_features, **pick(flags, model_flags)),
            **pick(flags, search_flags),
            x=x,
            y=y,
            validation_split=VALIDATION_SHARE,
        )
        console.print(tuning.best_trials_table(tuner))
        best = pathlib.Path(flags.directory) / "best.keras"
        tuning.save_best_model(tuner, best)
        console.print(f"Best model: {best}")

    return run
