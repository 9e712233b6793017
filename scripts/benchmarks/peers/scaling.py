"""Where fusing pays: µs per step over the width of two hidden layers and the batch size.

Stock `fit`, kerasmodes graph and fused, and JAX's scan. The picture is in `scaling_figure.py`.
"""

import statistics

from peers.report import make_record
from peers.turns import Peer

WIDTHS = (8, 32, 128, 512, 2048)
BATCH_SIZES = (1, 8, 64, 512, 4096)
QUICK = ((8, 256), (1, 256))
NUM_FEATURES = 20
# Rough rates of the machine; they only decide how many steps a cell gets.
SECONDS_PER_FLOP = 1 / 150e9
SECONDS_PER_WEIGHT = 4e-9  # the update is bound by memory
# The least time of a step: one call per step, and in a loop.
OVERHEADS = (300e-6, 40e-6)
SECONDS_PER_EPOCH = 0.4
MOST_EXAMPLES = 2**19
MOST_SECONDS_PER_STEP = 2.0
TITLE = "Scaling with width and batch size"
NOTES = (
    f"µs per step; two hidden layers of equal width, {NUM_FEATURES} features, Adam; medians of "
    "whole epochs, in order. graph and fused are kerasmodes', stock is Keras's `fit`, JAX is a "
    "scan over the epoch. The last columns say how many times faster fused is.",
)
HEADINGS = ["batch", "width", "stock", "graph", "fused", "JAX", "× stock", "× graph", "× JAX"]


def measure_scaling(bench):
    """Times every cell of the grid; cells that would take seconds a step are left out."""
    widths, batch_sizes = QUICK if bench.quick else (WIDTHS, BATCH_SIZES)
    cells = [
        _measure_cell(bench, width, batch_size)
        for batch_size in batch_sizes
        for width in widths
        if _estimate_seconds(width, batch_size) <= MOST_SECONDS_PER_STEP
    ]
    table = {"headings": HEADINGS, "lines": [_format_line(cell) for cell in cells]}
    return {**make_record(TITLE, "µs per step", {}, (), NOTES), **table, "cells": cells}


def _format_line(cell):
    """Returns the cell's strings under `HEADINGS`."""
    times = cell["microseconds"]
    numbers = ["failed" if time is None else f"{time:,.1f}" for time in times.values()]
    fused = times["fused"]
    ratios = [
        f"{time / fused:.2f}" if time and fused else "-"
        for name, time in times.items()
        if name != "fused"
    ]
    return [f"{cell['batch_size']:,}", f"{cell['width']:,}", *numbers, *ratios]


def _estimate_seconds(width, batch_size, overhead=0.0):
    weights = NUM_FEATURES * width + width * width
    flops = 6 * batch_size * weights
    return max(overhead, flops * SECONDS_PER_FLOP + weights * SECONDS_PER_WEIGHT)


def _choose_size(width, batch_size, overhead):
    """Returns a peer's arguments, with as many steps as fit into `SECONDS_PER_EPOCH`."""
    wanted = round(SECONDS_PER_EPOCH / _estimate_seconds(width, batch_size, overhead))
    return {
        "num_samples": batch_size * max(4, min(wanted, MOST_EXAMPLES // batch_size)),
        "num_features": NUM_FEATURES,
        "batch_size": batch_size,
        "units": (width, width),
        "epochs": 2,
    }


def _measure_cell(bench, width, batch_size):
    """Times one cell, without shuffling: a large batch takes longer to permute than to train on."""
    called, looped = (_choose_size(width, batch_size, seconds) for seconds in OVERHEADS)
    in_order = {"source": "arrays in order"}
    fit = "sum_in_keras:make_fit"
    peers = [
        Peer("stock", "keras", fit, {**called, **in_order}),
        Peer("graph", "kerasmodes", fit, {"mode": "graph", **called, **in_order}),
        Peer("fused", "kerasmodes", fit, {"mode": "fused", **looped, **in_order}),
        Peer("JAX", "jax", "sum_in_jax:make_scan", {**looped, "shuffle": False}),
    ]
    results = bench.take_turns(f"width {width}, batch {batch_size}", peers, 2)
    errors = [run["error"] for runs in results.values() for run in runs if "error" in run]
    microseconds = {
        name: None
        if any("error" in run for run in runs)
        else statistics.median(sample for run in runs for sample in run["samples"])
        for name, runs in results.items()
    }
    cell = {"width": width, "batch_size": batch_size, "microseconds": microseconds}
    steps = {peer.name: peer.arguments["num_samples"] // batch_size for peer in peers}
    return {**cell, "steps": steps, "errors": errors}
