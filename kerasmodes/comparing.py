"""`compare_modes`: the same model in every mode, numbers and microseconds per step side by side.

Which modes there are is in `modes.py`; nothing here changes how a step runs.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import rich.console
import rich.progress
import rich.table
import tensorflow as tf

from kerasmodes import arguments, comparison_files
from kerasmodes import modes as mode_table
from kerasmodes.engine import with_modes

BASELINE = "keras"
MODES = (BASELINE, "eager", "graph", "xla", "fused")  # Those of the table that run by themselves.
SEED = 0


def compare_modes(
    build_model: Callable[[], keras.Model],
    data: tuple | tf.data.Dataset | keras.utils.PyDataset,
    modes: Sequence[str] = MODES,
    steps: int = 300,
    repeats: int = 3,
    batch_size: int = 32,
    directory: str | os.PathLike | None = None,
    **compile_arguments,
) -> list[dict]:
    """Trains the same model in several modes, prints a table and returns its rows.

    Every mode starts from the same weights and sees the same batches in the same order. A first
    epoch of `steps` batches includes compilation and gives the loss. Then `repeats` epochs of the
    same batches give the time. The modes take turns, so that a change of the machine's load affects
    all of them. The time is that of the steps of `fit` with their input, without the start of an
    epoch.

    Args:
        build_model: Function without arguments that returns a new, uncompiled Keras model.
        data: Tuple of arrays `(x,)`, `(x, y)` or `(x, y, sample_weight)`; a `tf.data.Dataset`; or a
            `keras.utils.PyDataset`, as `km.data.from_source` returns, of which the first batches
            are read once.
        modes: Names of modes; `"keras"` is stock Keras `fit`, to which the others are compared.
        steps: Positive int, steps of each mode in a repeat.
        repeats: Positive int, number of timed repeats; their median is the result.
        batch_size: Positive int, examples in a batch, if `data` holds arrays.
        directory: Folder for `modes.png`, `modes.json` and `modes_events`, which TensorBoard shows
            as a run for each mode and a table in HParams; `None` writes nothing.
        **compile_arguments: Passed to the model's `compile` with `mode`.

    Returns:
        A list of dictionaries, one for each mode, with `mode`, `microseconds_per_step`,
        `times_faster` (than `"keras"`), `compile_seconds`, `loss`, `difference_from_graph`
        (relative) and `logs`. What cannot be computed, for example a ratio without `"keras"`, is
        `None`.

    Raises:
        ValueError: If an argument is out of range or the data hold fewer batches than `steps`.
        TypeError: If `build_model` is no function, or does not return a Keras model.

    Example:

    ```python
    x, y = km.data.sums(num_samples=100)
    rows = km.compare_modes(km.SumRegressor, (x, y), modes=("keras", "fused"), steps=20)
    ```
    """
    _check_arguments(build_model, modes, steps, repeats, batch_size)
    if directory is not None:
        comparison_files.check_directory(directory)
    fit_arguments = fix_batches(data, steps, batch_size)
    runs = {}
    with rich.progress.Progress(transient=True) as progress:
        task = progress.add_task("comparing modes", total=len(modes) * (1 + repeats))
        for mode in modes:
            progress.update(task, description=f"compiling {mode}")
            model = make_model(build_model, [run.model for run in runs.values()])
            runs[mode] = _Run(model, mode, compile_arguments, fit_arguments)
            progress.advance(task)
        for _ in range(repeats):
            for mode, run in runs.items():
                progress.update(task, description=f"timing {mode}")
                run.train_epoch()
                progress.advance(task)
    rows = _make_rows(runs, steps)
    rich.console.Console().print(_make_table(rows, steps))
    if directory is not None:
        comparison_files.save_comparison(rows, directory)
        written = ", ".join(f"{directory}/{name}" for name in comparison_files.FILES)
        print(f"Written: {written}")
    return rows


class _Run:
    """One model in one mode: a first epoch with compilation, then timed epochs."""

    def __init__(self, model, mode, compile_arguments, fit_arguments):
        arguments = keras.tree.map_structure(copy_state, compile_arguments)
        if mode == BASELINE:
            model.compile(**arguments)
        else:
            with_modes(model).compile(**arguments, mode=mode)
        self.model = model
        self.fit_arguments = fit_arguments
        self.timer = _Timer()
        start = time.perf_counter()
        self.logs = self.train_epoch()
        self.first_seconds = time.perf_counter() - start
        self.timer.seconds.clear()

    def train_epoch(self) -> dict[str, float]:
        """Trains for one epoch and returns its logs."""
        history = self.model.fit(
            **self.fit_arguments, epochs=1, verbose=0, callbacks=[self.timer]
        ).history
        return {name: float(values[0]) for name, values in history.items()}


class _Timer(keras.callbacks.Callback):
    """Collects each epoch's seconds from the start of its first step to the end of its last."""

    accepts_joined_steps = True

    def __init__(self):
        super().__init__()
        self.seconds = []
        self._start = self._end = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(self._end - self._start)


def make_model(build_model, others):
    """Returns a model with the same initial weights at each call."""
    keras.utils.set_random_seed(SEED)
    model = build_model()
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`build_model` must return a keras.Model. Received: {type(model).__name__}"
        )
    if any(model is other for other in others):
        raise ValueError(
            "`build_model` must return a new model at each call. Received: the same "
            f"{type(model).__name__} twice"
        )
    return model


def _make_rows(runs, steps):
    seconds = {mode: statistics.median(run.timer.seconds) for mode, run in runs.items()}
    key = _find_loss(next(iter(runs.values())).logs)
    graph = runs["graph"].logs[key] if "graph" in runs else None
    rows = []
    for mode, run in runs.items():
        loss = run.logs[key]
        rows.append(
            {
                "mode": mode,
                "microseconds_per_step": 1e6 * seconds[mode] / steps,
                "times_faster": seconds[BASELINE] / seconds[mode] if BASELINE in runs else None,
                "compile_seconds": max(0.0, run.first_seconds - seconds[mode]),
                "loss": loss,
                "difference_from_graph": abs(loss / graph - 1) if graph else None,
                "logs": run.logs,
            }
        )
    return rows


def _find_loss(logs):
    names = [name for name in logs if "loss" in name]
    if not names:
        raise ValueError(
            f"`train_step` must return a log with 'loss' in its name. Received: {list(logs)}"
        )
    return "loss" if "loss" in names else names[0]


def _make_table(rows, steps):
    key = _find_loss(rows[0]["logs"])
    table = rich.table.Table(title=f"{steps} steps in each mode")
    table.add_column("mode")
    for heading in ("µs per step", "× faster", "compile, s", key, "difference from graph"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["mode"],
            f"{row['microseconds_per_step']:,.1f}",
            _format_number(row["times_faster"], ".2f"),
            f"{row['compile_seconds']:.1f}",
            f"{row['loss']:.6f}",
            _format_number(row["difference_from_graph"], ".1e"),
        )
    return table


def _format_number(value, form):
    return "-" if value is None else format(value, form)


def fix_batches(data, steps, batch_size):
    """Returns `fit` arguments that give the same `steps` batches in each epoch."""
    if isinstance(data, keras.utils.PyDataset):
        data = _read_batches(data, steps)
    if isinstance(data, tf.data.Dataset):
        batches = data.take(steps).cache()
        found = sum(1 for _ in batches)
        if found < steps:
            raise ValueError(
                f"`data` must hold at least steps={steps} batches. Received: {found} batches"
            )
        counted = batches.apply(tf.data.experimental.assert_cardinality(steps))
        return {"x": counted, "shuffle": False}
    if not isinstance(data, tuple) or len(data) not in (1, 2, 3):
        raise ValueError(
            "`data` must be (x,), (x, y), (x, y, sample_weight), a tf.data.Dataset or a PyDataset. "
            f"Received: data={type(data).__name__}"
        )
    names = ("x", "y", "sample_weight")
    arrays = {
        name: _repeat(array, steps * batch_size)
        for name, array in zip(names, data, strict=False)  # The last ones may be missing.
    }
    return {**arrays, "batch_size": batch_size, "shuffle": False}


def _read_batches(data, steps):
    """Returns the first batches of a PyDataset, each read once, as a `tf.data.Dataset`."""
    count = steps if data.num_batches is None else min(steps, data.num_batches)
    batches = [keras.tree.lists_to_tuples(data[place]) for place in range(count)]

    def describe(*parts):
        sizes = {len(part) for part in parts}
        size = sizes.pop() if len(sizes) == 1 else None
        first = np.asarray(parts[0])
        return tf.TensorSpec((size, *first.shape[1:]), first.dtype)

    signature = tf.nest.map_structure(describe, *batches)
    return tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)


def _repeat(arrays, num_examples):
    return keras.tree.map_structure(
        lambda array: np.asarray(array)[np.arange(num_examples) % len(array)], arrays
    )


def copy_state(argument):
    """Returns a new copy of an optimizer or metric, which hold state; others as they are."""
    if isinstance(argument, (keras.optimizers.Optimizer, keras.Metric)):
        return type(argument).from_config(argument.get_config())
    return argument


def _check_arguments(build_model, modes, steps, repeats, batch_size):
    if isinstance(build_model, keras.Model) or not callable(build_model):
        raise TypeError(
            "`build_model` must be a function without arguments that returns a new model. "
            f"Received: build_model={build_model!r}"
        )
    arguments.check_positive_integers(steps=steps, repeats=repeats, batch_size=batch_size)
    check_modes(modes)


def check_modes(modes: Sequence[str]) -> None:
    """Raises a `ValueError` unless `modes` holds names of modes, or that of stock Keras."""
    if isinstance(modes, str) or not modes:
        raise ValueError(f"`modes` must be a sequence of modes. Received: modes={modes!r}")
    for mode in modes:
        arguments.check_choice("modes", mode, (BASELINE, *mode_table.MODES))
