"""`trial_run`: one step of a fit, to find what is wrong before hours of training.

What it puts back is in `engine/kept_state.py`.
"""

import copy
import pathlib
import tempfile
import types
from collections.abc import Sequence
from typing import Any

import keras

from kerasmodes import callbacks as own_callbacks
from kerasmodes.engine import ModesMixin, fit_arguments, kept_state, written_places
from kerasmodes.engine.readers import Reader

# They would write elsewhere.
LEFT_OUT = (
    keras.callbacks.BackupAndRestore,
    keras.callbacks.RemoteMonitor,
    own_callbacks.MLflow,
    own_callbacks.WandB,
)


def trial_run(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    **arguments: Any,
) -> dict[str, float]:
    """Trains one step, validates one step, calls each callback, and puts everything back.

    What fails after hours of training fails at once: an error in `train_step` or `test_step`,
    validation data that do not fit, a callback that monitors what is not logged. PyTorch
    Lightning's `fast_dev_run` is the same. Afterwards model, optimizers, metrics, `km.random` and
    the seeds of Keras, Python and NumPy are as before: a `fit` that follows gives the numbers that
    it gives without a trial. (A `tf.data.Dataset` that shuffles in another order each time counts
    its iterators, and moves on.) With `steps_per_execution=K` in a mode that does not fit
    executions to epochs, it is K steps.

    Callbacks are called as they are. Those of Keras and of this package that write files
    (`ModelCheckpoint`, `CSVLogger`, `TensorBoard`, `SampleGrid`, `LossCurves`, `RunRecord`,
    `Resume`, `NaNGuard`) write into a temporary folder, which is removed; `BackupAndRestore`,
    `RemoteMonitor`, `MLflow` and `WandB` are left out. What a callback of your own writes,
    it writes.

    Args:
        model: A compiled model with modes. It is built if it can be without a step.
        x, y: As in `fit`, but no generator: its batches could not be had again.
        validation_data: As in `fit`.
        callbacks: As in `fit`.
        **arguments: Others of `fit`; those that say how many epochs and steps there are, are
            replaced.

    Returns:
        The logs, a dict of floats: of the step, and with `val_` of the validation.

    Raises:
        TypeError: If the model has no modes.
        ValueError: If it cannot be built without a step, or data are a generator.
        Exception: What a step or a callback raises; everything is put back before.

    Example:

    ```python
    x, y = km.data.sums(num_samples=1_000)
    model = km.SumRegressor()
    model.compile(mode="fused")
    km.trial_run(model, x, y, validation_data=(x, y), callbacks=[])
    model.fit(x, y, validation_data=(x, y), epochs=2)
    ```
    """
    if not isinstance(model, ModesMixin):
        raise TypeError(
            "`model` must have modes: a km.Model, or km.with_modes(model). "
            f"Received: model={model!r}"
        )
    fit_arguments.check_compiled(model, "km.trial_run")
    fit_arguments.check_callbacks(callbacks)
    data = [x, *keras.tree.flatten(validation_data)]
    if any(isinstance(one, types.GeneratorType) for one in data):
        raise ValueError(
            "`x` and `validation_data` must be data that can be read again. Received: a generator"
        )
    arguments |= {"epochs": 1, "initial_epoch": 0, "steps_per_epoch": 1, "validation_freq": 1}
    if validation_data is not None or arguments.get("validation_split"):
        arguments |= {"validation_steps": 1}
    _build(model, x, y, arguments)
    state = kept_state.KeptFit(model)
    with tempfile.TemporaryDirectory() as folder:
        callbacks = list_harmless(callbacks, pathlib.Path(folder))
        try:
            arguments = {"verbose": 0, **arguments, "callbacks": callbacks}
            history = model.fit(x, y, validation_data=validation_data, **arguments)
            return {name: float(values[-1]) for name, values in history.history.items()}
        finally:
            _close_files(callbacks)
            state.restore()


def list_harmless(
    callbacks: Sequence[keras.callbacks.Callback] | None, folder: pathlib.Path
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks, with copies of those that write, which write into a folder.

    Args:
        callbacks: The callbacks of a fit.
        folder: Where the copies write.
    """
    harmless = []
    for place, one in enumerate(keras.tree.flatten(callbacks or [])):
        if isinstance(one, own_callbacks.ForOptimizer):
            inner = list_harmless([one.callback], folder / str(place))
            harmless += [own_callbacks.ForOptimizer(one.name, own) for own in inner]
        elif not isinstance(one, LEFT_OUT):
            harmless.append(_redirect(one, folder / str(place)))
    return harmless


def _redirect(callback, folder):
    attribute = written_places.find_attribute(callback)
    given = None if attribute is None else getattr(callback, attribute)
    if given is None:
        return callback
    folder.mkdir(parents=True)
    path = folder / pathlib.PurePath(given).name
    callback = copy.copy(callback)
    setattr(callback, attribute, path if isinstance(given, pathlib.Path) else str(path))
    return callback


def _close_files(callbacks):
    """Closes what Keras leaves open after an error."""
    for one in callbacks:
        if isinstance(one, keras.callbacks.CSVLogger) and one.csv_file is not None:
            one.csv_file.close()


def _build(model, x, y, arguments):
    """Builds the model from the form of its batches."""
    names = ("sample_weight", "batch_size", "class_weight")
    given = {name: arguments[name] for name in names if arguments.get(name) is not None}
    reader = Reader(model, x, y, steps_per_epoch=1, **given)
    kept_state.build_from_batch(model, reader.element_spec)
