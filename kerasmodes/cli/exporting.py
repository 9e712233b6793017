"""`kerasmodes export`: a run's model as a file for another runtime, which is run and compared.

The formats, and how each is run, are in `runtimes.py`.
"""

import pathlib
from typing import TYPE_CHECKING

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments, atomic_files, quiet_start
from kerasmodes.cli import kinds, run_folders, runs, runtimes
from kerasmodes.cli.flags import Command, add_flag, add_switch, console

if TYPE_CHECKING:  # The command imports TensorFlow only to work.
    import keras

BATCH_SIZES = (1, 3)  # Two: a file may take no other than the one that it was made with.
TOLERANCE = 1e-4  # Of the largest result, if that is above 1.


def export(parser: jsonargparse.ArgumentParser) -> Command:
    """Write a run's model for a runtime, and check it there."""
    parser.add_argument("run", type=str, help="Folder of a run of `kerasmodes train`.")
    formats = {"choices": [*runtimes.RUNTIMES], "default": "saved_model"}
    add_flag(parser, "export", "format", kinds.NAME, help="What to write.", **formats)
    words = "Folder to write; without it, RUN/exported/FORMAT."
    add_flag(parser, "export", "directory", kinds.PATH, help=words)
    add_switch(parser, "export", "overwrite", "Replace an export that the folder holds.")

    def run(flags: jsonargparse.Namespace) -> None:
        runtime = runtimes.RUNTIMES[flags.format]
        runtime.check_packages(flags.format)
        folder = run_folders.find_path(flags.run, "exported", flags.format)
        folder = pathlib.Path(flags.directory) if flags.directory else folder
        model = runs.load_model(flags.run, compile=False)
        _check_folder(folder, runtime.file, flags.overwrite)
        if flags.format != "saved_model" and model.compute_dtype != "float32":
            raise ValueError(
                f"`format` must be 'saved_model' for a model that computes in "
                f"{model.compute_dtype}. Received: format={flags.format!r}"
            )
        plain = km.to_keras(model)
        hold_back = quiet_start.hold_back(runtimes.NOTICES)
        with hold_back, atomic_files.atomic_folder(folder) as temporary:
            path = runtime.write(plain, temporary)
            difference = compare(runtime.open(path), model, plain)
        batches = " and ".join(map(str, BATCH_SIZES))
        console.print(
            f"Compared: {runtime.title} and Keras, on batches of {batches}: the results differ by "
            f"{difference:.1e} at most"
        )
        size = runtimes.measure_size(folder) / 1e3
        console.print(f"Written:  {folder / runtime.file} ({size:,.0f} kB)")

    return run


def compare(program: runtimes.Program, model: "keras.Model", plain: "keras.Model") -> float:
    """Returns the largest difference between what a file and a model compute.

    Args:
        program: What runs the file.
        model: The model of the run.
        plain: What `km.to_keras` made of it, which was written.

    Raises:
        ValueError: If those of the model are not finite.
        RuntimeError: If they differ by more than `TOLERANCE`.
    """
    import keras
    import numpy as np

    differences, limits = [], []
    for size in BATCH_SIZES:
        inputs = _draw_inputs(plain, size, getattr(model, "num_classes", None))
        values = list(inputs.values())
        expected = keras.tree.flatten(model(values[0] if len(values) == 1 else values))
        for one, other in zip(program(inputs), expected, strict=True):
            other = keras.ops.convert_to_numpy(other)
            if not np.isfinite(other).all():
                raise ValueError(
                    "`run` must hold a model whose results are finite, to compare them. "
                    "Received: NaN or infinity from Keras. Nothing was written."
                )
            differences.append(float(np.abs(one - other).max()))
            limits.append(TOLERANCE * max(1.0, float(np.abs(other).max())))
    if not np.all(np.less_equal(differences, limits)):  # NaN is never within a limit.
        raise RuntimeError(
            f"A file must give what Keras gives, within {min(limits):.1g}. "
            f"Received: results that differ by {np.max(differences):.3g}. Nothing was written."
        )
    return max(differences)


def _draw_inputs(plain, size, num_classes):
    """Returns arrays by the names of the inputs: normal numbers, and classes in turn."""
    import numpy as np

    generator = np.random.default_rng(0)
    return {
        one.name: np.arange(size, dtype=one.dtype) % num_classes
        if one.dtype.startswith("int")
        else generator.standard_normal((size, *one.shape[1:])).astype(one.dtype)
        for one in plain.inputs
    }


def _check_folder(folder, file, overwrite):
    arguments.check_folder("directory", folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    received = f"Received: directory={str(folder)!r}"
    if not (folder / file).exists():
        raise ValueError(f"`directory` must be new, empty, or hold a {file} to replace. {received}")
    if not overwrite:
        raise ValueError(f"`directory` must be new. {received}, which holds one. Or --overwrite")
