#!/usr/bin/env python
"""Writes the numbers of README and the guides, and the picture of the modes, from the results.

A page marks a place with `<!-- numbers: NAME -->` and `<!-- end of numbers -->`; what stands
between them is written by the function of that name in `BLOCKS`. All numbers come from the JSON
files in this folder. Cost: a second.

Example: scripts/results/update_readme.py
"""

import json
import pathlib
import re
import statistics

from PIL import Image

from kerasmodes import figure_style

RESULTS = pathlib.Path(__file__).resolve().parent
ROOT = RESULTS.parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "scripts/guides").glob("*.md")))
PICTURE = RESULTS / "modes.png"
MARKED = re.compile(r"(<!-- numbers: (\S+) -->\n)(.*?)(<!-- end of numbers -->)", re.DOTALL)

STOCK = "stock fit"
# Name in the section "arrays": name in README.
SPEED_ROWS = {
    STOCK: "stock Keras `fit`",
    "kerasmodes graph": "kerasmodes, `graph`",
    "kerasmodes fused": "**kerasmodes, `fused`**",
    "JAX scan": "JAX, `lax.scan` over the epoch",
}
ALL_ROWS = {
    STOCK: "stock Keras `fit`",
    "stock, 100 steps an execution": "stock, `steps_per_execution=100`",
    "kerasmodes graph": "kerasmodes `graph`",
    "kerasmodes xla": "kerasmodes `xla`",
    "kerasmodes fused": "kerasmodes `fused`",
    "JAX scan": "JAX, `lax.scan` over the epoch",
    "JAX scan, same XLA flag": "JAX, the same with kerasmodes' XLA option",
    "JAX jit per step": "JAX, one `jit` call a step",
    "torch fused Adam": "PyTorch, fused Adam",
    "plain C": "plain C, one thread",
}
RECIPES = {
    "default": "MSGGAN, default",
    "dcgan": "DCGAN, its authors' for 28x28 images",
    "dcgan_guide": "DCGAN, as on keras.io",
    "wgan_gp": "WGAN-GP",
    "paper": "MSGGAN, paper",
    "tutorial": "MSGGAN, tutorial",
}
GAN_STUDY = "study_gan_20_minutes"


def read_results(folder: pathlib.Path = RESULTS) -> dict:
    """Returns the JSON files of a folder of results.

    Args:
        folder: Folder with `benchmark_engine.json`, `benchmark_scale.json` and the runs of the GAN
            study.

    Returns:
        A dictionary of `engine` (sections by name), `scale` (rows by model and name), `gan` (runs
        by recipe) and `gan_speed` (images per second by recipe).
    """
    engine, scale, speed = (
        json.loads((folder / name).read_text("utf-8"))
        for name in ("benchmark_engine.json", "benchmark_scale.json", f"{GAN_STUDY}/speed.json")
    )
    runs = {}
    for path in sorted((folder / GAN_STUDY).glob("*-*.json")):
        run = json.loads(path.read_text("utf-8"))
        runs.setdefault(run["recipe"], []).append(run)
    return {"engine": engine["sections"], "scale": scale, "gan": runs, "gan_speed": speed}


def fill_marks(text: str, results: dict) -> str:
    """Returns a page with the numbers of the results between its marks.

    Raises:
        ValueError: If a mark has a name that is not in `BLOCKS`.
    """

    def fill(match):
        start, name, _, end = match.groups()
        if name not in BLOCKS:
            raise ValueError(f"A mark must be one of {list(BLOCKS)}. Received: {name!r}")
        return f"{start}{BLOCKS[name](results)}\n{end}"

    return MARKED.sub(fill, text)


def modes_in_microseconds(results: dict) -> dict[str, float]:
    """Returns the median µs per step by mode, stock Keras first: the bars of the picture."""
    arrays, eager = results["engine"]["arrays"], results["engine"]["eager"]
    return {
        STOCK: _find_row(arrays, STOCK)["median"],
        "eager": _find_row(eager, "kerasmodes eager")["median"],
        **{
            mode: _find_row(arrays, f"kerasmodes {mode}")["median"]
            for mode in ("graph", "xla", "fused")
        },
    }


def draw_modes(results: dict, path: pathlib.Path) -> None:
    """Draws `modes_in_microseconds` into a PNG, which holds the numbers as text, too."""
    times = modes_in_microseconds(results)
    figure = figure_style.make_figure(7, 2.7)
    axes = figure.add_subplot()
    colors = [figure_style.GREY if name == STOCK else figure_style.BLUE for name in times]
    colors[-1] = figure_style.RED
    bars = axes.barh(list(times), list(times.values()), color=colors)
    axes.bar_label(bars, [_short(value) for value in times.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(0.1, 4 * max(times.values()))
    axes.set_xlabel("µs per step of the sum regressor, batch size 1 (log axis)")
    figure_style.style_axes(axes, grid="x")
    figure.savefig(path, metadata={"Description": describe_modes(results)})


def describe_modes(results: dict) -> str:
    """Returns the picture's numbers as JSON."""
    return json.dumps(modes_in_microseconds(results))


def read_description(path: pathlib.Path) -> str | None:
    """Returns the numbers that a picture of `draw_modes` holds; `None` if it holds none."""
    if not path.exists():
        return None
    with Image.open(path) as image:
        return image.text.get("Description")


def _tabulate(headings, lines):
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rule, *lines))


def _short(value):
    """Returns three digits, as in the reports: 684, 13.5, 1.30, 0.44."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _find_row(section, name):
    return next(row for row in section["rows"] if row["name"] == name)


def _find_bar(section, peer, reference):
    found = (bar for bar in section["bars"] if bar["peer"] == peer)
    return next(bar["value"] for bar in found if bar["reference"].startswith(reference))


def _gain(section, name, reference=STOCK):
    """Returns how many times faster a row is: the median over the turns, as in the reports."""
    own, other = (_find_row(section, one)["repeats"] for one in (name, reference))
    return statistics.median(b / a for a, b in zip(own, other, strict=True))


def _write_speed(results):
    arrays = results["engine"]["arrays"]
    lines = [
        [
            label,
            _short(_find_row(arrays, name)["median"]),
            "1" if name == STOCK else f"{_short(_gain(arrays, name))} ×",
        ]
        for name, label in SPEED_ROWS.items()
    ]
    return _tabulate(["10,000 steps an epoch, batch size 1", "µs per step", "faster by"], lines)


def _write_all_speeds(results):
    arrays, datasets = results["engine"]["arrays"], results["engine"]["datasets"]
    streamed = {
        STOCK: f"{STOCK}: shuffled dataset, batch 1",
        "kerasmodes fused": "kerasmodes fused: shuffled dataset, batch 1",
    }
    lines = []
    for name, label in ALL_ROWS.items():
        other = _short(_find_row(datasets, streamed[name])["median"]) if name in streamed else ""
        lines.append([label, _short(_find_row(arrays, name)["median"]), other])
    return _tabulate(["µs per step", "from arrays", "from a shuffled `tf.data.Dataset`"], lines)


def _gain_of_cell(results, batch_size, width):
    cells = results["engine"]["scaling"]["cells"]
    (times,) = (
        cell["microseconds"]
        for cell in cells
        if (cell["batch_size"], cell["width"]) == (batch_size, width)
    )
    return _short(times["graph"] / times["fused"])


def _write_scaling(results):
    lines = [
        [
            f"{batch_size:,}",
            *(_gain_of_cell(results, batch_size, width) for width in (8, 128, 2048)),
        ]
        for batch_size in (1, 64, 4096)
    ]
    headings = ["`fused` faster than `graph` by, at batch size", "width 8", "width 128"]
    return _tabulate([*headings, "width 2,048"], lines)


def _write_msggan_speed(results):
    section = results["engine"]["msggan"]
    lines = []
    for dtype in ("float32", "bfloat16"):
        names = (
            f"kerasmodes graph, {dtype}",
            f"torch eager, {dtype}, one pass back for both losses",
            f"its convolutions alone, {dtype}",
        )
        medians = [_short(_find_row(section, name)["median"]) for name in names]
        lines.append([dtype, *medians, _short(_find_bar(section, names[0], "torch"))])
    headings = ["ms per step", "kerasmodes `graph`", "PyTorch at its best", "convolutions alone"]
    return _tabulate([*headings, "kerasmodes / PyTorch"], lines)


def _write_scale(results):
    labels = {
        "one device, two threads": "one device, two threads",
        "cpu:2, one thread each": "`cpu:2`, one thread each",
        "two workers, one thread each": "two workers, one thread each",
    }
    lines = [
        [
            label,
            *(
                f"{results['scale'][model][name]['ms_per_step']:,.{digits}f}"
                for model, digits in (("msggan", 0), ("sum", 2))
            ),
            f"{100 * results['scale']['msggan'][name]['overhead']:.1f} %",
        ]
        for name, label in labels.items()
    ]
    headings = ["ms per step", "MSGGAN, batches of 64", "sum regressor, batches of 32"]
    return _tabulate([*headings, "MSGGAN: more than one device"], lines)


def _last(run):
    return run["curve"][-1]


def _baselines(results):
    return results["gan"]["default"][0]["baselines"]


def _write_gans(results):
    lines = []
    for recipe, label in RECIPES.items():
        for run in results["gan"][recipe]:
            last = _last(run)
            name = f"**{label}**, seed {run['seed']}" if recipe == "default" else label
            speed = f"{results['gan_speed'][recipe]['images_per_second']:.0f}"
            lines.append([name, speed, f"{last['images']:,}", *_scores(last)])
    lines.append(["real images, half against half", "", "", *_scores(_baselines(results))])
    headings = ["after twenty minutes on two cores", "images / s", "images", "Fréchet", "kernel"]
    return _tabulate([*headings, "precision", "recall"], lines)


def _scores(values):
    kernel = f"{values['kernel']:.1g}" if values["kernel"] < 1e-3 else f"{values['kernel']:.3g}"
    ratios = [f"{values[name]:.3f}" for name in ("precision", "recall")]
    return [f"{values['frechet']:.3g}", kernel, *ratios]


def _write_rates(results):
    rates = ("0.001", "0.003", "0.005", "0.01")
    lines = [
        [
            f"{label}, {_last(results['gan'][f'lr:{scales}:0.001'][0])['images']:,} images",
            *(
                f"{_last(results['gan'][f'lr:{scales}:{rate}'][0])['frechet']:.3g}"
                for rate in rates
            ),
        ]
        for scales, label in (("many", "multi-scale"), ("one", "one scale"))
    ]
    return _tabulate(["Fréchet distance at Adam's learning rate", *rates], lines)


def _write_results(results):
    engine, scale = results["engine"], results["scale"]["msggan"]
    datasets = engine["datasets"]
    streamed = "kerasmodes fused: shuffled dataset, batch 1"
    frechet = {
        recipe: statistics.median(_last(run)["frechet"] for run in results["gan"][recipe])
        for recipe in RECIPES
    }
    engine_page = "[engine](scripts/results/benchmark_engine.md)"
    msggan = _find_bar(engine["msggan"], "kerasmodes graph, float32", "torch")
    workers = 100 * scale["two workers, one thread each"]["overhead"]
    lines = [
        ["`fused` against stock `fit`, from arrays",
         f"{_short(_gain(engine['arrays'], 'kerasmodes fused'))} × faster", engine_page],
        ["the same, from a shuffled `tf.data.Dataset`",
         f"{_short(_find_bar(datasets, streamed, STOCK))} × faster", engine_page],
        ["`fused` against JAX's `lax.scan`",
         f"{_short(_find_bar(engine['arrays'], 'kerasmodes fused', 'JAX scan'))} × the time",
         engine_page],
        ["the tutorial's MSGGAN against PyTorch, float32", f"{_short(msggan)} × the time",
         engine_page],
        ["the same on two processes of one machine against one device",
         f"{workers:.1f} % more time", "[scale](scripts/results/benchmark_scale.md)"],
        ["Fréchet distance after 20 minutes: MSGGAN, default (median of 3 seeds)",
         f"{frechet['default']:.3g}", "[GANs](scripts/results/study_gan_20_minutes.md)"],
        ["DCGAN of its authors; of keras.io; the tutorial's MSGGAN; real images",
         "; ".join(f"{value:.3g}" for value in (
             frechet["dcgan"], frechet["dcgan_guide"], frechet["tutorial"],
             _baselines(results)["frechet"])),
         "[GANs](scripts/results/study_gan_20_minutes.md)"],
    ]  # fmt: skip
    return _tabulate(["measured on 2 CPU cores", "result", "page"], lines)


BLOCKS = {
    "speed": _write_speed,
    "all-speeds": _write_all_speeds,
    "scaling": _write_scaling,
    "msggan-speed": _write_msggan_speed,
    "scale": _write_scale,
    "gans": _write_gans,
    "rates": _write_rates,
    "results": _write_results,
}


def main() -> None:
    """Writes the pages and the picture that are not what the results say, and names them."""
    results = read_results()
    written = []
    for page in PAGES:
        old = page.read_text("utf-8")
        new = fill_marks(old, results)
        if new != old:
            page.write_text(new, "utf-8")
            written.append(page)
    if read_description(PICTURE) != describe_modes(results):
        draw_modes(results, PICTURE)
        written.append(PICTURE)
    names = ", ".join(str(path.relative_to(ROOT)) for path in written)
    print(
        f"Written: {names}" if written else "Nothing to write: all numbers are those of the JSON."
    )


if __name__ == "__main__":
    main()
