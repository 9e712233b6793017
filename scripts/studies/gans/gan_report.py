"""The table, the figures and the findings of `study_gan.py`, from the files of its runs."""

import json

import numpy as np
import rich.table
from PIL import Image

import kerasmodes as km
from kerasmodes import figure_style

NAMES = {
    "default": "MSGGAN, default",
    "tutorial": "MSGGAN, tutorial",
    "paper": "MSGGAN, paper",
    "dcgan": "DCGAN, its authors' for 28×28",
    "dcgan_guide": "DCGAN, as on keras.io",
    "wgan_gp": "WGAN-GP",
}
COLUMNS = ("frechet", "kernel", "precision", "recall", "swd_7", "swd_14", "swd_28")
# Numbers of images at which all runs are evaluated.
COMMON_STOPS = (40_000, 100_000)
PEERS = ("dcgan", "dcgan_guide", "wgan_gp")
# The largest allowed ratio of the default's Fréchet distance to another recipe's, at equal time.
BAR_OF_PEERS, BAR_OF_TUTORIAL = 0.08, 0.05
# In the picture of a run: samples in a row, and pixels of a tile.
GRID, TILE = 16, 56
GAP = 3  # Pixels between tiles in the picture of all recipes.
# A scale has collapsed if its pixels vary less between samples than this fraction of their
# variation between real images.
LEAST_SPREAD = 0.5


def write(folder, console):
    """Writes the tables and findings, the curves and the samples of all complete runs."""
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*-*.json"))]
    runs = [run for run in runs if run["recipe"] in NAMES and run["complete"]]
    runs.sort(key=lambda run: (list(NAMES).index(run["recipe"]), run["seed"]))
    if not runs:
        console.print("No run is finished yet.")
        return
    speeds = json.loads((folder / "speed.json").read_text())
    tables = [make_table(runs, speeds), make_table_at_equal_images(runs)]
    rates = [json.loads(path.read_text()) for path in sorted(folder.glob("lr_*.json"))]
    rates = [run for run in rates if run["complete"]]
    if rates:
        tables.append(make_learning_rate_table(rates))
    for one in tables:
        console.print(one)
    found = list_findings(runs, folder, measure_real_spreads())
    console.print("\n".join(found))
    text = "\n".join([*map(format_markdown, tables), *(f"- {line}" for line in found)]) + "\n"
    folder.with_suffix(".md").write_text(text, "utf-8")
    draw_curves(runs, folder.with_suffix(".png"))
    draw_samples(runs, folder, folder.with_name(f"{folder.name}_samples.png"))


def make_table(runs, speeds):
    """Returns the table of the runs at the end of their time, with the baseline of each number.

    Fréchet distances use all 10,000 samples and test images, sliced Wasserstein distances 2,048 of
    each. Baselines use one half of the test images against the other half.
    """
    shown = rich.table.Table(title="At equal time")
    for heading in ("", "seed", "images / s", "images", *COLUMNS):
        shown.add_column(heading, justify="left" if heading == "" else "right")
    for run in runs:
        last = run["curve"][-1]
        cells = [f"{last[column]:.3g}" for column in COLUMNS]
        speed = f"{speeds[run['recipe']]['images_per_second']:.0f}"
        shown.add_row(NAMES[run["recipe"]], str(run["seed"]), speed, f"{last['images']:,}", *cells)
    baselines = [f"{runs[0]['baselines'][column]:.3g}" for column in COLUMNS]
    shown.add_row("real, half against half (SWD: 1,024 each)", "", "", "5,000", *baselines)
    return shown


def make_table_at_equal_images(runs):
    """Returns the table of Fréchet distances at equal numbers of images."""
    shown = rich.table.Table(title="Fréchet distance at equal images")
    for heading in ("", "seed", *(f"{stop:,}" for stop in COMMON_STOPS)):
        shown.add_column(heading, justify="left" if heading == "" else "right")
    for run in runs:
        near = [_find_distance(run, stop) for stop in COMMON_STOPS]
        cells = ["" if value is None else f"{value:.3g}" for value in near]
        shown.add_row(NAMES[run["recipe"]], str(run["seed"]), *cells)
    return shown


def _find_distance(run, stop):
    """Returns the distance less than one batch after this number of images, or `None`."""
    fits = [p for p in run["curve"] if 0 <= p["images"] - stop < run["batch_size"]]
    return fits[-1]["frechet"] if fits else None


def make_learning_rate_table(rates):
    shown = rich.table.Table(title="Fréchet distance by learning rate, a short run each")
    for heading in ("learning rate", "multi-scale", "one scale"):
        shown.add_column(heading, justify="right")
    found = {tuple(run["recipe"].split(":")[1:]): run["curve"][-1]["frechet"] for run in rates}
    for rate in sorted({rate for _, rate in found}, key=float):
        cells = [f"{found[s, rate]:.3g}" if (s, rate) in found else "" for s in ("many", "one")]
        shown.add_row(rate, *cells)
    return shown


def list_findings(runs, folder, real):
    """Returns one sentence per finding; `real` has the spread of real images at each scale."""
    own = [run for run in runs if run["recipe"] == "default"]
    if not own:
        return []
    middle = float(np.median([run["curve"][-1]["frechet"] for run in own]))
    lines = [f"the default's median of {len(own)} seeds: {middle:.3f}"]
    bars = {**dict.fromkeys(PEERS, BAR_OF_PEERS), "tutorial": BAR_OF_TUTORIAL}
    for name, bar in bars.items():
        last = [run["curve"][-1]["frechet"] for run in runs if run["recipe"] == name]
        if last:
            ratio = middle / min(last)
            word = "met" if ratio <= bar else "MISSED"
            lines.append(f"default / {NAMES[name]}: {ratio:.3f} (bar {bar}: {word})")
    for run in own:
        curve = [point["frechet"] for point in run["curve"]]
        word = "falls to the end" if curve == sorted(curve, reverse=True) else "ROSE"
        lines.append(f"seed {run['seed']}: the Fréchet distance {word}")
        parts = measure_spreads(folder / f"default-{run['seed']}.png") / real
        word = "no scale collapsed" if parts.min() > LEAST_SPREAD else "COLLAPSED"
        shown = ", ".join(f"{part:.2f}" for part in parts)
        lines.append(
            f"seed {run['seed']}: spread of the 16 samples in the picture, by scale, in parts of "
            f"the real images': {shown} ({word})"
        )
    return lines


def measure_spreads(path):
    """Returns how much a pixel varies between samples, for each row (scale) of a picture."""
    with Image.open(path) as image:
        grid = np.asarray(image.convert("L"), "float64") / 127.5 - 1
    tiles = grid.reshape(-1, TILE, GRID, TILE)
    return np.sqrt(tiles.var(axis=2, ddof=1).mean(axis=(1, 2)))


def measure_real_spreads():
    """Returns the spread of all real test images at each scale."""
    data = km.data.images("fashion_mnist", split="test", batch_size=10_000)
    scales = km.MSGGAN.from_preset("default").pyramid(next(iter(data)))
    return np.array([np.sqrt(np.var(scale, axis=0).mean()) for scale in scales])


def draw_curves(runs, path):
    figure = figure_style.make_figure(8, 4.5, dpi=110)
    axes = figure.subplots()
    colours = {name: figure_style.COLORS[place] for place, name in enumerate(NAMES)}
    named = set()
    for run in runs:
        name, share = run["recipe"], 1 / run["curve"][-1]["images"]
        label = None if name in named else NAMES[name]
        named.add(name)
        points = [(point["images"] * share, point["frechet"]) for point in run["curve"]]
        axes.plot(*zip(*points, strict=True), marker=".", color=colours[name], label=label)
    axes.axhline(
        runs[0]["baselines"]["frechet"],
        color=figure_style.GREY,
        linestyle=":",
        label="real images, half against half",
    )
    axes.set(
        yscale="log", xlabel="share of the training time", ylabel="Fréchet distance (n = 10,000)"
    )
    figure_style.style_axes(axes)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=figure_style.SMALL)
    figure.savefig(path)


def draw_samples(runs, folder, path):
    """Draws the first seed of each recipe, its largest scale, one row each."""
    first = [run for run in runs if run["seed"] == 0]
    figure = figure_style.make_figure(9, 0.85 * len(first), dpi=110)
    for axes, run in zip(figure.subplots(len(first), squeeze=False)[:, 0], first, strict=True):
        grid = np.asarray(Image.open(folder / f"{run['recipe']}-0.png").convert("L"))
        edges = np.repeat(np.arange(TILE, grid.shape[1], TILE), GAP)
        row = np.insert(grid[-TILE:], edges, 255, axis=1)
        axes.imshow(row, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
        title = f"{NAMES[run['recipe']]}: Fréchet distance {run['curve'][-1]['frechet']:.2f}"
        axes.set_title(title, fontsize=figure_style.SMALLEST, loc="left")
    figure.savefig(path)


def format_markdown(shown):
    headings = [column.header for column in shown.columns]
    rows = list(zip(*(list(column.cells) for column in shown.columns), strict=True))
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return f"## {shown.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
