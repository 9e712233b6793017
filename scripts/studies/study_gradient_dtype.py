"""What do gradients lose, and messages gain, that replicas add up in bfloat16?

Command: .venv/bin/python scripts/studies/study_gradient_dtype.py [--quick]
    --quick  two replicas and two epochs; prints only
Cost: about 4 minutes on 2 idle cores.
Result: scripts/results/study_gradient_dtype.md. A small network of convolutions learns the classes
of `km.data.images`, 1,024 pictures in batches of 64, on 2, 4 and 8 logical CPU devices, each in
fresh processes: once with `gradient_dtype=None`, twice with "bfloat16". The error is that of the
first step's sum, of all weights together. The second run must have the same weights to the bit.
Then two workers train a network of 5.2 million weights: how many bytes come in by the loopback
device, and how long a step takes, medians of rounds in which the two dtypes take turns.
Expected: an error of 0.26 % on two replicas and 0.37 % on eight; losses that differ by 1 in 1,000
at the most; half of the bytes.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from kerasmodes import launching

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"
BFLOAT16 = "bfloat16"
WIDTH, DEPTH, NUM_STEPS, ROUNDS = 1024, 5, 10, 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="two replicas, two epochs; prints only"
    )
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        kind, number, path = arguments.part
        numbers = _learn(int(number)) if kind == "learn" else _send(int(number))
        if numbers:
            pathlib.Path(path).write_text(json.dumps(numbers))
        return
    counts, epochs = ((2,), 2) if arguments.quick else ((2, 4, 8), 10)
    os.environ["STUDY_EPOCHS"] = str(epochs)
    text = _make_text(epochs, {count: _run("learn", count) for count in counts}, _run("send", 2))
    print(text)
    if not arguments.quick:
        (RESULTS / "study_gradient_dtype.md").write_text(text, "utf-8")


def _run(kind, number):
    """Returns the numbers of a part, from fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "numbers.json"
        command = [sys.executable, __file__, "--part", kind, str(number), str(path)]
        if kind == "learn":
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                launching.launch(command, number)
        return json.loads(path.read_text())


def _learn(num_replicas):
    """Returns the error of the first sum, and the losses of fits with both dtypes."""
    import keras
    import numpy as np

    import kerasmodes as km

    strategy = km.get_strategy(f"cpu:{num_replicas}")
    batches = list(km.data.images(batch_size=64, with_labels=True, seed=0).as_numpy_iterator())
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))

    def train(make_optimizer, dtype, num_examples, epochs):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            layers = [keras.layers.Conv2D(n, 3, 2, activation="relu") for n in (16, 32)]
            layers += [keras.layers.Flatten(), keras.layers.Dense(10)]
            model = km.Sequential([keras.Input(x.shape[1:]), *layers])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(make_optimizer(), loss, mode="graph", gradient_dtype=dtype)
        before = np.concatenate([weight.ravel() for weight in model.get_weights()])
        data = x[:num_examples], y[:num_examples]
        history = model.fit(*data, batch_size=64, epochs=epochs, verbose=0).history
        after = np.concatenate([weight.ravel() for weight in model.get_weights()])
        return history["loss"], before - after, after

    dtypes = (None, BFLOAT16)
    exact, rounded = (train(lambda: keras.optimizers.SGD(1.0), one, 64, 1)[1] for one in dtypes)
    epochs = int(os.environ["STUDY_EPOCHS"])
    runs = [train(keras.optimizers.Adam, one, len(x), epochs) for one in (*dtypes, BFLOAT16)]
    return {
        "error": float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact)),
        "losses": [run[0] for run in runs[:2]],
        "repeats": bool(np.array_equal(runs[1][2], runs[2][2])),
    }


def _send(num_workers):
    """Returns bytes and seconds of a step by dtype, on the chief."""
    import keras
    import numpy as np

    import kerasmodes as km

    strategy = km.get_strategy("multi_worker")
    x = np.random.default_rng(0).normal(size=(8 * NUM_STEPS, WIDTH)).astype("float32")
    numbers, models = {}, {}
    for dtype in (None, BFLOAT16):
        numbers[str(dtype)] = {"bytes": [], "ms": []}
        keras.utils.set_random_seed(0)
        with strategy.scope():
            hidden = [keras.layers.Dense(WIDTH, "relu") for _ in range(DEPTH)]
            model = km.Sequential([keras.Input((WIDTH,)), *hidden, keras.layers.Dense(1)])
            settings = {"steps_per_execution": NUM_STEPS, "gradient_dtype": dtype}
            model.compile("sgd", "mse", mode="graph", **settings)
        models[str(dtype)] = model
        model.fit(x, x[:, :1], batch_size=8, verbose=0)  # It traces the step.
    for _ in range(ROUNDS):
        for dtype, model in models.items():
            start, before = time.perf_counter(), _read_bytes()
            model.fit(x, x[:, :1], batch_size=8, verbose=0)
            numbers[dtype]["ms"].append(1e3 * (time.perf_counter() - start) / NUM_STEPS)
            numbers[dtype]["bytes"].append((_read_bytes() - before) / NUM_STEPS)
    numbers["num_weights"] = model.count_params()
    return numbers if km.is_chief() else None


def _read_bytes():
    """Returns the bytes that have come in by the loopback device."""
    lines = pathlib.Path("/proc/net/dev").read_text().splitlines()
    (line,) = (line for line in lines if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[0])


def _make_text(epochs, learned, sent):
    lines = ["# Gradients that are added up in bfloat16", ""]
    lines += [
        f"| replicas | error of the sum | loss after {epochs} epochs | with bfloat16 | repeats |"
    ]
    lines += ["| ---: | ---: | ---: | ---: | --- |"]
    for count, numbers in learned.items():
        plain, short = (losses[-1] for losses in numbers["losses"])
        repeats = "to the bit" if numbers["repeats"] else "no"
        lines.append(
            f"| {count} | {numbers['error']:.2%} | {plain:.4f} | {short:.4f} | {repeats} |"
        )
    lines += ["", "| two workers | MB received a step | ms a step |", "| --- | ---: | ---: |"]
    for dtype, words in ((None, "float32"), (BFLOAT16, "bfloat16")):
        own = sent[str(dtype)]
        megabytes = statistics.median(own["bytes"]) / 1e6
        lines.append(f"| {words} | {megabytes:.1f} | {statistics.median(own['ms']):.0f} |")
    num_cores = len(os.sched_getaffinity(0))
    lines += [
        "",
        "The losses are those of 3 layers on 1,024 pictures; the messages, those of "
        f"{sent['num_weights']:,} weights, what both",
        f"workers receive, on {num_cores} core{'s' if num_cores > 1 else ''} in all. "
        "Command: `.venv/bin/python scripts/studies/study_gradient_dtype.py`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
