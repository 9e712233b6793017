"""The sections of a run's page, as HTML. All text that comes from files is escaped.

`Markup(...).format(...)` of markupsafe escapes what it is given, unless that is `Markup` itself.
"""

import json
import math

from markupsafe import Markup

from kerasmodes.reporting import facts
from kerasmodes.reporting.charts import draw_panel, format_number
from kerasmodes.reporting.panels import list_panels
from kerasmodes.reporting.run import Run

MOST_ROWS = 1_000
# Of one machine: nothing for others to read.
PLACES = {"run", "data_dir", "idx_dir", "mlflow", "wandb"}
CLASSES = "classes.png"
NAMED = Markup('<div class="scroll named">{}</div>')  # of a picture with names in it
# Entries of an evaluation that hold shares, each with a title and what its rows are.
SHARES = (
    ("class_shares", "Share of each class, by a classifier", "class"),
    ("factor_coverage", "Factors of equally many images", "share"),
)
ARROWS = {"min": "↓", "max": "↑", "": ""}


def write_header(run: Run) -> Markup:
    """Returns the title, the status, and the numbers that tell most."""
    status, kind = facts.describe_status(run)
    head = Markup(
        '<header><h1>{}</h1><span class="status {}">{}</span><p class="soft">{}</p></header>\n'
    ).format(run.name, kind, status, _describe_training(run))
    tiles = Markup("").join(
        Markup('<div class="tile"><b>{}</b><span>{}</span></div>').format(value, words)
        for value, words in _list_tiles(run)
    )
    return head + Markup('<div class="tiles">{}</div>\n').format(tiles) + _write_message(run)


def write_curves(run: Run) -> Markup:
    """Returns a chart for each quantity."""
    panels = list_panels(run)
    if not panels:
        return _section("Curves", Markup('<p class="note">No epoch has ended.</p>'))
    charts = Markup("").join(map(draw_panel, panels))
    return _section("Curves", Markup('<div class="panels">\n{}</div>').format(charts))


def write_samples(run: Run) -> Markup:
    """Returns the grids of samples with a slider over the epochs; nothing without samples."""
    frames = [(epoch, picture) for epoch, picture in run.samples if picture.data_uri]
    if not frames:
        return Markup("")
    last = len(frames) - 1
    images = Markup("").join(
        Markup(
            '<img class="frame" data-epoch="{}" alt="Samples after epoch {}" src="{}" width="{}" '
            'height="{}"{}>\n'
        ).format(e, e, p.data_uri, p.width, p.height, Markup("" if n == last else " hidden"))
        for n, (e, p) in enumerate(frames)
    )
    left_out = run.num_samples - len(frames)
    words = "What the model makes of the same latents after each epoch, a row for each scale."
    words += f" {left_out} of {run.num_samples} epochs are left out." if left_out else ""
    slider = Markup(
        '<div class="slider" hidden><input type="range" min="0" max="{}" value="{}" '
        'aria-label="Epoch of the samples"><output></output></div>'
    ).format(last, last)
    # The names of classes above the columns stay legible on a telephone.
    room = NAMED if run.config.get("num_classes") else Markup("{}")
    body = Markup('<p class="note">{}</p><div class="picture">{}{}</div>')
    return _section("Samples", body.format(words, slider, room.format(images)))


def write_quality(run: Run) -> Markup:
    """Returns the metrics beside their baselines, and the shares of classes; nothing without."""
    results = facts.list_results(run)
    if not results:
        return Markup("")
    rows = Markup("").join(
        Markup(
            '<tr><th>{}</th><td class="number">{}</td><td class="number">{}</td>'
            '<td class="soft">{}</td></tr>\n'
        ).format(words, format_number(result), format_number(baseline), ARROWS[direction])
        for (words, direction), result, baseline in (
            (facts.describe_metric(name), result, baseline) for name, result, baseline in results
        )
    )
    table = Markup(
        '<div class="scroll"><table><thead><tr><th>metric</th><th class="number">generated</th>'
        '<th class="number">baseline</th><th></th></tr></thead><tbody>{}</tbody></table></div>'
    ).format(rows)
    words = facts.describe_evaluation(run)
    note = Markup(
        '<p class="note">{}Baseline: one half of the real images against the other. '
        "↓ lower is better, ↑ higher.</p>"
    )
    return _section(
        "Quality", note.format(f"{words}. " if words else "") + table + _write_all_shares(run)
    )


def write_pictures(run: Run) -> Markup:
    """Returns the pictures that `kerasmodes generate` has drawn; nothing without."""
    figures = Markup("").join(
        Markup(
            '<figure class="picture"><figcaption><h3>{}</h3><p class="note">{}</p></figcaption>'
            "{}</figure>\n"
        ).format(picture.name, words, _draw_picture(picture))
        for picture, words in run.pictures
    )
    if not figures:
        return figures
    return _section("Generated images", Markup('<div class="pictures">{}</div>').format(figures))


def write_settings(run: Run) -> Markup:
    """Returns how the run really ran, its settings, and the table of its history."""
    ran = facts.describe_run(run) if run.record else []
    own = {name: value for name, value in run.config.items() if name not in PLACES}
    settings = [(n, _describe_value(value)) for n, value in own.items() if value is not None]
    body = _section("How it ran", _list_pairs(ran)) if ran else Markup("")
    if settings:
        words = ", ".join(name for name, value in own.items() if value is None)
        note = Markup('<p class="note">Not set: {}.</p>').format(words) if words else Markup("")
        body += _section("Settings", _list_pairs(settings) + note)
    return body + _write_history(run)


def _section(title, body):
    return Markup("<section><h2>{}</h2>\n{}</section>\n").format(title, body)


def _describe_training(run):
    parts = [run.model_name]
    if isinstance(run.config.get("data"), str):
        parts.append(f"data {run.config['data']}")
    parts += [f"mode {run.record['mode']}"] if run.record.get("mode") else []
    parts += [str(run.record["started"])[:10]] if run.record.get("started") else []
    return " · ".join(parts)


def _list_tiles(run):
    planned = run.record.get("planned_epochs") or run.config.get("epochs")
    done = len(run.history.rows)
    tiles = [(f"{done} of {planned}" if planned else str(done), "epochs")]
    if headline := facts.find_headline(run):
        name, epoch, value = headline
        tiles.append((format_number(value), f"best {name}, epoch {epoch}"))
    for name, result, baseline in facts.list_results(run):
        if name == "frechet":
            words = f"Fréchet distance, evaluated (baseline {format_number(baseline)})"
            tiles.append((format_number(result), words))
    speed = facts.measure_speed(run)
    if speed:
        if speed["microseconds_per_step"] is not None:
            step = format_number(speed["microseconds_per_step"])
            tiles.append((f"{step} µs", f"a step, {_describe_median(speed)}"))
        epoch = facts.format_seconds(speed["seconds_per_epoch"])
        tiles.append((epoch, f"an epoch, {_describe_median(speed)}"))
        tiles.append((facts.format_seconds(speed["seconds"]), "training, all epochs"))
    if isinstance(run.record.get("parameters"), int):
        tiles.append((f"{run.record['parameters']:,}", "parameters"))
    return tiles


def _describe_median(speed):
    return "with compilation" if speed["has_first"] else "median without the first epoch"


def _write_message(run):
    """Returns why a run was stopped, such as the report of a NaN; nothing without a reason."""
    message = run.record.get("message")
    if not message:
        return Markup("")
    status, _ = facts.describe_status(run)
    return Markup('<div class="report"><h3>{}</h3><pre>{}</pre></div>\n').format(
        status[:1].upper() + status[1:], message
    )


def _write_all_shares(run):
    """Returns what an evaluation has in shares of generated and of real images, as bars."""
    return Markup("").join(
        _write_shares(run.evaluation.get(key), title, heading) for key, title, heading in SHARES
    )


def _write_shares(shares, title, heading):
    if not isinstance(shares, dict):
        return Markup("")
    sides = [shares.get(side) for side in ("generated", "real")]
    if not all(isinstance(side, dict) for side in sides):
        return Markup("")
    numbers = [[facts.take_number(side.get(name)) or 0 for side in sides] for name in sides[0]]
    most = max((n for pair in numbers for n in pair if math.isfinite(n)), default=0) or 1
    rows = Markup("").join(
        Markup(
            '<tr><th>{}</th><td class="wide"><span class="bar c0" style="width:{:.1f}%"></span>'
            '<span class="bar c1" style="width:{:.1f}%"></span></td>'
            '<td class="number">{:.1%}</td><td class="number soft">{:.1%}</td></tr>\n'
        ).format(name, 100 * pair[0] / most, 100 * pair[1] / most, *pair)
        for name, pair in zip(sides[0], numbers, strict=True)
    )
    return Markup(
        '<h3 style="margin:1.5rem 0 .3rem">{}</h3>'
        '<div class="scroll"><table class="bars"><thead><tr><th>{}</th><th></th>'
        '<th class="number c0">generated</th><th class="number c1">real</th></tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(title, heading, rows)


def _draw_picture(picture):
    if not picture.data_uri:
        words = '<p class="note">{:,.0f} MB: too large for this page, see the folder.</p>'
        return Markup(words).format(picture.size / 1e6)
    image = Markup('<img alt="{}" src="{}" width="{}" height="{}">').format(
        picture.name, picture.data_uri, picture.width, picture.height
    )
    if picture.name == CLASSES:  # The names in it stay legible on a telephone.
        return NAMED.format(image)
    return image


def _list_pairs(pairs):
    items = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>\n").format(name, value) for name, value in pairs
    )
    return Markup('<dl class="settings">{}</dl>').format(items)


def _describe_value(value):
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def _write_history(run):
    """Returns the numbers of `history.csv` as they are in the file; of many, the last ones."""
    rows = run.history.rows[-MOST_ROWS:]
    if not rows:
        return Markup("")
    heads = Markup("").join(
        Markup('<th class="number">{}</th>').format(name) for name in run.history.names
    )
    lines = Markup("").join(
        Markup("<tr>{}</tr>\n").format(
            Markup("").join(Markup('<td class="number">{}</td>').format(text) for text in row)
        )
        for row in rows
    )
    return Markup(
        "<details><summary>All numbers of history.csv (epochs count from 0)</summary>"
        '<div class="scroll"><table id="history"><thead><tr>{}</tr></thead><tbody>\n{}</tbody>'
        "</table></div></details>\n"
    ).format(heads, lines)
