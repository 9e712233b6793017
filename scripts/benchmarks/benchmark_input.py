"""Does a second worker double the rate at which examples are prepared?

Command: .venv/bin/python scripts/benchmarks/benchmark_input.py [--rounds 3]
    --quick  one short round; writes to runs/
Cost: about 7 minutes on 2 idle cores.
Result: scripts/results/benchmark_input.json and .md. An example takes 2 ms of one core to prepare,
and the model next to nothing. The ways take turns, each in fresh processes, a core for each: one
device; two workers that prepare all examples, as `dataset.map` has it; two workers with
`km.data.map_shard`; the last two with `km.data.from_source`, compared with one device that has it,
too. Epochs have 150 steps, executions 20. The losses must be equal where the order is the same.
Expected: the second worker brings nothing by `map`, and 1.83 times the rate by `map_shard`. The bar
is 1.8, for `from_source` too. With 40 steps an epoch and a message after each step, it was 1.55:
what begins an epoch, and the messages, then take a third as long as the examples.
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
# name: (processes, how examples are prepared, the way that it is compared with)
WAYS = {
    "one device": (1, "map", "one device"),
    "two workers, `map`": (2, "map", "one device"),
    "two workers, `map_shard`": (2, "map_shard", "one device"),
    "one device, `from_source`": (1, "from_source", "one device, `from_source`"),
    "two workers, `from_source`": (2, "from_source", "one device, `from_source`"),
}
SHARDED = ("two workers, `map_shard`", "two workers, `from_source`")
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
        for way, (processes, how, _) in WAYS.items():
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
    """Returns a table, the numbers behind it, and by how much two workers are faster at least."""
    results = {}
    for way, rounds in runs.items():
        others = runs[WAYS[way][2]]
        losses = [run["loss"] for run in [*rounds, *others]]
        if not all(math.isclose(loss, losses[0], rel_tol=1e-5) for loss in losses):
            raise RuntimeError(f"The ways must have equal losses. Found: {losses}")
        rates = [run["examples_per_second"] for run in rounds]
        ratios = [
            rate / other["examples_per_second"] for rate, other in zip(rates, others, strict=True)
        ]
        results[way] = {"examples_per_second": statistics.median(rates), "ratios": ratios}
    least = min(statistics.median(results[way]["ratios"]) for way in SHARDED)
    lines = ["| | examples/s | times one device |", "| --- | ---: | ---: |"]
    for way, numbers in results.items():
        ratio = statistics.median(numbers["ratios"])
        lines.append(f"| {way} | {numbers['examples_per_second']:,.0f} | {ratio:.2f} |")
    notes = (
        "An example takes 2 ms of one core to prepare. Medians of rounds in which the ways take "
        "turns;\nthe last column is the median of each round's ratio, to one device that reads in "
        "the same way. The\nlosses are equal.\n"
    )
    return "\n".join(lines) + f"\n\n{notes}", results, least


if __name__ == "__main__":
    sys.exit(main())
