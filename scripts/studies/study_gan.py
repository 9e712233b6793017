"""Which GAN gives a Keras user the best images in the same time on the same two cores?

Command: .venv/bin/python scripts/studies/study_gan.py [--parts speed runs robustness]
[--minutes 20] [--recipes default tutorial ...]
    --quick  a small version of everything, into runs/
Cost: about 4 hours on 2 idle cores. The speeds and each complete run are stored in one file each
and are not repeated; to repeat one, delete its file.
Result: scripts/results/study_gan_20_minutes.md with a figure, samples and the folder of that name.

Two steps make the time equal. First, recipes take turns at a few training steps with all cores,
which shows how many images each one trains on in the given minutes. Then each one trains on this
number of images, however long it takes. Runs are side by side on one core each, which is faster
than one after another. A run is evaluated with 10,000 samples against the 10,000 test images.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys

import rich.console
import rich.progress
from gans import gan_report

SCRIPTS = pathlib.Path(__file__).resolve().parent
ROOT = SCRIPTS.parents[1]
SEEDS = {
    "default": (0, 1, 2),
    "dcgan": (0,),
    "dcgan_guide": (0,),
    "tutorial": (0,),
    "wgan_gp": (0,),
    "paper": (0,),
}
RATES = ("0.001", "0.003", "0.005", "0.01")
SCALES = ("many", "one")
ROBUSTNESS_MINUTES = 3
SPEED_ROUNDS = 3
CORES = os.cpu_count()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("speed", "runs", "robustness")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--recipes", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--minutes", type=float, default=20.0, help="time of a run")
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), help="runs side by side")
    parser.add_argument(
        "--quick", action="store_true", help="a small version of everything, into runs/"
    )
    arguments = parser.parse_args()
    minutes = 0.2 if arguments.quick else arguments.minutes
    parent = ROOT / ("runs" if arguments.quick else "scripts/results")
    folder = parent / f"study_gan_{minutes:g}_minutes"
    folder.mkdir(parents=True, exist_ok=True)
    console = rich.console.Console(width=None if sys.stdout.isatty() else 140)
    if "speed" in arguments.parts:
        measure_speeds(folder / "speed.json", 1 if arguments.quick else SPEED_ROUNDS, console)
    if "runs" in arguments.parts:
        jobs = [(recipe, seed, minutes) for recipe in arguments.recipes for seed in SEEDS[recipe]]
        jobs.sort(key=lambda job: job[1])  # All recipes with seed 0 first, then with seed 1.
        run_jobs(jobs, folder, arguments.at_once, console)
    if "robustness" in arguments.parts:
        shorter = minutes * ROBUSTNESS_MINUTES / 20
        jobs = [(f"lr:{s}:{rate}", 0, shorter) for rate in RATES for s in SCALES]
        run_jobs(jobs, folder, arguments.at_once, console)
    gan_report.write(folder, console)


def measure_speeds(path, rounds, console):
    """Writes the median milliseconds of a step of each recipe that has none yet."""
    speeds = json.loads(path.read_text()) if path.exists() else {}
    recipes = [recipe for recipe in (*SEEDS, "lr:one:0.001") if recipe not in speeds]
    times, sizes = {recipe: [] for recipe in recipes}, {}
    with _make_progress(console) as progress:
        task = progress.add_task("speed", total=rounds * len(recipes))
        for _ in range(rounds):
            for recipe in recipes:
                found = json.loads(_run(["--speed", recipe]).splitlines()[-1])
                times[recipe].append(found["ms"])
                sizes[recipe] = found["batch_size"]
                progress.advance(task)
    for recipe, own in times.items():
        middle = statistics.median(own)
        rate = 1e3 * sizes[recipe] / middle
        speeds[recipe] = {"ms": middle, "all": own, "images_per_second": rate}
    path.write_text(json.dumps(speeds, indent=1) + "\n")


def run_jobs(jobs, folder, at_once, console):
    """Runs the jobs that are not complete yet, several at the same time with one thread each."""
    speeds = json.loads((folder / "speed.json").read_text())
    representatives = {"lr:many": "default", "lr:one": "lr:one:0.001"}
    with (
        _make_progress(console) as progress,
        concurrent.futures.ThreadPoolExecutor(at_once) as pool,
    ):
        task = progress.add_task("runs", total=len(jobs))
        runs = []
        for recipe, seed, minutes in jobs:
            speed = speeds[representatives.get(recipe.rpartition(":")[0], recipe)]
            num_images = round(60 * minutes * speed["images_per_second"])
            if _is_complete(folder / f"{recipe.replace(':', '_')}-{seed}.json"):
                progress.advance(task)
            else:
                arguments = [recipe, str(seed), str(num_images), str(folder)]
                runs.append(pool.submit(_run, arguments, num_threads=1))
        try:
            for run in concurrent.futures.as_completed(runs):
                run.result()
                progress.advance(task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_complete(path):
    return path.exists() and json.loads(path.read_text())["complete"]


def _run(arguments, num_threads=CORES):
    """Returns the output of a run; raises an error if the run fails."""
    command = [sys.executable, "-m", "gans.gan_run", *arguments]
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_NUM_INTRAOP_THREADS": str(num_threads),
        "TF_NUM_INTEROP_THREADS": str(num_threads),
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _make_progress(console):
    columns = [*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn()]
    return rich.progress.Progress(*columns, console=console)


if __name__ == "__main__":
    main()
