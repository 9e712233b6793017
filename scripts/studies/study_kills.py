"""Does a killed fit that is started again end with the numbers of one that was never stopped?

Command: .venv/bin/python scripts/studies/study_kills.py [kills of a case, 4 by default]
Cost: about half an hour of two cores. Each case (a model, a mode, data, one or two workers) is
fitted once without a checkpoint. Then it is fitted again and again with `km.callbacks.Resume`,
three times of four killed by SIGKILL and once ended by SIGTERM, at a random moment between the
first step and the usual end: in mid-epoch, between epochs, or while a checkpoint is written. It is
started again until it ends. The study writes `scripts/results/study_kills.md`.
Expected: all end with the weights and history of the fit that was never stopped, bit for bit.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import rich.progress

MODES, MODELS, DATA = ("eager", "graph", "xla", "fused"), ("sum", "gan"), ("arrays", "data set")
ONE_WORKER = [(model, mode, data, 1) for model in MODELS for mode in MODES for data in DATA]
# XLA does not run on replicas.
TWO_WORKERS = [(model, "graph", data, 2) for model in MODELS for data in DATA]
CASES = ONE_WORKER + TWO_WORKERS
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)
EPOCHS, EVERY = 4, 4
STEPS = {"sum": 48, "gan": 12}
PATIENCE_SECONDS = 300
RESULTS = pathlib.Path(__file__).parent.parent / "results"


def fit(model_name, mode, data_name, num_workers, folder, has_checkpoints, hold_at=0):
    """Fits a model and writes its numbers: what a killed process runs.

    Args:
        model_name, mode, data_name, num_workers: The case.
        folder: Where its files are.
        has_checkpoints: Whether it is resumed.
        hold_at: After which execution it waits for its signal; 0 for none.
    """
    import keras
    import tensorflow as tf

    import kerasmodes as km

    strategy = km.get_strategy("multi_worker" if num_workers > 1 else "single")
    keras.utils.set_random_seed(7)
    with strategy.scope():
        model, x, y = make_gan(mode) if model_name == "gan" else make_regressor(mode)
    path = pathlib.Path(folder)
    if data_name == "arrays":
        arguments = {"x": x, "y": y, "batch_size": 4}
    else:
        examples = tf.data.Dataset.from_tensor_slices(x if y is None else (x, y))
        arguments = {"x": examples.shuffle(len(x), seed=3).batch(4), "shuffle": False}
    count = itertools.count(1)
    callbacks = [
        keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: note_start(path, next(count), hold_at)
        )
    ]
    if km.is_chief():
        name = "history.csv" if has_checkpoints else "reference.csv"
        callbacks.append(keras.callbacks.CSVLogger(path / name))
    if has_checkpoints:
        callbacks.append(km.callbacks.Resume(path / "progress", every=EVERY))
    history = model.fit(**arguments, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    if km.is_chief():
        name = "numbers" if has_checkpoints else "reference"
        weights = [variable.numpy() for variable in list_variables(model)]
        np.savez(path / f"{name}.npz", *weights)
        (path / f"{name}.json").write_text(json.dumps([history.epoch, history.history]))


def make_regressor(mode):
    import kerasmodes as km

    model = km.SumRegressor(units=(8,))
    model.build((None, 3))
    model.compile("adam", mode=mode)
    return model, *km.data.sums(4 * STEPS["sum"], 3, seed=1)


def make_gan(mode):
    import kerasmodes as km

    gan = km.MSGGAN((8, 8, 1), 2, 4, preset=km.presets.Default(4, 4), augmentation="adaptive")
    gan.compile(mode=mode)
    images = np.random.default_rng(0).uniform(-1, 1, (4 * STEPS["gan"], 8, 8, 1))
    return gan, images.astype("float32"), None


def list_variables(model):
    optimizers = [value for value in vars(model).values() if type(value).__name__ == "Adam"]
    return [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]


def note_start(folder, count, hold_at):
    """Notes the first execution; or, where the fit is to wait for its signal, this one, and waits.

    Args:
        folder: The folder of the note.
        count: How many executions have run in this process.
        hold_at: After which one it waits; 0 for none.
    """
    if count != (hold_at or 1):
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)  # The signal may come before the process waits.
    (folder / "started").touch()
    if hold_at:
        os.read(reader, 1)


def start(case, folder, has_checkpoints, hold_at=0):
    """Returns a process that fits a case; with its workers, it is a group of its own."""
    program = [sys.executable, __file__, "--fit", *map(str, case), folder, str(has_checkpoints)]
    program.append(str(hold_at))
    if case[-1] > 1:
        launch = [sys.executable, "-m", "kerasmodes", "launch", "--num-workers", str(case[-1])]
        program = [*launch, "--", *program]
    (folder / "started").unlink(missing_ok=True)
    with open(folder / "output.txt", "a") as output:
        return subprocess.Popen(
            program,
            start_new_session=True,
            stdout=output,
            stderr=output,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )


def wait_for_start(process, folder):
    """Waits until the first step of a process is done, or the process has ended."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while not (folder / "started").exists() and process.poll() is None:
        if time.monotonic() > limit:
            process.kill()
            raise RuntimeError(f"{folder}: no step in {PATIENCE_SECONDS} s")
        time.sleep(0.01)


def finish(process, folder):
    code = process.wait(PATIENCE_SECONDS)
    if code:
        raise RuntimeError(f"{folder}: ended with {code}\n{(folder / 'output.txt').read_text()}")


def interrupt(case, folder, number, moment=0, hold_at=0):
    """Sends a signal to a process; returns its exit status, `None` if it had ended.

    Args:
        case: Model, mode, data, workers.
        folder: Where its files are.
        number: The signal.
        moment: Seconds after the first execution.
        hold_at: After which execution the process waits for it; 0 for none.
    """
    process = start(case, folder, has_checkpoints=True, hold_at=hold_at)
    wait_for_start(process, folder)
    time.sleep(moment)
    if process.poll() is not None:
        return None
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    return process.wait(PATIENCE_SECONDS)


def compare(folder):
    """Returns what differs from the fit that was never stopped, a list of names."""
    different = []
    with np.load(folder / "reference.npz") as expected, np.load(folder / "numbers.npz") as found:
        if any(not np.array_equal(expected[name], found[name]) for name in expected.files):
            different.append("weights")
    if (folder / "reference.json").read_text() != (folder / "numbers.json").read_text():
        different.append("history")
    if (folder / "reference.csv").read_text() != (folder / "history.csv").read_text():
        different.append("rows of the CSV file")
    return different


def study_case(case, num_kills, generator):
    """Returns a row for each kill of a case: signal, moment, exit status, what differs at the end.

    Args:
        case: Model, mode, data, workers.
        num_kills: How many kills.
        generator: The `random.Random` of the moments.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        process = start(case, folder, has_checkpoints=False)
        wait_for_start(process, folder)
        begin = time.monotonic()
        finish(process, folder)
        seconds = time.monotonic() - begin
        for place in range(num_kills):
            number = SIGNALS[place % len(SIGNALS)]
            remove_run(folder)
            moment = generator.uniform(0, seconds)
            status = interrupt(case, folder, number, moment)
            checkpoints = sorted(path.name for path in (folder / "progress").glob("*"))
            if status is not None:
                finish(start(case, folder, has_checkpoints=True), folder)
            rows.append((number.name, round(moment, 2), status, checkpoints, compare(folder)))
    return rows


def remove_run(folder):
    """Removes what the last fit with checkpoints has left."""
    shutil.rmtree(folder / "progress", ignore_errors=True)
    for name in ("numbers.npz", "numbers.json", "history.csv"):
        (folder / name).unlink(missing_ok=True)


def main(num_kills=4, cases=CASES):
    with (
        concurrent.futures.ThreadPoolExecutor(2) as pool,
        rich.progress.Progress() as progress,
    ):
        task = progress.add_task("Kills", total=len(cases) * num_kills)
        futures = {}
        for place, case in enumerate(cases):
            generator = random.Random(place)
            futures[pool.submit(study_case, case, num_kills, generator)] = case
        rows = {}
        for future in concurrent.futures.as_completed(futures):
            rows[futures[future]] = future.result()
            progress.advance(task, num_kills)
    report = "\n".join(describe(cases, rows))
    (RESULTS / "study_kills.md").write_text(report + "\n")
    print(report)
    return rows


def describe(cases, rows):
    flat = [row for some in rows.values() for row in some]
    killed = [row for row in flat if row[2] is not None]
    equal = [row for row in killed if not row[-1]]
    yield "# Fits that were killed and started again"
    yield ""
    yield (
        f"{len(equal)} of {len(killed)} ended with the weights, the history and the CSV file of a "
        f"fit that was never stopped, bit for bit ({len(flat) - len(killed)} more had ended before "
        f"their signal). {EPOCHS} epochs, a checkpoint every {EVERY} steps. Command: "
        "`.venv/bin/python scripts/studies/study_kills.py`."
    )
    yield ""
    yield "| model | mode | data | workers | SIGKILL | SIGTERM | in mid-epoch | writing | equal |"
    yield "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for case in cases:
        own = [row for row in rows[case] if row[2] is not None]
        counts = [
            sum(row[0] == "SIGKILL" for row in own),
            sum(row[0] == "SIGTERM" for row in own),
            sum(any("step_000000" not in name for name in row[3][-1:]) for row in own),
            sum(any(name.startswith(".") for name in row[3]) for row in own),
            f"{sum(not row[-1] for row in own)} of {len(own)}",
        ]
        yield "| " + " | ".join(map(str, [*case, *counts])) + " |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        model, mode, data, workers, folder, has_checkpoints, hold_at = sys.argv[2:]
        fit(model, mode, data, int(workers), folder, has_checkpoints == "True", int(hold_at))
    else:
        main(*map(int, sys.argv[1:2]))
