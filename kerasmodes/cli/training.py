"""`kerasmodes train`: trains a model on its data, under a strategy, into a run folder."""

import argparse
import inspect
from typing import Any

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments
from kerasmodes.cli import declared, kinds, run_folders, runs, short_runs, tracking
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

NUM_VALIDATION_SUMS = 100
# What a program gives `GenerationMetrics`.
NOT_FLAGS_OF_METRICS = {"images", "network", "metrics", "seed", "averaged"}
SAMPLE_NOTE = (
    "The data are the sample of Fashion-MNIST in the package, at most 1,024 training images. "
    "For all 60,000: --data fashion_mnist"
)


def train_sum(parser: jsonargparse.ArgumentParser) -> Command:
    """Train the sum regressor in a new run folder."""
    model_flags = add_arguments(parser, "model", declared.km.SumRegressor)
    add_dtype_argument(parser)
    data_flags = add_arguments(parser, "data", declared.km.data.sums, skip={"seed"})
    read_compile = add_compile_arguments(parser, declared.km.SumRegressor)
    fit_flags = add_fit_arguments(parser, "batch_size", "epochs")
    _add_run_arguments(parser, "sum")

    def run(flags: jsonargparse.Namespace) -> None:
        from kerasmodes.cli import fitting

        strategy = fitting.start(flags)
        sums = make_sums(pick(flags, data_flags), flags.seed)
        with strategy.scope():
            model = km.SumRegressor(**pick(flags, model_flags), dtype=flags.dtype)
            model.build((None, flags.num_features))
            model.compile(**read_compile(flags))
        folder = run_folders.find_folder(flags, "sum", strategy)
        fit_arguments = pick(flags, fit_flags)
        fitting.fit(model, folder, [], flags, **sums, **fit_arguments)

    return run


def make_sums(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Returns `x`, `y` and `validation_data` of `fit`: the sums of a seed, and some of the next.

    Args:
        settings: `num_samples` and `num_features` of `data.sums`.
        seed: The seed of the run.
    """
    x, y = km.data.sums(**settings, seed=seed)
    validation = km.data.sums(NUM_VALIDATION_SUMS, settings["num_features"], seed + 1)
    return {"x": x, "y": y, "validation_data": validation}


def train_msggan(parser: jsonargparse.ArgumentParser) -> Command:
    """Train MSGGAN on images in a new run folder.

    After each epoch, a grid of samples is drawn.
    """
    add_gan_arguments(parser)
    add_data_argument(parser)
    images_of = declared.km.data.images
    data_flags = add_arguments(parser, "data", images_of, skip={"name", "with_labels", "seed"})
    read_compile = add_compile_arguments(parser, declared.km.MSGGAN)
    fit_flags = add_fit_arguments(parser, "epochs")
    words = "Epochs from one val_frechet to the next; without it, none."
    add_flag(parser, "metrics", "metrics_every", kinds.INT, help=words)
    add_test_split(parser, "metrics")
    skip = NOT_FLAGS_OF_METRICS | {"every", "cache_dir"}
    generation_metrics = declared.km.callbacks.GenerationMetrics
    metric_flags = add_arguments(parser, "metrics", generation_metrics, skip=skip)
    _add_run_arguments(parser, "msggan")
    defaults = pick(parser.get_defaults(), ("test_split", *metric_flags))

    def run(flags: jsonargparse.Namespace) -> None:
        from kerasmodes.cli import fitting

        _check_metrics(flags, defaults)
        strategy = fitting.start(flags)
        images = _load_images(flags, data_flags)
        with strategy.scope():
            gan = make_gan(flags)
            gan.compile(**read_compile(flags, gan.preset))
        _check_images(gan, images)
        folder = run_folders.find_folder(flags, "msggan", strategy)
        if flags.data == inspect.signature(km.data.images).parameters["name"].default:
            console.print(SAMPLE_NOTE)  # Not above the error of a wrong flag.
        watchers = [
            km.callbacks.SampleGrid(folder / "samples", **runs.choose_samples(flags)),
            # A data set of its own: reading that of the training would change its order.
            km.callbacks.HealthCheck(read_images(flags.data, **pick(flags, data_flags), seed=0)),
        ]
        if flags.metrics_every is not None:
            with name_flag("split", "test_split"):
                split = {"split": flags.test_split}
                test = read_images(flags.data, **{**pick(flags, data_flags), **split})
            evaluator = km.callbacks.GenerationMetrics(
                test, every=flags.metrics_every, **pick(flags, metric_flags)
            )
            # Raises if no network takes such images.
            km.metrics.image_evaluator.resolve_network(gan.image_shape)
            watchers.append(evaluator)
        fit_arguments = pick(flags, fit_flags)
        fitting.fit(gan, folder, watchers, flags, x=images, shuffle=False, **fit_arguments)
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
    strategy = inspect.signature(declared.km.get_strategy).parameters["name"].default
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


def _check_metrics(flags, defaults):
    """Raises if a flag of the metrics is given, and no metrics are asked for."""
    if flags.metrics_every is not None:
        arguments.check_positive_integers(metrics_every=flags.metrics_every)
        return
    for name, default in defaults.items():
        if flags[name] != default:
            raise ValueError(
                f"`{name}` needs `metrics_every`: without it, no metrics are computed. "
                f"Received: {name}={flags[name]!r}, metrics_every=None"
            )


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
