"""`kerasmodes tune`: a search, the tables and pictures of its trials, the files of the best one.

In one process or in several: `kerasmodes/tuning/worker_processes.py` starts them.
"""

import contextlib
import functools
import json
import pathlib
import random
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments
from kerasmodes.cli import declared, kinds, run_folders, training
from kerasmodes.cli.compile_flags import check_loss
from kerasmodes.cli.flags import (
    Command,
    add_arguments,
    add_data_argument,
    add_flag,
    console,
    name_flag,
    pick,
)

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import keras_tuner

TABLE, PICTURE, HPARAMS, MODEL = "trials.csv", "trials.png", "hparams", "best.keras"
FILES = (TABLE, PICTURE, MODEL, run_folders.CONFIG)
# What compiles the models of a search again is not either: the hypermodels have flags for it.
NOT_FLAGS = {
    "hypermodel",
    "hyperparameters",
    "distribution_strategy",
    "optimizer",
    "loss",
    "metrics",
}


def tune_sum(parser: jsonargparse.ArgumentParser) -> Command:
    """Search settings of the sum regressor.

    It prints the best trials and saves the best model.
    """
    model_flags = add_arguments(
        parser,
        "model",
        declared.km.tuning.SumRegressorHyperModel,
        skip={"num_features", "hypermodel"},
    )
    data_flags = add_arguments(parser, "data", declared.km.data.sums, skip={"seed"})
    search_flags = add_arguments(parser, "search", declared.km.tuning.search, skip=NOT_FLAGS)

    def search(flags: jsonargparse.Namespace) -> "keras_tuner.Tuner":
        check_loss(flags.loss)
        return km.tuning.search(
            km.tuning.SumRegressorHyperModel(flags.num_features, **pick(flags, model_flags)),
            **pick(flags, search_flags),
            **training.make_sums(pick(flags, data_flags), flags.seed),
        )

    return _add_processes(parser, "sum", search)


def tune_msggan(parser: jsonargparse.ArgumentParser) -> Command:
    """Search settings of MSGGAN by val_frechet.

    That is the distance of its images to test images.
    """
    model_flags = add_arguments(
        parser,
        "model",
        declared.km.tuning.MSGGANHyperModel,
        skip={"image_shape", "hypermodel", "seed"},
    )
    add_data_argument(parser)
    skip = {"name", "with_labels", "batch_size", "seed"}
    data_flags = add_arguments(parser, "data", declared.km.data.images, skip=skip)
    training.add_test_split(parser, "data")
    skip = training.NOT_FLAGS_OF_METRICS
    metric_flags = add_arguments(
        parser, "metrics", declared.km.callbacks.GenerationMetrics, skip=skip
    )
    search_flags = add_arguments(
        parser, "search", declared.km.tuning.search, skip={*NOT_FLAGS, "objective"}
    )

    def search(flags: jsonargparse.Namespace) -> "keras_tuner.Tuner":
        import keras_tuner

        sizes = km.tuning.ranges.read_sizes("batch_sizes", flags.batch_sizes)
        settings = {"name": flags.data, **pick(flags, data_flags)}
        # Each trial reads them from the first epoch on, as `train` does.
        make_images = functools.partial(km.data.images, **settings, seed=flags.seed)
        with name_flag("name", "data"):
            with name_flag("batch_size", "batch_sizes"):
                images = make_images(batch_size=max(sizes))  # Raises if none is so large.
            with name_flag("split", "test_split"):
                test_images = km.data.images(**{**settings, "split": flags.test_split})
        metrics = km.callbacks.GenerationMetrics(
            test_images, metrics=("frechet",), **pick(flags, metric_flags)
        )
        hypermodel = km.tuning.MSGGANHyperModel(
            tuple(images.element_spec.shape[1:]), **pick(flags, model_flags), seed=flags.seed
        )
        return km.tuning.search(
            hypermodel,
            objective=keras_tuner.Objective("val_frechet", "min"),
            **pick(flags, search_flags),
            x=make_images,
            callbacks=[metrics],
        )

    return _add_processes(parser, "msggan", search)


def _add_processes(
    parser: jsonargparse.ArgumentParser,
    name: str,
    search: Callable[[jsonargparse.Namespace], "keras_tuner.Tuner"],
) -> Command:
    """Adds the flags of a search in several processes; returns the function of the command."""
    words = "Worker processes on this machine; 0 searches in this process."
    add_flag(parser, "processes", "num_workers", kinds.INT, 0, words)
    add_arguments(
        parser,
        "processes",
        declared.km.tuning.worker_processes.launch_workers,
        declared.km.tuning.workers.take_role,
        skip={"command", "num_workers", "directory"},
    )
    max_restarts = parser.get_default("max_restarts")

    def run(flags: jsonargparse.Namespace) -> None:
        arguments.check_integers(0, num_workers=flags.num_workers, max_restarts=flags.max_restarts)
        if flags.max_restarts != max_restarts and not flags.num_workers:
            raise ValueError(
                "`max_restarts` needs `num_workers`: without workers, none is started again. "
                f"Received: max_restarts={flags.max_restarts}, num_workers={flags.num_workers}"
            )
        _check_directory(flags.directory)
        if flags.seed is None:
            flags.seed = _find_seed(flags)
        if flags.num_workers and km.tuning.find_role() is None:
            if flags.join is not None:
                raise ValueError(
                    "`num_workers` must be left out with `join`: each worker is a command of its "
                    f"own. Received: num_workers={flags.num_workers}, join={flags.join!r}"
                )
            others = flags.num_workers, flags.max_restarts, flags.directory, flags.chief
            with km.tuning.worker_processes.open_workers(_repeat_command(name, flags), *others):
                _report(search(flags), name, flags)
            return
        with _take_role(flags) as role:
            tuner = search(flags)
            if role != "worker":
                _report(tuner, name, flags)

    return run


def _check_directory(directory):
    """Raises for a folder in which the files of the search cannot be written.

    And for that of a run, whose config.yaml the search would replace with its own.
    """
    arguments.check_places("directory", directory, FILES, (HPARAMS,))
    if pathlib.Path(directory, run_folders.HISTORY).exists():
        raise ValueError(
            "`directory` must not be the folder of a run. "
            f"Received: directory={directory!r}, which holds a {run_folders.HISTORY}"
        )


def _find_seed(flags):
    """Returns the seed of the search in the folder, or a new one: all processes draw the same data.

    So does a process that resumes a search.
    """
    if flags.chief is not None or flags.join is not None or km.tuning.find_role() is not None:
        raise ValueError(
            "`seed` must be given in each of several commands: all must draw the same data. "
            f"Received: seed=None, chief={flags.chief!r}, join={flags.join!r}"
        )
    path = pathlib.Path(flags.directory, str(flags.tuner), km.tuning.folders.DESCRIPTION)
    if path.exists() and not flags.overwrite:
        # A damaged file is an error of the search.
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            seed = json.loads(path.read_text()).get("seed")
            if arguments.is_integer(seed, 0):
                return seed
    return random.getrandbits(31)


def _take_role(flags):
    """Opens the role that the flags ask for, or the one that `launch_workers` has given."""
    if km.tuning.find_role() is not None:
        return km.tuning.workers.take_role()
    role = pick(flags, ("chief", "join", "worker_id"))
    if role["worker_id"] is not None:  # Of "0", SLURM's first number, the command has made an int.
        role["worker_id"] = str(role["worker_id"])
    return km.tuning.workers.take_role(**role)


def _repeat_command(name, flags):
    """Returns the words of a command with these flags: flags that were left out are named, too."""
    words = [sys.executable, "-m", "kerasmodes", "tune", name]
    for flag, value in flags.as_dict().items():
        words.append(f"--{flag}={value if isinstance(value, str) else json.dumps(value)}")
    return words


def _report(tuner, name, flags):
    from kerasmodes.cli import best_trial

    directory = pathlib.Path(flags.directory)
    console.print(km.tuning.best_trials_table(tuner))
    km.tuning.save_trials(tuner, directory / TABLE)
    km.tuning.plot_search(tuner, directory / PICTURE)
    km.tuning.write_hparams(tuner, directory / HPARAMS)
    km.tuning.save_best_model(tuner, directory / MODEL)
    best_trial.write_config(tuner, name, flags)
    console.print(
        f"In {directory}: the best model, {MODEL}; all trials, {TABLE} and {PICTURE}, and "
        f"for TensorBoard, {HPARAMS}."
    )
    path = directory / run_folders.CONFIG
    console.print(f"The best trial again: {_describe_training(name, path)}")


def _describe_training(name, path):
    """Returns the command that trains with a file, as one writes it in a shell."""
    return shlex.join(["kerasmodes", "train", name, "--config", str(path)])
