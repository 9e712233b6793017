"""kerasmodes beside stock Keras, JAX and PyTorch, measured in one run on this machine.

Command: .venv/bin/pip install -e .[bench]
    .venv/bin/python scripts/benchmarks/benchmark_engine.py
    --sections arrays datasets ... measures these sections and keeps the results of the others
    --quick                        a small version that shows that everything runs; writes to runs/
Cost: over 45 minutes on 2 idle cores; about 10 minutes with --quick.
Result: scripts/results/benchmark_engine.json, benchmark_engine.md and scaling.png. Each number
stands next to its bar. Peers take turns in each repeat. Each framework has its own process.
Expected: every bar is met, but that of MSGGAN in float32 by a hair: 0.91 × PyTorch's time instead
of 0.9, of which the convolutions alone take almost all. Its target of 0.8 is missed.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import shlex
import sys
import time

import rich.console
import rich.progress
from peers import report, scaling_figure, turns

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTIONS = {
    "arrays": ("sections", ("jax", "optax", "torch")),
    "datasets": ("sections", ()),
    "epochs": ("sections", ()),
    "eager": ("sections", ()),
    "graph": ("sections", ()),
    "start": ("sections", ()),
    "memory": ("larger_sections", ()),
    "dropout": ("larger_sections", ()),
    "scaling": ("scaling", ("jax", "optax")),
    "msggan": ("larger_sections", ("torch",)),
}
PACKAGES = ("kerasmodes", "tensorflow", "keras", "jax", "optax", "torch", "numpy")


def main():
    arguments = _parse_arguments()
    _check_packages(arguments.sections)
    console = rich.console.Console(width=None if sys.stdout.isatty() else 140)
    directory = arguments.directory
    path = directory / "benchmark_engine.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {"sections": {}}
    for name in arguments.sections:
        section = _measure_section(name, arguments.quick, console)
        results["sections"][name] = section
        console.print(report.make_rich_table(section))
        written = report.write(_sort_sections(results), directory)
        if name == "scaling":
            written.append(scaling_figure.save(section, directory / "scaling.png"))
    console.print(f"Written: {', '.join(map(str, written))}")
    return _print_missed_bars(results, arguments.sections, console)


def _parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="few and short repeats")
    parser.add_argument(
        "--directory",
        type=pathlib.Path,
        help="for the results; scripts/results by default, runs/benchmark_engine with --quick",
    )
    arguments = parser.parse_args()
    if arguments.directory is None:
        quick, full = ROOT / "runs" / "benchmark_engine", ROOT / "scripts" / "results"
        arguments.directory = quick if arguments.quick else full
    return arguments


def _check_packages(names):
    """Exits when a package of the extra `bench` is missing."""
    needed = {package for name in names for package in SECTIONS[name][1]}
    missing = sorted(package for package in needed if importlib.util.find_spec(package) is None)
    if missing:
        sys.exit(
            f"benchmark_engine.py: {', '.join(missing)} must be installed for these sections. "
            "Run: .venv/bin/pip install -e .[bench]"
        )


def _measure_section(name, quick, console):
    """Returns the section's record, with the place and time of the measurement."""
    module = importlib.import_module(f"peers.{SECTIONS[name][0]}")
    measure = getattr(module, f"measure_{name}")
    columns = [*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn()]
    load, start = os.getloadavg()[0], time.perf_counter()
    with (
        rich.progress.Progress(*columns, console=console, transient=True) as progress,
        turns.Bench(progress, quick) as bench,
    ):
        record = measure(bench)
    if quick:
        record["notes"].append("A small version (--quick): the bars apply to the full one.")
    return {
        **record,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "command": shlex.join(["scripts/benchmarks/benchmark_engine.py", *sys.argv[1:]]),
        "seconds": round(time.perf_counter() - start),
        "load_before": load,
        "machine": _describe_machine(),
    }


def _describe_machine():
    return {
        "cores": os.cpu_count(),
        "processor": _find_processor(),
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in PACKAGES
            if importlib.util.find_spec(name) is not None
        },
    }


def _find_processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    names = [line.split(":")[1] for line in cpuinfo.open() if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def _sort_sections(results):
    sections = results["sections"]
    return {"sections": {name: sections[name] for name in SECTIONS if name in sections}}


def _print_missed_bars(results, names, console):
    """Prints the missed bars and returns the exit code: 1 if a bar is missed, 0 otherwise."""
    bars = [bar for name in names for bar in results["sections"][name]["bars"]]
    bars = [bar for bar in bars if bar["met"] is not None]
    missed = [bar for bar in bars if not bar["met"]]
    console.print(f"{len(bars) - len(missed)} of {len(bars)} bars met")
    for bar in missed:
        console.print(f"missed: {bar['peer']}: {bar['text']}", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
