"""Does a process that trains for long stay as large? Many steps, epochs and fits, in each mode.

Command: .venv/bin/python scripts/studies/study_memory.py [share of the work, 1 by default]
    --rows WORD ...  only rows with one of these words, such as "fits" or "fused"
Cost: about an hour of one core on an idle machine. Each row is a process of its own: 3,000 steps of
a small GAN in one fit, 2,000 epochs with validation of a small network in one fit, or 500 fits of
networks of different sizes, each dropped after its fit; stock Keras does the last two as well.
Memory is what the system holds for the process, after a search for garbage and after the allocator
has given back what is free. It is read after a tenth of the work, when all is compiled that a
single fit compiles, after half of the rest, and at the end. Below the whole work (a share such as
0.02), the table is printed only; otherwise each row goes to `scripts/results/study_memory.json` and
`.md` as soon as it is measured. Rows that are not run stay there as they are.
Expected: no growth from the middle to the end beyond that of stock Keras beside it. Fits of
different models grow where XLA compiles: TensorFlow keeps each compiled program, about 7 MB, for as
long as the process lives, stock Keras's too. `shared_programs.py` holds about 1 MB of each of the
last 64.
"""

import argparse
import ctypes
import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import rich.progress

WORK = {"steps of a GAN": 3000, "epochs with validation": 2000, "fits of different models": 500}
MODES = ("eager", "graph", "xla", "fused")
# Stock Keras is compiled as that mode is.
STOCK = {
    "stock eager": {"run_eagerly": True},
    "stock graph": {"jit_compile": False},
    "stock xla": {"jit_compile": True},
}
CASES = [
    (work, way)
    for work in WORK
    for way in (*MODES, *STOCK)
    if way in MODES or work != "steps of a GAN"  # Keras has none.
]
RESULTS = pathlib.Path(__file__).parent.parent / "results"
HEADINGS = (
    "work",
    "way",
    "memory after a tenth (MB)",
    "half-way (MB)",
    "at the end (MB)",
    "after `clear_session` (MB)",
    "growth in the second half (KB each)",
    "threads",
    "open files",
    "temporary files left",
)


class Meter:
    """Reads the memory, threads and open files of this process at moments of its work.

    Args:
        amount: How many steps, epochs or fits there are.
    """

    def __init__(self, amount):
        self.moments = [max(1, amount // 10), max(2, amount * 55 // 100), amount]
        self.rows = []
        # What is free, the allocator of Linux keeps, unless it is asked.
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda size: None)

    def note(self, number):
        """Reads after so many steps, epochs or fits, if that is one of the moments."""
        if number in self.moments:
            self.read(number)

    def read(self, number):
        gc.collect()
        self._trim(0)
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        kilobytes = pages * os.sysconf("SC_PAGE_SIZE") / 1024
        counts = (len(os.listdir(f"/proc/self/{name}")) for name in ("task", "fd"))
        self.rows.append((number, kilobytes, *counts))


def run_steps(way, amount, meter):
    import keras

    import kerasmodes as km

    gan = km.MSGGAN((8, 8, 1), 2, 4, preset=km.presets.Default(4, 4), augmentation="adaptive")
    gan.compile(mode=way)
    per_epoch = max(1, min(100, amount // 10))
    images = np.random.default_rng(0).uniform(-1, 1, (4 * per_epoch, 8, 8, 1)).astype("float32")
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: meter.note((epoch + 1) * per_epoch)
    )
    meter.moments = [moment // per_epoch * per_epoch or per_epoch for moment in meter.moments]
    epochs = amount // per_epoch
    gan.fit(images, batch_size=4, epochs=epochs, verbose=0, callbacks=[note])


def run_epochs(way, amount, meter):
    import keras

    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: meter.note(epoch + 1))
    x, y = make_sums()
    data = {"x": x, "y": y, "batch_size": 8, "validation_data": (x, y)}
    make_network(way, 4).fit(**data, epochs=amount, verbose=0, callbacks=[note])


def run_fits(way, amount, meter):
    x, y = make_sums()
    for number in range(1, amount + 1):
        make_network(way, 1 + number).fit(x, y, batch_size=8, verbose=0)
        meter.note(number)


RUN = dict(zip(WORK, (run_steps, run_epochs, run_fits), strict=True))


def run(work, way, amount):
    """Does the work, and prints the rows of its `Meter`: those of its moments, and a last one."""
    import keras

    meter = Meter(amount)
    RUN[work](way, amount, meter)
    keras.backend.clear_session()
    meter.read(amount)
    print(json.dumps(meter.rows))


def make_sums():
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def make_network(way, width):
    import keras

    import kerasmodes as km

    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1)(keras.layers.Dense(width, activation="relu")(inputs))
    model = (keras.Model if way in STOCK else km.Model)(inputs, outputs)
    model.compile("adam", "mean_squared_error", **STOCK.get(way, {"mode": way}))
    return model


def measure(work, way, amount):
    """Returns the rows of a `Meter` in a process of its own, and how many files it has left."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, __file__, "--run", work, way, str(amount)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": folder},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        left = len(os.listdir(folder))
    return json.loads(run.stdout.splitlines()[-1]), left


def make_cells(work, way, readings, files_left):
    """Returns the cells of a row of the table."""
    start, middle, end, _ = readings
    growth = (end[1] - middle[1]) / max(1, end[0] - middle[0])
    megabytes = [f"{reading[1] / 1024:,.1f}" for reading in readings]
    changes = [f"{start[place]} → {end[place]}" for place in (2, 3)]
    return work, way, *megabytes, f"{growth:,.2f}", *changes, str(files_left)


def describe(results, amounts):
    """Yields the lines of the report."""
    yield "# The memory of a process that trains for long"
    yield ""
    done = {name.rpartition(", ")[0] for name in results}
    work = ", ".join(f"{amount:,} {name}" for name, amount in amounts.items() if name in done)
    yield (
        f"Each row is a process of its own: {work}. Memory after garbage collection; threads and "
        "open files after a tenth of the work and at the end. What `keras.backend.clear_session()` "
        "frees is TensorFlow's cache of kernels, which has some for each variable that there was. "
        "Command: "
        "`.venv/bin/python scripts/studies/study_memory.py`."
    )
    yield ""
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "| --- | --- |" + " ---: |" * (len(HEADINGS) - 2)
    for work, way in CASES:
        if f"{work}, {way}" in results:
            yield "| " + " | ".join(make_cells(work, way, **results[f"{work}, {way}"])) + " |"


def write(results, report):
    (RESULTS / "study_memory.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "study_memory.md").write_text(report + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("share", nargs="?", type=float, default=1.0, help="of the work")
    parser.add_argument("--rows", nargs="+", default=[""], help="words of the rows to run")
    arguments = parser.parse_args()
    amounts = {work: max(3, round(arguments.share * amount)) for work, amount in WORK.items()}
    is_whole, path = arguments.share == 1, RESULTS / "study_memory.json"
    results = json.loads(path.read_text()) if is_whole and path.exists() else {}
    cases = [one for one in CASES if any(word in ", ".join(one) for word in arguments.rows)]
    for work, way in rich.progress.track(cases, "Processes"):
        readings, files_left = measure(work, way, amounts[work])
        results[f"{work}, {way}"] = {"readings": readings, "files_left": files_left}
        report = "\n".join(describe(results, amounts))
        if is_whole:
            write(results, report)
    print(report)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        work, way, amount = sys.argv[2:]
        run(work, way, int(amount))
    else:
        main()
