"""Does a second worker double the rate at which examples are prepared?

Command: .venv/bin/python scripts/benchmarks/benchmark_input.py [--rounds 3]
    --quick  one short round; writes to runs/
Cost: about 4 minutes on 2 idle cores.
Result: scripts/results/benchmark_input.json and .md. An example takes 2 ms of one core to prepare,
and the model next to nothing. Three ways take turns, each in fresh processes, a core for each: one
device; two workers that prepare all examples, as `dataset.map` has it; two workers with
`km.data.map_shard`. Epochs have 150 steps, executions 20. The losses must be equal.
Expected: the second worker brings nothing by `map`, and 1.83 times the rate by `map_shard`. The bar
is 1.8. With 40 steps an epoch and a message after each step, it was 1.55: what begins an epoch, and
the messages, then take a third as long as the examples.
"""

import argparse
import contextlib
import io
import json
import math
import pathlib
import statistics
import sys
import tempfile

import rich.console
import rich.progress

from kerasmodes import launching

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(__file__).resolve().parent / "peers" / "prepared_input.py"
# name: (processes, how examples are prepared)
WAYS = {
    "one device": (1, "map"),
    "two workers, `map`": (2, "map"),
    "two workers, `map_shard`": (2, "map_shard"),
}
LEAST_RATIO = 1.8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, into runs/")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds, steps = (1, 4) if arguments.quick else (arguments.rounds, 150)
    folder = ROOT / ("runs" if arguments.quick else "scripts/results")
    folder.mkdir(exist_ok=True)
    runs = {way: [] for way in WAYS}
    for _ in rich.progress.track(range(rounds), "rounds", transient=True):
        for way, (processes, how) in WAYS.items():
            runs[way].append(_run(processes, how, steps))
    text, results, ratio = _summarize(runs)
    (folder / "benchmark_input.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "benchmark_input.md").write_text(text, "utf-8")
    rich.console.Console().print(text, markup=False)
    return 0 if ratio >= LEAST_RATIO else 1


def _run(processes, how, steps):
    """Returns the numbers of one run in fresh processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "numbers.json"
        with contextlib.redirect_stdout(io.StringIO()):
            launching.launch([sys.executable, PROGRAM, how, str(steps), str(path)], processes)
        return json.loads(path.read_text())


def _summarize(runs):
    """Returns a table, the numbers behind it, and by how much two workers are faster."""
    losses = [run["loss"] for rounds in runs.values() for run in rounds]
    if not all(math.isclose(loss, losses[0], rel_tol=1e-5) for loss in losses):
        raise RuntimeError(f"The ways must have equal losses. Found: {losses}")
    first = [run["examples_per_second"] for run in next(iter(runs.values()))]
    results = {}
    for way, rounds in runs.items():
        rates = [run["examples_per_second"] for run in rounds]
        ratios = [own / other for own, other in zip(rates, first, strict=True)]
        results[way] = {"examples_per_second": statistics.median(rates), "ratios": ratios}
    lines = ["| | examples/s | times one device |", "| --- | ---: | ---: |"]
    for way, numbers in results.items():
        ratio = statistics.median(numbers["ratios"])
        lines.append(f"| {way} | {numbers['examples_per_second']:,.0f} | {ratio:.2f} |")
    notes = (
        "An example takes 2 ms of one core to prepare. Medians of rounds in which the ways take "
        "turns;\nthe last column is the median of each round's ratio. The losses are equal.\n"
    )
    return "\n".join(lines) + f"\n\n{notes}", results, ratio


if __name__ == "__main__":
    sys.exit(main())
