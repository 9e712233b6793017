"""`kerasmodes train`: a model, its data and a strategy brought together in a new run folder."""

import inspect
import json
import pathlib

import keras

import kerasmodes
from kerasmodes import callbacks, data, models, strategies
from kerasmodes.cli.flags import add_data_argument, add_fit_arguments, console, pick
from kerasmodes.data import whole_files

NUM_VALIDATION_SUMS = 100
SAMPLE_NOTE = (
    "Training on the sample of Fashion-MNIST that comes with the package, 1,024 images. The full "
    "60,000: --data fashion_mnist"
)


def train_sum(parser):
    """Train the sum regressor in a new run folder."""
    of_model = parser.add_class_arguments(models.SumRegressor)
    of_data = parser.add_function_arguments(data.sums, skip={"seed"})
    of_compile = parser.add_method_arguments(models.SumRegressor, "compile")
    of_fit = add_fit_arguments(parser, "batch_size", "epochs")
    _add_run_arguments(parser)

    def run(flags):
        _seed(flags)
        x, y = data.sums(**pick(flags, of_data), seed=flags.seed)
        validation_seed = None if flags.seed is None else flags.seed + 1
        validation = data.sums(NUM_VALIDATION_SUMS, flags.num_features, validation_seed)
        with strategies.get_strategy(flags.strategy).scope():
            model = models.SumRegressor(**pick(flags, of_model))
            model.compile(**pick(flags, of_compile))
        folder = _new_run_folder(flags, "sum")
        _fit(model, folder, [], x=x, y=y, validation_data=validation, **pick(flags, of_fit))

    return run


def train_msggan(parser):
    """Train MSGGAN on images in a new run folder, with a grid of samples after each epoch."""
    of_model = parser.add_class_arguments(models.MSGGAN, skip={"seed"})
    add_data_argument(parser)
    of_data = parser.add_function_arguments(data.images, skip={"name", "with_labels", "seed"})
    of_compile = parser.add_method_arguments(models.MSGGAN, "compile")
    of_fit = add_fit_arguments(parser, "epochs")
    _add_run_arguments(parser)

    def run(flags):
        _seed(flags)
        images = _images(flags, of_data)
        with strategies.get_strategy(flags.strategy).scope():
            gan = models.MSGGAN(**pick(flags, of_model), seed=flags.seed)
            gan.compile(**pick(flags, of_compile))
        folder = _new_run_folder(flags, "msggan")
        grid = callbacks.SampleGrid(folder / "samples")
        _fit(gan, folder, [grid], x=images, shuffle=False, **pick(flags, of_fit))
        console.print(f"Samples:     {folder}/samples/progress.gif, a grid each epoch beside it")

    return run


def _add_run_arguments(parser):
    strategy = inspect.signature(strategies.get_strategy).parameters["name"].default
    parser.add_argument("--strategy", default=strategy, help="The `name` for `km.get_strategy`.")
    parser.add_argument(
        "--seed", type=int | None, help="Makes the run repeatable: weights, data and every draw."
    )
    parser.add_argument(
        "--run", type=str | None, help="New folder for the run (default: runs/MODEL-001 and so on)."
    )


def _images(flags, names):
    if flags.data == inspect.signature(data.images).parameters["name"].default:
        console.print(SAMPLE_NOTE)
    return data.images(flags.data, **pick(flags, names), seed=flags.seed)


def _seed(flags):
    if flags.seed is not None:
        keras.utils.set_random_seed(flags.seed)


def _new_run_folder(flags, model):
    """Makes the run's folder with its `config.json`."""
    folder = pathlib.Path(flags.run) if flags.run else _next_free(pathlib.Path("runs"), model)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"`run` must be a new or empty folder. Received: run={str(folder)!r}")
    config = {"model": model, "kerasmodes": kerasmodes.__version__, **flags.as_dict()}
    with whole_files.whole_file(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2, default=str) + "\n")
    return folder


def _next_free(parent, model):
    number = 1
    while (parent / f"{model}-{number:03d}").exists():
        number += 1
    return parent / f"{model}-{number:03d}"


def _fit(model, folder, extra_callbacks, **fit_arguments):
    """Trains with the run's records, and saves the model, also when interrupted."""
    console.print(f"Run folder:  {folder} (mode {model.mode!r})")
    records = [
        keras.callbacks.CSVLogger(folder / "history.csv"),
        keras.callbacks.TensorBoard(folder / "events", write_graph=False),
        callbacks.LossCurves(folder / "losses.png"),
        *extra_callbacks,
    ]
    # A bar that redraws itself is for a terminal, not for a file.
    verbose = "auto" if console.is_terminal else 2
    try:
        model.fit(**fit_arguments, verbose=verbose, callbacks=records)
    except KeyboardInterrupt:
        if records[0].csv_file is not None:  # Training had begun.
            for record in records:
                record.on_train_end()
            _save(model, folder)
        raise
    _save(model, folder)
    console.print(f"Loss curves: {folder}/losses.png")


def _save(model, folder):
    with whole_files.whole_file(folder / "model.keras") as temporary:
        model.save(temporary)
    console.print(f"Model:       {folder}/model.keras")
