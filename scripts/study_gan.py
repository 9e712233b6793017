"""Which GAN a Keras user gets the best images from, for the same time on the same two cores.

Command: .venv/bin/python scripts/study_gan.py [--parts speed runs robustness] [--minutes 20]
[--recipes default tutorial ...]
Cost: about 4 hours on 2 cores that do nothing else. The speeds and each whole run are kept, a file
each in the folder of those minutes, and not done again; to do one anew, delete what it left there.
`--quick` does little of everything, into runs/.
Result: scripts/results/study_gan_20_minutes.md with a figure, samples and the folder of that name.

Equal time is made exact by two steps: recipes take turns at a few training steps, which says how
many images each trains on in the minutes given, with all cores; then each trains on so many,
however long it takes. Runs go side by side, a core each, which is faster than one after another. A
run is judged on 10,000 samples against the 10,000 test images.
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
from peers import gan_report

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
    parser.add_argument("--quick", action="store_true", help="little of everything, into runs/")
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
        jobs.sort(key=lambda job: job[1])  # Every recipe once before one of them again.
        do(jobs, folder, arguments.at_once, console)
    if "robustness" in arguments.parts:
        shorter = minutes * ROBUSTNESS_MINUTES / 20
        jobs = [(f"lr:{s}:{rate}", 0, shorter) for rate in RATES for s in SCALES]
        do(jobs, folder, arguments.at_once, console)
    gan_report.write(folder, console)


def measure_speeds(path, rounds, console):
    """Writes the milliseconds of a step of each recipe that has none yet, medians of turns."""
    speeds = json.loads(path.read_text()) if path.exists() else {}
    recipes = [recipe for recipe in (*SEEDS, "lr:one:0.001") if recipe not in speeds]
    times, sizes = {recipe: [] for recipe in recipes}, {}
    with _progress(console) as progress:
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


def do(jobs, folder, at_once, console):
    """Runs what is not complete yet, several at once, a thread each."""
    speeds = json.loads((folder / "speed.json").read_text())
    alike = {"lr:many": "default", "lr:one": "lr:one:0.001"}
    with _progress(console) as progress, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        task = progress.add_task("runs", total=len(jobs))
        runs = []
        for recipe, seed, minutes in jobs:
            known = speeds[alike.get(recipe.rpartition(":")[0], recipe)]
            num_images = round(60 * minutes * known["images_per_second"])
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
    """Returns what a run prints; an error of it is an error here."""
    command = [sys.executable, "-m", "peers.gan_run", *arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "scripts"),
        "TF_NUM_INTRAOP_THREADS": str(num_threads),
        "TF_NUM_INTEROP_THREADS": str(num_threads),
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _progress(console):
    columns = [*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn()]
    return rich.progress.Progress(*columns, console=console)


if __name__ == "__main__":
    main()
