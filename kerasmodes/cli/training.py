"""`kerasmodes train`: trains a model on its data, under a strategy, into a run folder."""

import argparse
import functools
import inspect
import secrets
import sys
from typing import Any

import jsonargparse
import keras

from kerasmodes import (
    arguments,
    atomic_files,
    callbacks,
    data,
    launching,
    models,
    replicas,
    strategies,
)
from kerasmodes.cli import kinds, run_folders, short_runs, tracking
from kerasmodes.cli.compile_flags import add_compile_arguments
from kerasmodes.cli.flags import (
    Command,
    add_arguments,
    add_data_argument,
    add_dtype_argument,
    add_fit_arguments,
    add_flag,
    add_switch,
    console,
    name_flag,
    pick,
    read_images,
)
from kerasmodes.cli.gan_flags import add_gan_arguments, make_gan
from kerasmodes.engine import shard_checks
from kerasmodes.metrics import image_evaluator

NUM_VALIDATION_SUMS = 100
# What a program gives `GenerationMetrics`.
NOT_FLAGS_OF_METRICS = {"images", "network", "metrics", "seed", "averaged"}
# No settings to compare runs by.
PLACES = {"run", "resume", "data_dir", "idx_dir", "mlflow", "wandb"}
SAMPLE_NOTE = (
    "The data are the sample of Fashion-MNIST in the package, at most 1,024 training images. "
    "For all 60,000: --data fashion_mnist"
)


def train_sum(parser: jsonargparse.ArgumentParser) -> Command:
    """Train the sum regressor in a new run folder."""
    model_flags = add_arguments(parser, "model", models.SumRegressor)
    add_dtype_argument(parser)
    data_flags = add_arguments(parser, "data", data.sums, skip={"seed"})
    read_compile = add_compile_arguments(parser, models.SumRegressor)
    fit_flags = add_fit_arguments(parser, "batch_size", "epochs")
    _add_run_arguments(parser, "sum")

    def run(flags: jsonargparse.Namespace) -> None:
        strategy = _start(flags)
        sums = make_sums(pick(flags, data_flags), flags.seed)
        with strategy.scope():
            model = models.SumRegressor(**pick(flags, model_flags), dtype=flags.dtype)
            model.build((None, flags.num_features))
            model.compile(**read_compile(flags))
        folder = run_folders.find_folder(flags, "sum", strategy)
        fit_arguments = pick(flags, fit_flags)
        _fit(model, folder, [], flags, **sums, **fit_arguments)

    return run


def make_sums(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Returns `x`, `y` and `validation_data` of `fit`: the sums of a seed, and some of the next.

    Args:
        settings: `num_samples` and `num_features` of `data.sums`.
        seed: The seed of the run.
    """
    x, y = data.sums(**settings, seed=seed)
    validation = data.sums(NUM_VALIDATION_SUMS, settings["num_features"], seed + 1)
    return {"x": x, "y": y, "validation_data": validation}


def train_msggan(parser: jsonargparse.ArgumentParser) -> Command:
    """Train MSGGAN on images in a new run folder.

    After each epoch, a grid of samples is drawn.
    """
    add_gan_arguments(parser)
    add_data_argument(parser)
    data_flags = add_arguments(parser, "data", data.images, skip={"name", "with_labels", "seed"})
    read_compile = add_compile_arguments(parser, models.MSGGAN)
    fit_flags = add_fit_arguments(parser, "epochs")
    words = "Epochs from one val_frechet to the next; without it, none."
    add_flag(parser, "metrics", "metrics_every", kinds.INT, help=words)
    add_test_split(parser, "metrics")
    skip = NOT_FLAGS_OF_METRICS | {"every", "cache_dir"}
    metric_flags = add_arguments(parser, "metrics", callbacks.GenerationMetrics, skip=skip)
    _add_run_arguments(parser, "msggan")

    def run(flags: jsonargparse.Namespace) -> None:
        strategy = _start(flags)
        images = _load_images(flags, data_flags)
        with strategy.scope():
            gan = make_gan(flags)
            gan.compile(**read_compile(flags, gan.preset))
        _check_images(gan, images)
        folder = run_folders.find_folder(flags, "msggan", strategy)
        if flags.data == inspect.signature(data.images).parameters["name"].default:
            console.print(SAMPLE_NOTE)  # Not above the error of a wrong flag.
        one_of_each = {} if flags.num_classes is None else {"num_images": flags.num_classes}
        watchers = [
            callbacks.SampleGrid(folder / "samples", **one_of_each),
            # A data set of its own: reading that of the training would change its order.
            callbacks.HealthCheck(read_images(flags.data, **pick(flags, data_flags), seed=0)),
        ]
        if flags.metrics_every is not None:
            arguments.check_positive_integers(metrics_every=flags.metrics_every)
            with name_flag("split", "test_split"):
                split = {"split": flags.test_split}
                test = read_images(flags.data, **{**pick(flags, data_flags), **split})
            evaluator = callbacks.GenerationMetrics(
                test, every=flags.metrics_every, **pick(flags, metric_flags)
            )
            image_evaluator.resolve_network(
                gan.image_shape
            )  # Raises if no network takes such images.
            watchers.append(evaluator)
        fit_arguments = pick(flags, fit_flags)
        _fit(gan, folder, watchers, flags, x=images, shuffle=False, **fit_arguments)
        if not flags.fast_dev_run:
            console.print(
                f"Samples:     {folder}/samples/progress.gif, a grid each epoch beside it"
            )

    return run


def add_test_split(parser: jsonargparse.ArgumentParser, title: str) -> None:
    """Adds the flag that names the images which generated ones are compared with."""
    add_flag(parser, title, "test_split", kinds.NAME, "test", "The split of the test images.")


def _add_run_arguments(parser: jsonargparse.ArgumentParser, model: str) -> None:
    # Not for the command line: the file of a run says whose flags it holds.
    parser.add_argument("--model", default=model, help=argparse.SUPPRESS)
    strategy = inspect.signature(strategies.get_strategy).parameters["name"].default
    words = "The name for km.get_strategy."
    add_flag(parser, "run", "strategy", kinds.NAME, strategy, words)
    words = "Fixes all random numbers; config.yaml has it."
    add_flag(parser, "run", "seed", kinds.INT, help=words)
    words = f"New folder; without it, runs/{model}-001, ..."
    add_flag(parser, "run", "run", kinds.PATH, help=words)
    add_flag(parser, "run", "nan_guard", kinds.BOOL, True, "Stop at NaN; name its cause.")
    words = "Write checkpoints; resume from the last."
    add_switch(parser, "run", "resume", words)
    words = "epoch, or a number of steps."
    add_flag(parser, "run", "checkpoint_every", kinds.CHECKPOINT, "epoch", words)
    tracking.add_tracking_arguments(parser)
    short_runs.add_short_run_arguments(parser)


def _load_images(flags, names):
    with_labels = flags.num_classes is not None
    return read_images(flags.data, **pick(flags, names), with_labels=with_labels, seed=flags.seed)


def _check_images(gan, images):
    shape = images.element_spec[0].shape if gan.num_classes else images.element_spec.shape
    if tuple(shape[1:]) != gan.image_shape:
        raise ValueError(
            f"`image_shape` must be that of the data, {list(shape[1:])}. "
            f"Received: image_shape={list(gan.image_shape)}"
        )


def _start(flags):
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


def _fit(model, folder, extra_callbacks, flags, **fit_arguments):
    """Trains with the run's records and saves the model, also after Ctrl-C, SIGTERM or a NaN.

    With several workers, only the chief prints and writes.
    """
    # First: what it restores, the others save.
    guards = [callbacks.NaNGuard(folder / "nan", raise_error=True)] if flags.nan_guard else []
    progress = []
    if flags.resume:
        directory = folder / run_folders.PROGRESS
        progress = [callbacks.Resume(directory, every=flags.checkpoint_every)]
    loggers = tracking.make_run_loggers(flags, folder)
    fit_arguments = short_runs.limit_data(flags, **fit_arguments)
    if not replicas.is_chief(model.distribute_strategy):
        fit = functools.partial(short_runs.run_once, model) if flags.fast_dev_run else model.fit
        fit(**fit_arguments, verbose=0, callbacks=[*guards, *progress])
        return
    history = keras.callbacks.CSVLogger(folder / run_folders.HISTORY, append=flags.resume)
    run_record = callbacks.RunRecord(folder / "run.json")
    records = [
        *guards,
        *extra_callbacks,  # Before those that record: they may add to the logs.
        history,
        _make_board(model, folder, flags),
        callbacks.LossCurves(folder / run_folders.CURVES),
        run_record,
        *progress,
    ]
    if flags.fast_dev_run:
        short_runs.run_once(model, records, **fit_arguments)
        return
    records += loggers  # Last: they copy what the others have written.
    is_new = not (folder / run_folders.CONFIG).exists()
    run_folders.write_config(folder, flags)
    console.print(f"Run folder:  {folder} (mode {model.mode!r})")
    # A progress bar is for a terminal, not for a file.
    verbose = "auto" if console.is_terminal else 2
    try:
        with launching.call_on_sigterm(sys.exit):
            model.fit(**fit_arguments, verbose=verbose, callbacks=records)
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


def _make_board(model, folder, flags):
    """Returns what writes for TensorBoard: curves, the settings, and samples of a GAN."""
    num_images = None
    if hasattr(model, "latent_dim"):
        num_images = (
            flags.num_classes
            or inspect.signature(callbacks.SampleGrid).parameters["num_images"].default
        )
    settings = {name: value for name, value in flags.as_dict().items() if name not in PLACES}
    return callbacks.TensorBoard(
        folder / "events",
        hparams={**settings, "mode": model.mode},
        num_images=num_images,
        write_graph=False,
    )


def _save(model, folder):
    with atomic_files.atomic_write(folder / "model.keras") as temporary:
        model.save(temporary)
    console.print(f"Model:       {folder}/model.keras")
