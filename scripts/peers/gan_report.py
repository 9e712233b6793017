"""The table, the figures and the findings of `study_gan.py`, from the files of its runs."""

import json

import matplotlib.figure
import numpy as np
import rich.table
from PIL import Image

NAMES = {
    "default": "MSGGAN, default",
    "tutorial": "MSGGAN, tutorial",
    "paper": "MSGGAN, paper",
    "dcgan": "DCGAN, its authors' for 28×28",
    "dcgan_guide": "DCGAN, as on keras.io",
    "wgan_gp": "WGAN-GP",
}
COLUMNS = ("frechet", "kernel", "precision", "recall", "swd_7", "swd_14", "swd_28")
# Numbers of images at which all runs are judged.
MEETINGS = (40_000, 100_000)
PEERS = ("dcgan", "dcgan_guide", "wgan_gp")
# The default's Fréchet distance at equal time is to be at most so much of the others'.
BAR_OF_PEERS, BAR_OF_TUTORIAL = 0.08, 0.05
# A scale has collapsed if its samples vary less than this part of what real images vary.
LEAST_DEVIATION = 0.5


def write(folder, console):
    """Writes what there is: JSON and Markdown, the curves and the samples."""
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*-*.json"))]
    runs = [run for run in runs if run["recipe"] in NAMES and run["complete"]]
    runs.sort(key=lambda run: (list(NAMES).index(run["recipe"]), run["seed"]))
    if not runs:
        console.print("No run is finished yet.")
        return
    tables = [table(runs), meetings(runs)]
    rates = [json.loads(path.read_text()) for path in sorted(folder.glob("lr_*.json"))]
    rates = [run for run in rates if run["complete"]]
    if rates:
        tables.append(robustness(rates))
    for one in tables:
        console.print(one)
    found = findings(runs)
    console.print("\n".join(found))
    text = "\n".join([*map(markdown, tables), *(f"- {line}" for line in found)]) + "\n"
    folder.with_suffix(".md").write_text(text)
    draw_curves(runs, folder.with_suffix(".png"))
    draw_samples(runs, folder, folder.with_name(f"{folder.name}_samples.png"))


def table(runs):
    """Returns the table of the runs at the end of their time, with the floor of each number."""
    shown = rich.table.Table(title="At equal time")
    for heading in ("", "seed", "images", *COLUMNS):
        shown.add_column(heading, justify="left" if heading == "" else "right")
    for run in runs:
        last = run["curve"][-1]
        cells = [f"{last[column]:.3g}" for column in COLUMNS]
        shown.add_row(NAMES[run["recipe"]], str(run["seed"]), f"{last['images']:,}", *cells)
    floors = [f"{runs[0]['floors'][column]:.3g}" for column in COLUMNS]
    shown.add_row("real, half against half", "", "5,000", *floors)
    return shown


def meetings(runs):
    """Returns the table of Fréchet distances at equal numbers of images."""
    shown = rich.table.Table(title="Fréchet distance at equal images")
    for heading in ("", "seed", *(f"{stop:,}" for stop in MEETINGS)):
        shown.add_column(heading, justify="left" if heading == "" else "right")
    for run in runs:
        near = [_at(run, stop) for stop in MEETINGS]
        cells = ["" if value is None else f"{value:.3g}" for value in near]
        shown.add_row(NAMES[run["recipe"]], str(run["seed"]), *cells)
    return shown


def _at(run, stop):
    """Returns the distance at a number of images, less than a batch from it."""
    fits = [p for p in run["curve"] if 0 <= p["images"] - stop < run["batch_size"]]
    return fits[-1]["frechet"] if fits else None


def robustness(rates):
    shown = rich.table.Table(title="Fréchet distance by learning rate, a short run each")
    for heading in ("learning rate", "multi-scale", "one scale"):
        shown.add_column(heading, justify="right")
    found = {tuple(run["recipe"].split(":")[1:]): run["curve"][-1]["frechet"] for run in rates}
    for rate in sorted({rate for _, rate in found}, key=float):
        cells = [f"{found[s, rate]:.3g}" if (s, rate) in found else "" for s in ("many", "one")]
        shown.add_row(rate, *cells)
    return shown


def findings(runs):
    """Returns what the bars say, in words."""
    last = {}
    for run in runs:
        last.setdefault(run["recipe"], []).append(run["curve"][-1])
    lines = []
    if "default" in last:
        own = float(np.median([one["frechet"] for one in last["default"]]))
        bars = {**dict.fromkeys(PEERS, BAR_OF_PEERS), "tutorial": BAR_OF_TUTORIAL}
        for name, bar in bars.items():
            if name in last:
                ratio = own / min(one["frechet"] for one in last[name])
                word = "met" if ratio <= bar else "MISSED"
                lines.append(f"default / {NAMES[name]}: {ratio:.3f} (bar {bar}: {word})")
        real = runs[0]["real_deviations"]
        for one in last["default"]:
            parts = [made / own for made, own in zip(one["deviations"], real, strict=True)]
            word = "none collapsed" if min(parts) > LEAST_DEVIATION else "COLLAPSED"
            shown = ", ".join(f"{part:.2f}" for part in parts)
            lines.append(f"deviation of each scale, of the real one's: {shown} ({word})")
    return lines


def draw_curves(runs, path):
    figure = matplotlib.figure.Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    colours = {name: f"C{place}" for place, name in enumerate(NAMES)}
    named = set()
    for run in runs:
        name, share = run["recipe"], 1 / run["curve"][-1]["images"]
        label = None if name in named else NAMES[name]
        named.add(name)
        points = [(point["images"] * share, point["frechet"]) for point in run["curve"]]
        axes.plot(*zip(*points, strict=True), marker=".", color=colours[name], label=label)
    axes.axhline(runs[0]["floors"]["frechet"], color="grey", linestyle=":", label="real, halves")
    axes.set(yscale="log", xlabel="part of the time", ylabel="Fréchet distance (n = 10,000)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def draw_samples(runs, folder, path):
    """Draws the first seed of each recipe, its largest scale, one row each."""
    first = [run for run in runs if run["seed"] == 0]
    figure = matplotlib.figure.Figure(figsize=(9, 0.85 * len(first)), layout="constrained")
    for axes, run in zip(figure.subplots(len(first), squeeze=False)[:, 0], first, strict=True):
        grid = np.asarray(Image.open(folder / f"{run['recipe']}-0.png").convert("L"))
        axes.imshow(grid[-56:], cmap="gray")
        axes.set_axis_off()
        title = f"{NAMES[run['recipe']]}: Fréchet distance {run['curve'][-1]['frechet']:.2f}"
        axes.set_title(title, fontsize=8, loc="left")
    figure.savefig(path, dpi=110)


def markdown(shown):
    headings = [column.header for column in shown.columns]
    rows = list(zip(*(list(column.cells) for column in shown.columns), strict=True))
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return f"## {shown.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
