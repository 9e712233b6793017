"""The command `kerasmodes`: flags to library calls, and a folder for each training run.

What a flag means is not decided here: names, defaults and help are read from the signatures and
docstrings of the library.
"""

import inspect
import json
import pathlib
import sys

import jsonargparse
import keras
import rich.console

import kerasmodes
from kerasmodes import callbacks, comparing, data, models, strategies
from kerasmodes.data import whole_files

NUM_VALIDATION_SUMS = 100
# The library's 300 steps of each mode would keep the tutorial's GAN busy for an hour on a CPU.
COMPARE_GAN_DEFAULTS = {"steps": 4, "repeats": 1}
SAMPLE_NOTE = (
    "Training on the sample of Fashion-MNIST that comes with the package, 1,024 images. The full "
    "60,000: --data fashion_mnist"
)

console = rich.console.Console(soft_wrap=True)
errors = rich.console.Console(soft_wrap=True, stderr=True)


def main(argv=None):
    """Runs the command.

    Args:
        argv: List of the words after `kerasmodes`; `None` takes those of the process.

    Returns:
        The exit status: 0, or 1 after an error, which is shown in one line (`--traceback` as the
        first word shows where it came from).
    """
    words = [_underscored(word) for word in (sys.argv[1:] if argv is None else argv)]
    show_traceback = words[:1] == ["--traceback"]
    runs = {}
    parser = jsonargparse.ArgumentParser(
        prog="kerasmodes", description=kerasmodes.__doc__.split("\n")[0]
    )
    parser.add_argument("--version", action="version", version=kerasmodes.__version__)
    _add_commands(parser, COMMANDS, runs)
    path, flags = _chosen(parser.parse_args(words[1:] if show_traceback else words))
    try:
        runs[path](flags)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        if show_traceback:
            raise
        errors.print(f"error: {error}", markup=False, highlight=False, style="red")
        return 1
    return 0


def _train_sum(parser):
    """Trains the sum regressor in a new run folder."""
    of_model = parser.add_class_arguments(models.SumRegressor)
    of_data = parser.add_function_arguments(data.sums, skip={"seed"})
    of_compile = parser.add_method_arguments(models.SumRegressor, "compile")
    of_fit = _add_fit_arguments(parser, "batch_size", "epochs")
    _add_run_arguments(parser)

    def run(flags):
        _seed(flags)
        x, y = data.sums(**_pick(flags, of_data), seed=flags.seed)
        validation_seed = None if flags.seed is None else flags.seed + 1
        validation = data.sums(NUM_VALIDATION_SUMS, flags.num_features, validation_seed)
        with strategies.get_strategy(flags.strategy).scope():
            model = models.SumRegressor(**_pick(flags, of_model))
            model.compile(**_pick(flags, of_compile))
        folder = _new_run_folder(flags, "sum")
        _fit(model, folder, [], x=x, y=y, validation_data=validation, **_pick(flags, of_fit))

    return run


def _train_msggan(parser):
    """Trains MSGGAN on images in a new run folder, with a grid of samples after each epoch."""
    of_model = parser.add_class_arguments(models.MSGGAN, skip={"seed"})
    _add_data_argument(parser)
    of_data = parser.add_function_arguments(data.images, skip={"name", "with_labels", "seed"})
    of_compile = parser.add_method_arguments(models.MSGGAN, "compile")
    of_fit = _add_fit_arguments(parser, "epochs")
    _add_run_arguments(parser)

    def run(flags):
        _seed(flags)
        images = _images(flags, of_data)
        with strategies.get_strategy(flags.strategy).scope():
            gan = models.MSGGAN(**_pick(flags, of_model), seed=flags.seed)
            gan.compile(**_pick(flags, of_compile))
        folder = _new_run_folder(flags, "msggan")
        grid = callbacks.SampleGrid(folder / "samples")
        _fit(gan, folder, [grid], x=images, **_pick(flags, of_fit))
        console.print(f"Samples:     {folder}/samples/progress.gif, a grid each epoch beside it")

    return run


def _compare_sum(parser):
    """Compares the modes on the sum regressor."""
    of_model = parser.add_class_arguments(models.SumRegressor)
    of_data = parser.add_function_arguments(data.sums)
    of_compile = parser.add_method_arguments(models.SumRegressor, "compile", skip=MODE_ARGUMENTS)
    of_comparing = _add_comparing_arguments(parser)

    def run(flags):
        comparing.compare_modes(
            lambda: models.SumRegressor(**_pick(flags, of_model)),
            data.sums(**_pick(flags, of_data)),
            **_pick(flags, of_comparing),
            **_pick(flags, of_compile),
        )

    return run


def _compare_msggan(parser):
    """Compares the modes on MSGGAN."""
    of_model = parser.add_class_arguments(models.MSGGAN, skip={"seed"})
    _add_data_argument(parser)
    of_data = parser.add_function_arguments(data.images, skip={"name", "with_labels", "batch_size"})
    of_compile = parser.add_method_arguments(models.MSGGAN, "compile", skip=MODE_ARGUMENTS)
    of_comparing = _add_comparing_arguments(parser)
    parser.set_defaults(COMPARE_GAN_DEFAULTS)

    def run(flags):
        comparing.compare_modes(
            lambda: models.MSGGAN(**_pick(flags, of_model), seed=flags.seed),
            data.images(flags.data, **_pick(flags, of_data), batch_size=flags.batch_size),
            **_pick(flags, of_comparing),
            **_pick(flags, of_compile),
        )

    return run


def _prepare(parser):
    """Makes a data set of local files ready for `tfds.load` and `km.data.images`."""
    parser.add_argument("name", choices=["fashion_mnist"], help="Name of the data set.")
    of_prepare = parser.add_function_arguments(data.prepare)

    def run(flags):
        console.print(f"Prepared: {data.prepare(**_pick(flags, of_prepare))}")

    return run


def _generate(parser):
    """Draws new images with the model of a run, one row a scale, into the run's folder."""
    parser.add_argument("run", type=str, help="Folder of a run of `kerasmodes train msggan`.")
    of_generate = parser.add_method_arguments(models.MSGGAN, "generate")

    def run(flags):
        path = pathlib.Path(flags.run) / "model.keras"
        if not path.is_file():
            raise ValueError(f"`run` must hold a model.keras. Received: run={flags.run!r}")
        gan = keras.models.load_model(path)
        if not isinstance(gan, models.MSGGAN):
            raise ValueError(
                f"`run` must hold an MSGGAN. Received: run={flags.run!r} with {type(gan).__name__}"
            )
        picture = path.with_name("generated.png")
        scales = gan.generate(**_pick(flags, of_generate))
        data.save_image(data.image_grid(scales, flags.num_images), picture)
        console.print(f"Written: {picture}")

    return run


COMMANDS = {
    "train": {"sum": _train_sum, "msggan": _train_msggan},
    "compare": {"sum": _compare_sum, "msggan": _compare_msggan},
    "data": {"prepare": _prepare},
    "generate": _generate,
}
SUMMARIES = {
    "train": "Train a model in a new run folder.",
    "compare": "Compare the modes: microseconds per step and numbers, side by side.",
    "data": "Prepare data sets.",
}
FIT_HELP = {
    "batch_size": "Examples in the global batch; null is Keras's 32.",
    "epochs": "Passes over the data.",
}
MODE_ARGUMENTS = {"mode", "run_eagerly", "jit_compile", "steps_per_execution"}


def _add_commands(parser, commands, runs, path=()):
    """Adds a tree of commands to the parser; collects their functions in `runs` by path."""
    choices = parser.add_subcommands(dest="command", required=True)
    for name, command in commands.items():
        is_group = isinstance(command, dict)
        description = SUMMARIES[name] if is_group else inspect.getdoc(command)
        child = jsonargparse.ArgumentParser(description=description)
        choices.add_subcommand(name, child, help=description)
        if is_group:
            _add_commands(child, command, runs, (*path, name))
        else:
            runs[(*path, name)] = command(child)


def _chosen(flags):
    """Returns the path of the command that was chosen, and its flags."""
    path = ()
    while "command" in flags:
        path += (flags.command,)
        flags = flags[flags.command]
    return path, flags


def _underscored(word):
    """Returns `--max-trials=3` as `--max_trials=3`: both spellings of a flag work."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _pick(flags, names):
    return {name: flags[name] for name in names}


def _add_fit_arguments(parser, *names):
    parameters = inspect.signature(keras.Model.fit).parameters
    for name in names:
        parser.add_argument(
            f"--{name}", type=int | None, default=parameters[name].default, help=FIT_HELP[name]
        )
    return names


def _add_comparing_arguments(parser):
    skip = {"build_model", "data", "compile_arguments"}
    return parser.add_function_arguments(comparing.compare_modes, skip=skip)


def _add_data_argument(parser):
    name = inspect.signature(data.images).parameters["name"]
    parser.add_argument("--data", default=name.default, help="The `name` for `km.data.images`.")


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
    return data.images(flags.data, **_pick(flags, names), seed=flags.seed)


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
    """Trains with the run's records, and saves the model also when interrupted."""
    console.print(f"Run folder:  {folder} (mode {model.mode!r})")
    records = [
        keras.callbacks.CSVLogger(folder / "history.csv"),
        keras.callbacks.TensorBoard(folder / "events", write_graph=False),
        callbacks.LossCurves(folder / "losses.png"),
        *extra_callbacks,
    ]
    try:
        model.fit(**fit_arguments, callbacks=records)
    finally:
        with whole_files.whole_file(folder / "model.keras") as temporary:
            model.save(temporary)
        console.print(f"Model:       {folder}/model.keras")
    console.print(f"Loss curves: {folder}/losses.png")
