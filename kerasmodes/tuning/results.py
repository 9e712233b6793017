"""What a search gives: tables of its trials, the file of its best model, TensorBoard's HParams.

Its pictures are in `pictures.py`, and how much each hyperparameter matters is in `importance.py`.
"""

import csv
import os
import pathlib
import warnings
from collections.abc import Callable

import keras
import keras_tuner
import rich.box
import rich.console
import rich.table
import tensorflow as tf
from keras_tuner.engine.trial import Trial

from kerasmodes import atomic_files
from kerasmodes.engine import optimizers
from kerasmodes.tuning import trials as trial_records

CHECKPOINT = "checkpoint.weights.h5"  # keras-tuner's file of the weights of a trial's best epoch
LOST_STATE = "Skipping variable loading for optimizer"  # the start of Keras's warning
EVENTS_SUFFIX = ".hparams"


def best_trials_table(tuner: keras_tuner.Tuner, num_trials: int = 10) -> rich.table.Table:
    """Returns a table of the best trials: a column for each, a row for each hyperparameter.

    Args:
        tuner: A keras-tuner tuner after its search.
        num_trials: Positive int, the most trials, best first; fewer where the terminal has no room.
            Failed trials are last.

    Example: `rich.print(km.tuning.best_trials_table(tuner))`, after that of `search`.
    """
    trials = tuner.oracle.get_best_trials(num_trials)
    tried = {name for trial in trials for name in trial.hyperparameters.values}
    names = [hp.name for hp in tuner.oracle.get_space().space] + ["tuner/epochs"]
    names = [name for name in dict.fromkeys(names) if name in tried]
    console = rich.console.Console()
    without_end = console.options.update(max_width=10**6)
    while True:
        table = _make_table(tuner.oracle.objective.name, names, trials)
        width = console.measure(table, options=without_end).maximum
        if len(trials) < 2 or width <= console.width:
            return table
        trials = trials[:-1]


def _make_table(objective, names, trials):
    columns = [[objective, *map(trial_records.shorten_name, names)]]
    for trial in trials:
        score = f"{trial.score:.5g}" if trial.status == "COMPLETED" else trial.status.lower()
        values = [trial.hyperparameters.values.get(name, "-") for name in names]
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        columns.append([score, *cells])
    table = rich.table.Table(title="Best trials", box=rich.box.SIMPLE_HEAD)
    table.add_column("trial", overflow="fold")
    for trial in trials:
        table.add_column(trial.trial_id, justify="right", overflow="fold")
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def save_trials(tuner: keras_tuner.Tuner, path: str | os.PathLike) -> None:
    """Saves all trials as a CSV file, one row a trial, in the order they were started.

    The columns are `trial`, `status`, `score`, `best_epoch`, `seconds`, each hyperparameter, each
    metric, and `error`, the first line of the error of a failed trial. What a trial has not, such
    as a hyperparameter whose condition is not met, is empty. A hyperparameter with the name of
    another column has `hyperparameter/` before its own.

    `best_epoch` is counted as `fit` prints it: the first is 1. A metric's value is the best of
    those that keras-tuner keeps; of a training history it keeps the best epoch. `seconds` are known
    in a folder that was not copied; of searches by keras-tuner's own call, if `verbose` is not 0.

    Args:
        tuner: A keras-tuner tuner, during its search or after it.
        path: Path of the file, written by an atomic write; its folder is made if missing.

    Example: `km.tuning.save_trials(tuner, "trials.csv")`, after that of `search`.
    """
    trials = trial_records.list_trials(tuner)
    names = trial_records.list_names(tuner)
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics.metrics))
    first = ("trial", "status", "score", "best_epoch", "seconds")
    taken = {*first, *metrics, "error"}
    headings = [f"hyperparameter/{name}" if name in taken else name for name in names]
    times = trial_records.find_times(tuner)
    with (
        atomic_files.atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*first, *headings, *metrics, "error"])
        for trial in trials:
            values = trial_records.find_values(trial)
            rows.writerow(
                [
                    *_describe_result(trial, times),
                    *(values.get(name) for name in names),
                    *(_find_best_value(trial, name) for name in metrics),
                    trial_records.find_error(trial),
                ]
            )


def _describe_result(trial, times):
    """Returns id, status, score, best epoch and seconds of a trial; `None` for what it has not."""
    start, end = times.get(trial.trial_id, (None, None))
    seconds = None if end is None else f"{end - start:.1f}"
    if trial.status != "COMPLETED":
        return trial.trial_id, trial.status, None, None, seconds
    # A trial that Hyperband promotes counts its epochs from 0 again.
    epoch = trial.hyperparameters.values.get("tuner/initial_epoch", 0) + trial.best_step + 1
    return trial.trial_id, trial.status, float(trial.score), epoch, seconds


def _find_best_value(trial, name):
    value = trial.metrics.get_best_value(name) if trial.metrics.exists(name) else None
    return None if value is None else float(value)


def save_best_model(tuner: keras_tuner.Tuner, path: str | os.PathLike) -> None:
    """Saves the best trial's model, of its best epoch, as a `.keras` file, by an atomic write.

    The file holds the state of the optimizers, so that `fit` continues where the epoch ended.

    Args:
        tuner: A keras-tuner tuner after its search.
        path: Path that ends in `.keras`; its folder is made if missing.

    Raises:
        ValueError: If the path ends otherwise.
        RuntimeError: If no trial is finished, or the state of an optimizer cannot be restored.
            `HyperModel.build` must build the optimizers of a model that has several, for example by
            `km.build_optimizer`.

    Example: `km.tuning.save_best_model(tuner, "best.keras")`, after that of `search`.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"`path` must end in .keras. Received: path={str(path)!r}")
    trial_records.check_completed(tuner)
    model = load_with_optimizers(tuner.load_model, tuner, tuner.oracle.get_best_trials(1)[0])
    with atomic_files.atomic_write(path) as temporary:
        model.save(temporary)


def load_with_optimizers(
    load_model: Callable[[Trial], keras.Model], tuner: keras_tuner.Tuner, trial: Trial
) -> keras.Model:
    """Returns a trial's model of its best epoch, with the state of its optimizers.

    Args:
        load_model: Function of a trial that returns its model, with or without that state.
        tuner: A keras-tuner tuner after its search.
        trial: One of its completed trials.

    Raises:
        RuntimeError: If the state of an optimizer cannot be restored.
    """
    with warnings.catch_warnings():
        # The model's optimizer may have no variables yet. They are loaded below.
        warnings.filterwarnings("ignore", LOST_STATE, UserWarning)
        model = load_model(trial)
    checkpoint = pathlib.Path(tuner.get_trial_dir(trial.trial_id), CHECKPOINT)
    if not checkpoint.exists():  # A tuner with its own `load_model` has its own files.
        return model
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", LOST_STATE, UserWarning)
            optimizers.load_with_optimizers(model, checkpoint)
    except (ValueError, UserWarning) as error:
        raise RuntimeError(
            "`tuner` must have a hypermodel whose `build` returns a model with built optimizers. "
            f"Received: {type(model).__name__} of trial {trial.trial_id}, whose optimizers cannot "
            f"be restored. Build each with `km.build_optimizer`. ({error})"
        ) from error
    return model


def write_hparams(tuner: keras_tuner.Tuner, directory: str | os.PathLike) -> None:
    """Writes all trials for the HParams page of TensorBoard, one run a trial.

    A run holds a trial's hyperparameters, its metrics at the best epoch and its status. A second
    call for the same folder replaces what the first wrote, and nothing else.

    Args:
        tuner: A keras-tuner tuner, during its search or after it.
        directory: Folder of the runs; each has its own in it, named by the trial's id.

    Example: `km.tuning.write_hparams(tuner, "logs")`, then `tensorboard --logdir logs`.
    """
    from tensorboard.plugins.hparams import api

    directory = pathlib.Path(directory)
    trials = trial_records.list_trials(tuner)
    objective = tuner.oracle.objective.name
    metrics = dict.fromkeys([objective, *(n for trial in trials for n in trial.metrics.metrics)])
    with _open_events(directory).as_default():
        api.hparams_config(
            hparams=[api.HParam(name) for name in trial_records.list_names(tuner)],
            metrics=[api.Metric(name) for name in metrics],
        )
    for trial in trials:
        values = trial_records.find_values(trial)
        with _open_events(directory / f"trial_{trial.trial_id}").as_default():
            api.hparams(
                {name: value for name, value in values.items() if value is not None},
                trial_id=trial.trial_id,
            )
            for name in trial.metrics.metrics:
                tf.summary.scalar(name, _find_best_value(trial, name), trial.best_step or 0)
            _write_status(trial)


def _open_events(folder):
    """Returns a writer of TensorFlow's events, after it deleted those of an earlier call."""
    for path in folder.glob(f"events.out.tfevents.*{EVENTS_SUFFIX}"):
        path.unlink()
    return tf.summary.create_file_writer(str(folder), filename_suffix=EVENTS_SUFFIX)


def _write_status(trial):
    """Writes that a trial ended well or failed; nothing for one that runs."""
    from tensorboard.plugins.hparams import api_pb2, summary

    statuses = {"COMPLETED": api_pb2.STATUS_SUCCESS, "FAILED": api_pb2.STATUS_FAILURE}
    if trial.status in statuses:
        event = summary.session_end_pb(statuses[trial.status]).SerializeToString()
        tf.summary.experimental.write_raw_pb(event, step=0)
