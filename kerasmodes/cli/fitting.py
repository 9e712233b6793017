"""A training run of `kerasmodes train`: its seed and strategy, then the fit with its records.

What is trained, on which data, is in `training.py`.
"""

import functools
import inspect
import pathlib
import secrets
import sys
from collections.abc import Sequence
from typing import Any

import jsonargparse
import keras
import tensorflow as tf

from kerasmodes import arguments, atomic_files, callbacks, launching, replicas, strategies
from kerasmodes.cli import progress, run_folders, runs, short_runs, tracking
from kerasmodes.cli.flags import console, name_flag
from kerasmodes.engine import shard_checks

# No settings to compare runs by.
PLACES = {"run", "resume", "data_dir", "idx_dir", "mlflow", "wandb"}


def start(flags: jsonargparse.Namespace) -> tf.distribute.Strategy:
    """Checks the flags, seeds all random numbers and returns the strategy.

    Without `--seed` one is drawn, the same in all workers, so that each run can be repeated. A
    resumed run keeps its own.
    """
    arguments.check_positive_integers(epochs=flags.epochs)
    if flags.checkpoint_every != "epoch" and not flags.resume:
        raise ValueError(
            "`checkpoint_every` needs `resume`: without --resume, no checkpoint is written. "
            f"Received: checkpoint_every={flags.checkpoint_every!r}, resume=False"
        )
    with name_flag("name", "strategy"):
        strategy = strategies.get_strategy(flags.strategy)
    shard_checks.check_batch_size(strategy, flags.batch_size)
    if flags.seed is None and flags.resume:
        flags.seed = run_folders.read_seed(flags.run)
    if flags.seed is None:
        flags.seed = replicas.broadcast_from_chief(strategy, secrets.randbits(31))
    arguments.check_seed(flags.seed)
    keras.utils.set_random_seed(flags.seed)
    return strategy


@name_flag("directory", "run")  # Of the checkpoints, in the folder of the run.
def fit(
    model: keras.Model,
    folder: pathlib.Path,
    extra_callbacks: Sequence[keras.callbacks.Callback],
    flags: jsonargparse.Namespace,
    **fit_arguments: Any,
) -> None:
    """Trains with the run's records and saves the model, also after Ctrl-C, SIGTERM or a NaN.

    With several workers, only the chief prints and writes.
    """
    guards, resume = _make_guards(folder, flags)
    loggers = tracking.make_run_loggers(flags, folder)
    fit_arguments = short_runs.limit_data(flags, **fit_arguments)
    if not replicas.is_chief(model.distribute_strategy):
        run = functools.partial(short_runs.run_once, model) if flags.fast_dev_run else model.fit
        run(**fit_arguments, verbose=0, callbacks=[*guards, *resume])
        return
    history = keras.callbacks.CSVLogger(folder / run_folders.HISTORY, append=flags.resume)
    run_record = callbacks.RunRecord(folder / run_folders.RECORD)
    records = [
        *guards,  # First: what they restore, the others save.
        *extra_callbacks,  # Before those that record: they may add to the logs.
        history,
        _make_board(model, folder, flags),
        callbacks.LossCurves(folder / run_folders.CURVES),
        run_record,
        *resume,
    ]
    if flags.fast_dev_run:
        short_runs.run_once(model, records, **fit_arguments)
        return
    records += loggers  # Last: they copy what the others have written.
    is_new = not (folder / run_folders.CONFIG).exists()
    console.print(f"Run folder:  {folder} (mode {model.mode!r})")
    run_folders.write_config(folder, flags)
    records.append(progress.ProgressBar())
    try:
        with launching.call_on_sigterm(sys.exit), tracking.name_stores():
            model.fit(
                **fit_arguments, verbose=progress.choose_verbosity(console), callbacks=records
            )
    except (KeyboardInterrupt, SystemExit, FloatingPointError) as error:
        run_record.end(error)
        if history.csv_file is not None:  # Training has started.
            for record in records:
                record.on_train_end()
            _save(model, folder)
        elif is_new:
            run_folders.remove_failed_start(folder)
        raise
    except Exception:
        for logger in loggers:
            logger.on_train_end()
        if is_new:
            run_folders.remove_failed_start(folder)
        raise
    finally:
        if history.csv_file is not None:
            history.csv_file.close()  # Keras does not close it after an error.
    _save(model, folder)
    console.print(f"Loss curves: {folder}/losses.png")


def _make_guards(folder, flags):
    """Returns what stops at NaN, and what resumes a run that was stopped: each a list."""
    guards = [callbacks.NaNGuard(folder / "nan", raise_error=True)] if flags.nan_guard else []
    if not flags.resume:
        return guards, []
    directory = folder / run_folders.PROGRESS
    return guards, [callbacks.Resume(directory, every=flags.checkpoint_every)]


def _make_board(model, folder, flags):
    """Returns what writes for TensorBoard: curves, the settings, and samples of a GAN."""
    samples = {}
    if hasattr(model, "latent_dim"):
        default = inspect.signature(callbacks.SampleGrid).parameters["num_images"].default
        samples = {"num_images": default, **runs.choose_samples(flags)}
    settings = {name: value for name, value in flags.as_dict().items() if name not in PLACES}
    return callbacks.TensorBoard(
        folder / run_folders.EVENTS,
        hparams={**settings, "mode": model.mode},
        write_graph=False,
        **samples,
    )


def _save(model, folder):
    with atomic_files.atomic_write(folder / run_folders.MODEL) as temporary:
        model.save(temporary)
    console.print(f"Model:       {folder}/model.keras")
