"""What `km.callbacks.NaNGuard` costs while all is well.

Command: .venv/bin/python scripts/benchmarks/benchmark_nan_guard.py [--cases "sums, fused" ...]
    --quick  few rounds; writes to runs/
The results of cases that are not named stay in the files.
Cost: about 5 minutes on 2 idle cores; a minute with --quick.
Result: scripts/results/benchmark_nan_guard.json and .md. Fits with and without the guard take
turns. Times are CPU times of the process, all threads together: other programs on the machine do
not count. An epoch's time is that from its begin to the next one's, the first two of a fit left
out: what a fit costs once is a column of its own.
Expected: the guard costs at most 3 % in graph and in fused.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import keras
import numpy as np
import rich.console
import rich.progress
import rich.table
import tensorflow as tf

import kerasmodes as km

ROOT = pathlib.Path(__file__).resolve().parents[2]
LARGEST_OVERHEAD = 0.03
WARM_UP = 2  # Epochs.
# name: (model, mode, data, steps of an epoch, epochs of a fit)
CASES = {
    "sums, graph, one step an execution": ("sum", "graph", "arrays", 200, 12),
    "sums, graph, 10 steps an execution": ("sum", "graph 10", "arrays", 1_000, 12),
    "sums, graph, data set": ("sum", "graph", "dataset", 200, 12),
    "sums, fused": ("sum", "fused", "arrays", 20_000, 12),
    "sums, fused, short epochs": ("sum", "fused", "arrays", 500, 60),
    "sums, eager": ("sum", "eager", "arrays", 50, 8),
    "own step, graph, 10 steps an execution": ("own", "graph 10", "arrays", 1_000, 12),
    "own step, fused": ("own", "fused", "arrays", 20_000, 12),
    "wide, graph": ("wide", "graph", "arrays", 50, 12),
    "wide, fused": ("wide", "fused", "arrays", 50, 12),
    "msggan, graph": ("msggan", "graph", "arrays", 4, 8),
}
NOTES = """
CPU times, medians; the overhead is the median of each round's ratio, with the quartiles of the
rounds. What a fit costs once is the time of its first two epochs with the guard, less that without.
"""


class OwnStep(km.Model):
    """A step with two logs of its own, each of which may be NaN in one step alone."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(y - self(x, training=True)))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"own_loss": loss, "gradient": tf.reduce_mean(gradients[0])}


class EpochTimes(keras.callbacks.Callback):
    """Notes when each epoch begins, and when the last one ends."""

    def on_train_begin(self, logs=None):
        self.times = [time.process_time()]

    def on_epoch_begin(self, epoch, logs=None):
        if epoch:
            self.times.append(time.process_time())

    def on_train_end(self, logs=None):
        self.times.append(time.process_time())

    def list_durations(self):
        return list(np.diff(self.times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    rounds = 5 if arguments.quick else arguments.rounds
    console = rich.console.Console(width=None if sys.stdout.isatty() else 140)
    folder = ROOT / ("runs" if arguments.quick else "scripts/results")
    folder.mkdir(exist_ok=True)
    path = folder / "benchmark_nan_guard.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    columns = [*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn()]
    with rich.progress.Progress(*columns, console=console, transient=True) as progress:
        for name in progress.track(arguments.cases):
            results[name] = _measure(*CASES[name], rounds)
    results = {name: results[name] for name in CASES if name in results}
    table = _make_table(results)
    console.print(table)
    console.print(NOTES)
    path.write_text(json.dumps(results, indent=1) + "\n")
    text = _format_markdown(table) + NOTES
    (folder / "benchmark_nan_guard.md").write_text(text, "utf-8")
    missed = [
        f"{name}: {numbers['overhead']:+.1%}"
        for name, numbers in results.items()
        if numbers["overhead"] > LARGEST_OVERHEAD
    ]
    console.print(f"missed: {', '.join(missed)}" if missed else "The bar is met.")
    return 1 if missed else 0


def _measure(model_name, mode, data, num_steps, epochs, rounds):
    """Returns the numbers of one case."""
    keras.utils.set_random_seed(0)
    model, x, y, batch_size = _make(model_name, mode, num_steps)
    fit_arguments = {"x": x, "y": y, "batch_size": batch_size}
    if data == "dataset":
        fit_arguments = {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)}
    _fit(model, fit_arguments, 2, [])  # It compiles.
    plain, guarded = [], []
    for _ in range(rounds):
        plain.append(_fit(model, fit_arguments, epochs, []))
        guarded.append(_fit(model, fit_arguments, epochs, [km.callbacks.NaNGuard()]))
    medians = [[statistics.median(run[WARM_UP:]) for run in way] for way in (plain, guarded)]
    ratios = [own / other - 1 for other, own in zip(*medians, strict=True)]
    starts = [statistics.median(sum(run[:WARM_UP]) for run in way) for way in (plain, guarded)]
    return {
        "microseconds_per_step": 1e6 * statistics.median(medians[0]) / num_steps,
        "microseconds_with_guard": 1e6 * statistics.median(medians[1]) / num_steps,
        "overhead": statistics.median(ratios),
        "quartiles": statistics.quantiles(ratios, n=4)[::2],
        "milliseconds_per_fit": 1e3 * (starts[1] - starts[0]),
        "rounds": rounds,
    }


def _fit(model, arguments, epochs, callbacks):
    """Returns the seconds of each epoch."""
    times = EpochTimes()
    model.fit(**arguments, epochs=epochs, verbose=0, callbacks=[*callbacks, times])
    return times.list_durations()


def _make(name, mode, num_steps):
    """Returns a compiled model, its data and the batch size."""
    mode, _, steps = mode.partition(" ")
    settings = {"mode": mode, "steps_per_execution": int(steps) if steps else None}
    if name == "msggan":
        images = np.random.default_rng(0).uniform(-1, 1, (num_steps * 32, 28, 28, 1))
        gan = km.MSGGAN((28, 28, 1), 3, seed=0)
        gan.compile(**settings)
        return gan, images.astype("float32"), None, 32
    batch_size, units = (64, (512, 512)) if name == "wide" else (1, (20, 10))
    x, y = km.data.sums(num_samples=num_steps * batch_size, seed=0)
    if name == "own":
        inputs = keras.Input(x.shape[1:])
        hidden = keras.layers.Dense(units[0], activation="relu")(inputs)
        model = OwnStep(inputs, keras.layers.Dense(1)(hidden))
    else:
        model = km.SumRegressor(units)
        model.build((None, x.shape[1]))
    model.compile(optimizer="adam", **settings)
    return model, x, y, batch_size


def _make_table(results):
    table = rich.table.Table(title="NaNGuard: what it costs")
    headings = ("", "CPU µs a step", "with the guard", "overhead", "quartiles", "ms once a fit")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    for name, numbers in results.items():
        table.add_row(
            name,
            f"{numbers['microseconds_per_step']:,.3g}",
            f"{numbers['microseconds_with_guard']:,.3g}",
            f"{numbers['overhead']:+.1%}",
            "{:+.1%} to {:+.1%}".format(*numbers["quartiles"]),
            f"{numbers['milliseconds_per_fit']:.0f}",
        )
    return table


def _format_markdown(table):
    headings = [column.header for column in table.columns]
    rows = list(zip(*(list(column.cells) for column in table.columns), strict=True))
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return f"# {table.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
