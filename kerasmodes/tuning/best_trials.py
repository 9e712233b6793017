"""What a finished search gives: a table of its best trials, and the file of its best model."""

import os
import pathlib

import keras_tuner
import rich.box
import rich.table

from kerasmodes import atomic_files


def best_trials_table(tuner: keras_tuner.Tuner, num_trials: int = 10) -> rich.table.Table:
    """Returns a table of the best trials, best first: scores and hyperparameters.

    Args:
        tuner: A keras-tuner tuner after its search.
        num_trials: Positive int, the most rows. Failed trials are last, if there is room.

    Example: `rich.print(km.tuning.best_trials_table(tuner))`, after that of `search`.
    """
    trials = tuner.oracle.get_best_trials(num_trials)
    tried = {name for trial in trials for name in trial.hyperparameters.values}
    names = [hp.name for hp in tuner.oracle.get_space().space] + ["tuner/epochs"]
    names = [name for name in dict.fromkeys(names) if name in tried]
    table = rich.table.Table(title="Best trials", box=rich.box.SIMPLE_HEAD, padding=0)
    for name in ("trial", tuner.oracle.objective.name, *names):
        heading = name.removeprefix("tuner/").replace("_", "_\n")  # Ten must fit 80 characters.
        table.add_column(heading, justify="right", overflow="fold")
    for trial in trials:
        score = f"{trial.score:.5g}" if trial.status == "COMPLETED" else trial.status.lower()
        values = [trial.hyperparameters.values.get(name, "-") for name in names]
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        table.add_row(trial.trial_id, score, *cells)
    return table


def save_best_model(tuner: keras_tuner.Tuner, path: str | os.PathLike) -> None:
    """Saves the best trial's model, of its best epoch, as a `.keras` file, by an atomic write.

    keras-tuner restores the state of optimizers only if `HyperModel.build` builds them, as those of
    this package do.

    Args:
        tuner: A keras-tuner tuner after its search.
        path: Path that ends in `.keras`; its folder is made if missing.

    Raises:
        ValueError: If the path ends otherwise.
        RuntimeError: If no trial is finished.

    Example: `km.tuning.save_best_model(tuner, "best.keras")`, after that of `search`.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end in .keras. Received: path={str(path)!r}")
    statuses = [trial.status for trial in tuner.oracle.trials.values()]
    if "COMPLETED" not in statuses:
        raise RuntimeError(f"`tuner` must have a finished trial. Received: {statuses=}")
    model = tuner.get_best_models(1)[0]
    with atomic_files.atomic_write(path) as temporary:
        model.save(temporary)
