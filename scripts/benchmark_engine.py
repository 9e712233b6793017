"""kerasmodes beside stock Keras, JAX and PyTorch, measured in one run on this machine.

Command: .venv/bin/pip install -e .[bench] && .venv/bin/python scripts/benchmark_engine.py
    --sections arrays datasets ... measures only these (the others stay in the files as they are)
    --quick                        a small version, to see that everything runs; writes to runs/
Cost: over 45 minutes on 2 cores that do nothing else; with --quick about 10.
Result: scripts/results/benchmark_engine.json and .md, and scaling.png. Each number stands beside
its bar; peers take turns in each repeat, and each framework has its own process.
Expected: every bar is met, and the target of MSGGAN (0.8 of PyTorch's time) is not: 0.86.
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
    arguments = _arguments()
    _check_packages(arguments.sections)
    console = rich.console.Console(width=None if sys.stdout.isatty() else 140)
    directory = arguments.directory
    path = directory / "benchmark_engine.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {"sections": {}}
    for name in arguments.sections:
        section = _measured(name, arguments.quick, console)
        results["sections"][name] = section
        console.print(report.rich_table(section))
        written = report.write(_in_order(results), directory)
        if name == "scaling":
            written.append(scaling_figure.save(section, directory / "scaling.png"))
    console.print(f"Written: {', '.join(map(str, written))}")
    return _verdict(results, arguments.sections, console)


def _arguments():
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


def _measured(name, quick, console):
    """Returns the section's record, with where and when it was measured."""
    section = getattr(importlib.import_module(f"peers.{SECTIONS[name][0]}"), name)
    columns = [*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn()]
    load, start = os.getloadavg()[0], time.perf_counter()
    with (
        rich.progress.Progress(*columns, console=console, transient=True) as progress,
        turns.Bench(progress, quick) as bench,
    ):
        measured = section(bench)
    if quick:
        measured["notes"].append("A small version (--quick): the bars are meant for the full one.")
    return {
        **measured,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "command": shlex.join(["scripts/benchmark_engine.py", *sys.argv[1:]]),
        "seconds": round(time.perf_counter() - start),
        "load_before": load,
        "machine": _machine(),
    }


def _machine():
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {
            name: importlib.metadata.version(name)
            for name in PACKAGES
            if importlib.util.find_spec(name) is not None
        },
    }


def _processor():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor()
    names = [line.split(":")[1] for line in cpuinfo.open() if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def _in_order(results):
    sections = results["sections"]
    return {"sections": {name: sections[name] for name in SECTIONS if name in sections}}


def _verdict(results, names, console):
    """Prints which bars are missed and returns the exit code: 1 if there is one."""
    bars = [bar for name in names for bar in results["sections"][name]["bars"]]
    bars = [bar for bar in bars if bar["met"] is not None]
    missed = [bar for bar in bars if not bar["met"]]
    console.print(f"{len(bars) - len(missed)} of {len(bars)} bars met")
    for bar in missed:
        console.print(f"missed: {bar['peer']}: {bar['text']}", markup=False)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
