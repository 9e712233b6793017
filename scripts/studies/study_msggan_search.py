"""Does a search over MSGGAN find a better GAN for ten minutes of two cores than the default?

Command: .venv/bin/python scripts/studies/study_msggan_search.py [--max-trials 12]
    --directory FOLDER  where the trials are kept, beside the results by default
    --quick             four trials of seconds on 256 images, into runs/
Cost: about 3 hours of one core: 12 trials of 5 minutes, and 6 runs of 20 minutes. Complete trials
and runs stay in their folders; a second call resumes there.
Result: scripts/results/study_msggan_search.md, with pictures of the trials and of samples.

The preset `default` is in the middle of the space, that of `km.tuning.MSGGANHyperModel`: widths,
latents, rates and how they fall, the penalty and how it falls, the average, the batch size. A
minute of two cores is two minutes of this process's processor time, in training, with one thread,
which never waits for another: other programs on the machine do not shorten a run.
"""

import argparse
import functools
import json
import pathlib
import statistics
import time

import keras
import keras_tuner
import numpy as np
import rich
import tensorflow as tf
from PIL import Image

import kerasmodes as km

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORES = 2
SEEDS = (1, 2, 3)
NUM_SAMPLES = 20
FULL = {"name": "fashion_mnist", "split": "train"}
QUICK = {"name": "fashion_mnist_sample", "split": "train[:256]"}


class StopAfter(keras.callbacks.Callback):
    """Ends a fit after so many seconds of all cores."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs=None):
        self.begin = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        if time.process_time() - self.begin > CORES * self.seconds:
            self.model.stop_training = True


def make_hypermodel(seed=0):
    return km.tuning.MSGGANHyperModel(
        mode="graph",
        latent_dims=(32, 64, 128),
        filters=(32, 64, 96, 128),
        beta_1=0.0,
        batch_sizes=(8, 16, 32, 64),
        seed=seed,
    )


def find_default():
    """Returns the hyperparameters of the preset `default`, and the batch size that goes with it."""
    hp = keras_tuner.HyperParameters()
    make_hypermodel().build(hp)
    return {**hp.values, "batch_size": 16}


def repeat_images(batch_size, **arguments):
    return km.data.images(batch_size=batch_size, **arguments).repeat()


def make_metrics(data, names, num_images):
    test_images = km.data.images(data["name"], "test", batch_size=500)
    return km.callbacks.GenerationMetrics(test_images, metrics=names, num_images=num_images)


def search(options):
    return km.tuning.search(
        make_hypermodel(),
        "bayesian",
        "val_frechet",
        max_trials=options.max_trials,
        epochs=1,
        directory=options.directory,
        seed=0,
        x=functools.partial(repeat_images, **options.data, seed=0),
        steps_per_epoch=10**6,
        callbacks=[
            StopAfter(15 * options.minutes),  # A quarter of the time of a run.
            make_metrics(options.data, ("frechet",), options.num_images),
        ],
    )


def run(name, values, seed, options):
    """Returns the results of a configuration after its minutes, from its file if there is one."""
    path = options.folder / f"{name}-{seed}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    if found.get("values") == values:
        return found
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    gan, start = make_hypermodel(seed).build(hp), time.perf_counter()
    metrics = make_metrics(options.data, ("frechet", "precision_recall"), options.num_images)
    history = gan.fit(
        repeat_images(values["batch_size"], **options.data, seed=seed),
        steps_per_epoch=10**6,
        shuffle=False,
        verbose=0,
        callbacks=[StopAfter(60 * options.minutes), metrics],
    ).history
    row = [gan.generate(NUM_SAMPLES, seed=0)[-1]]
    km.data.save_image(km.data.image_grid(row, NUM_SAMPLES, zoom=2), path.with_suffix(".png"))
    images = int(gan.generator_optimizer.iterations) * values["batch_size"]
    found = {"values": values, "images": images, "seconds": time.perf_counter() - start}
    found |= {name: numbers[-1] for name, numbers in history.items() if name[:4] == "val_"}
    path.write_text(json.dumps(found, indent=1) + "\n")
    return found


def describe(tuner, runs, options):
    """Yields the lines of the report."""
    count = len(tuner.oracle.trials)
    yield f"# The best of {count} GANs in {options.minutes:g} minutes of two cores\n"
    yield "| configuration | seed | Fréchet distance | precision | recall | images |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    medians = {}
    for name, own in runs.items():
        for seed, one in zip(SEEDS, own, strict=True):
            quality = [f"{one[f'val_{n}']:.3f}" for n in ("frechet", "precision", "recall")]
            yield f"| {name} | {seed} | {' | '.join(quality)} | {one['images']:,} |"
        medians[name] = statistics.median(one["val_frechet"] for one in own)
        yield f"| {name} | median | {medians[name]:.3f} | | | |"
    better = sum(b["val_frechet"] < d["val_frechet"] for d, b in zip(*runs.values(), strict=True))
    ratio = medians["best"] / medians["default"]
    yield f"\nBest: {ratio:.2f} × the default's median; better for {better} of {len(SEEDS)} seeds."
    default, best = (runs[name][0]["values"] for name in ("default", "best"))
    yield "\nThe best of the search, and the default: " + ", ".join(
        f"{name} {value:.4g} ({default[name]:g})" for name, value in best.items()
    )
    yield "\nThree rows of the default, and three of the best:\n"
    yield "![samples](study_msggan_search_samples.png)\n\n![trials](study_msggan_search.png)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-trials", type=int, default=12)
    parser.add_argument("--directory", help="for the trials")
    parser.add_argument("--minutes", type=float, default=10.0, help="time of a run")
    parser.add_argument("--quick", action="store_true", help="a small version, into runs/")
    options = parser.parse_args()
    options.data, options.num_images = FULL, 10_000
    results = ROOT / "scripts" / "results"
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if options.quick:
        options.data, options.num_images, options.minutes, options.max_trials = QUICK, 64, 0.05, 4
        results, options.directory = ROOT / "runs", "runs/study_msggan_search/tuning"
    options.folder = results / "study_msggan_search"
    options.folder.mkdir(parents=True, exist_ok=True)
    options.directory = options.directory or options.folder / "trials"
    tuner = search(options)
    rich.print(km.tuning.best_trials_table(tuner))
    km.tuning.plot_search(tuner, results / "study_msggan_search.png")
    default, values = find_default(), tuner.get_best_hyperparameters()[0].values
    configurations = {"default": default, "best": {name: values[name] for name in default}}
    runs = {name: [] for name in configurations}
    for seed in SEEDS:
        for name, own in configurations.items():
            runs[name].append(run(name, own, seed, options))
    rows = [np.asarray(Image.open(options.folder / f"{n}-{s}.png")) for n in runs for s in SEEDS]
    km.data.save_image(np.concatenate(rows), results / "study_msggan_search_samples.png")
    report = "\n".join(describe(tuner, runs, options))
    (results / "study_msggan_search.md").write_text(report + "\n", "utf-8")
    print(report)


if __name__ == "__main__":
    main()
