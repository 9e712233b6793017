"""How many combinations of known factors does MSGGAN learn, and how evenly? Counted, not estimated.

Command: .venv/bin/python scripts/studies/study_colour.py [--jobs default:0 dcgan:0 ...]
    --minutes 10  time of a run on two cores
    --evaluate    train nothing, and report the samples that are there, of incomplete runs, too
    --quick       two runs of seconds, into runs/
Cost: 20 minutes of one core a run. The samples of a run stay in runs/study_colour, its numbers
beside the results: neither is made twice. Two processes may share the jobs. So far one run is
there, default:0, from before the up-sampling of the default became faster.
Result: scripts/results/study_colour.md, with a picture of samples.

The set is `km.data.colour_shapes`: 864 combinations of shape, hue, size, position and background,
whose factors `km.data.read_colour_shapes` reads without an error from real images. A minute of two
cores is two minutes of this process's processor time, in training, with one thread, which never
waits for another: other programs on the machine do not shorten a run.
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from gans import dcgan_keras
from PIL import Image

import kerasmodes as km
from kerasmodes.metrics.factor_coverage import count_combinations

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORES = 2
JOBS = ("default:0", "dcgan:0", "default:1", "default:2")
PARTS = (1 / 4, 1 / 2, 1)  # of the time, at which samples are made
STEPS = 10  # between two looks at the clock
NUM_SHOWN, ZOOM, GAP = 16, 2, 2
NUM_VALUES = km.data.shapes.NUM_VALUES
NAMES = {"default": "MSGGAN, default", "dcgan": "DCGAN, its authors'", "real": "real images"}


def make_default(seed):
    gan = km.MSGGAN(km.data.shapes.IMAGE_SHAPE, num_scales=4, seed=seed)
    gan.compile(mode="graph")
    return gan, 16


def make_dcgan(seed):
    gan = dcgan_keras.DCGAN("paper", km.data.shapes.IMAGE_SHAPE)
    gan.compile()
    return gan, dcgan_keras.BATCH_SIZE


RECIPES = {"default": make_default, "dcgan": make_dcgan}


def train(recipe, seed, paths, options):
    """Trains, and stores samples at each part of the time, a file each."""
    keras.utils.set_random_seed(seed)
    gan, batch_size = RECIPES[recipe](seed)
    batches = iter(km.data.images("colour_shapes", batch_size=batch_size, seed=seed).repeat())
    seconds, steps, start = 0.0, 0, time.perf_counter()
    for part, path in zip(PARTS, paths, strict=True):
        while seconds < 60 * CORES * options.minutes * part:
            begin = time.process_time()
            for _ in range(STEPS):
                gan.train_on_batch(next(batches))
            seconds, steps = seconds + time.process_time() - begin, steps + STEPS
        made = gan.generate(options.num_samples, seed=1)
        made = np.clip((made[-1] if isinstance(made, list) else made) * 127.5 + 127.5, 0, 255)
        numbers = {"seen": steps * batch_size, "seconds": seconds}
        numbers["elapsed"] = time.perf_counter() - start
        np.savez_compressed(path, images=np.rint(made).astype("uint8"), **numbers)
        print(f"{recipe}:{seed}, {part:.0%}: {numbers}", flush=True)


def measure(factors):
    """Returns the coverage of all samples and of their first tenth, by the number of samples."""
    sizes = (len(factors) // 10, len(factors))
    return {str(n): km.metrics.factor_coverage(factors[:n], NUM_VALUES) for n in sizes}


def evaluate(path, picture):
    """Returns what a file of samples shows; draws some that are valid, and some that are not."""
    with np.load(path) as kept:
        images = kept["images"].astype("float32") / 127.5 - 1
        numbers = {name: float(kept[name]) for name in ("seen", "seconds", "elapsed")}
    factors = km.data.read_colour_shapes(images)
    valid = factors[:, 0] >= 0
    rows = [images[valid], images[~valid]]
    blank = np.ones((NUM_SHOWN, *images.shape[1:]), "float32")
    rows = [np.concatenate([row[:NUM_SHOWN], blank[len(row) :]]) for row in rows]
    km.data.save_image(km.data.image_grid(rows, NUM_SHOWN, zoom=ZOOM, gap=GAP), picture)
    counts = count_combinations(factors, NUM_VALUES)
    shares = {}
    for axis, (name, values) in enumerate(km.data.shapes.FACTORS.items()):
        own = counts.sum(axis=tuple({*range(counts.ndim)} - {axis})) / max(counts.sum(), 1)
        shares[name] = dict(zip(values, own.round(4).tolist(), strict=True))
    return {**numbers, "coverage": measure(factors), "shares": shares}


def run(job, options):
    """Trains, unless its samples are there, and writes the numbers of all samples that are."""
    recipe, seed = job.split(":")
    path = options.folder / f"{recipe}-{seed}.json"
    stops = [options.minutes * part for part in PARTS]
    paths = [options.samples / f"{recipe}-{seed}-{stop:g}.npz" for stop in stops]
    found = json.loads(path.read_text()) if path.exists() else {"curve": []}
    if found.get("minutes") == options.minutes and len(found["curve"]) == len(PARTS):
        return
    if not options.evaluate and not paths[-1].exists():
        train(recipe, int(seed), paths, options)
    curve = [evaluate(one, path.with_suffix(".png")) for one in paths if one.exists()]
    if curve:
        found = {"recipe": recipe, "seed": int(seed), "minutes": options.minutes, "curve": curve}
        path.write_text(json.dumps(found, indent=1) + "\n")


def list_runs(options):
    """Returns the numbers of all runs, recipe by recipe."""
    runs = [json.loads(path.read_text()) for path in options.folder.glob("*.json")]
    return sorted(runs, key=lambda one: (list(RECIPES).index(one["recipe"]), one["seed"]))


def describe(runs, real):
    """Yields the lines of the report."""
    few, many = (int(n) for n in real)
    yield f"# {km.data.shapes.NUM_COMBINATIONS} combinations of known factors\n"
    yield "Minutes of two cores, in training. `valid` is the share of samples that are pictures of"
    yield "the set, `covered` that of the combinations, in so many samples. Unevenness is the"
    yield f"total variation distance of the valid ones of {many:,} samples from equal shares:"
    yield "of all combinations, and of the values of each factor.\n"
    head = ["", "seed", "minutes", "images", "valid", f"covered by {few:,}", f"by {many:,}"]
    head += ["unevenness", *NUM_VALUES]
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for one in runs:
        for point in one["curve"]:
            first = [NAMES[one["recipe"]], str(one["seed"]), f"{point['seconds'] / 60 / CORES:.1f}"]
            yield _format_row([*first, f"{point['seen']:,.0f}"], point["coverage"].values())
    yield _format_row([NAMES["real"], "", "", ""], real.values())


def _format_row(first, coverages):
    few, many = coverages
    last = [name for name in many if name.startswith("unevenness")]
    cells = [f"{many['valid']:.3f}", f"{few['covered']:.3f}", f"{many['covered']:.3f}"]
    return f"| {' | '.join([*first, *cells, *(f'{many[name]:.3f}' for name in last)])} |"


def draw(runs, options):
    """Writes the picture: a row of real images, and two rows of each run, valid and not."""
    real, _ = km.data.colour_shapes(NUM_SHOWN, seed=3)
    rows, names = [km.data.image_grid([real], NUM_SHOWN, zoom=ZOOM, gap=GAP)], ["real"]
    for one in runs:
        name = f"{one['recipe']}-{one['seed']}"
        rows.append(np.asarray(Image.open(options.folder / f"{name}.png").convert("RGB")))
        names += [f"{name}: valid", "not valid"]
    between = np.full((GAP, rows[0].shape[1], 3), 255, "uint8")
    picture = np.concatenate([part for row in rows for part in (row, between)][:-1])
    named = km.data.label_rows(picture, names, gap=GAP)
    km.data.save_image(named, options.folder.with_name("study_colour_samples.png"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", nargs="*", default=JOBS, help="RECIPE:SEED of each run")
    parser.add_argument("--minutes", type=float, default=10.0, help="time of a run")
    parser.add_argument("--evaluate", action="store_true", help="report what is there")
    parser.add_argument("--quick", action="store_true", help="two short runs, into runs/")
    options = parser.parse_args()
    results, options.num_samples = ROOT / "scripts" / "results", 10_000
    if options.quick:
        results, options.num_samples = ROOT / "runs" / "quick", 100
        options.jobs, options.minutes = JOBS[:2], 0.05
    options.folder = results / "study_colour"
    options.samples = ROOT / "runs" / ("quick" if options.quick else "") / "study_colour"
    for folder in (options.folder, options.samples):
        folder.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for job in options.jobs:
        run(job, options)
    real, _ = km.data.colour_shapes(options.num_samples, seed=2)
    runs = list_runs(options)
    report = "\n".join(describe(runs, measure(km.data.read_colour_shapes(real))))
    options.folder.with_suffix(".md").write_text(report + "\n", "utf-8")
    draw(runs, options)
    print(report)


if __name__ == "__main__":
    main()
