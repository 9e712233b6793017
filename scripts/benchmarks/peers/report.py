"""Turns the samples of peers into a section's record, and records into tables and files.

A record is plain JSON: `title`, `unit`, `rows`, `bars`, `notes`; one with a table of its own has
`headings` and `lines`. Nothing is timed here.
"""

import dataclasses
import json
import statistics

import rich.table


@dataclasses.dataclass(frozen=True)
class Bar:
    """What a peer must reach compared with another one: at most one of the four limits.

    Without a limit the ratio is reported and nothing is required.

    Args:
        peer: Name of the peer that must reach it.
        reference: Name of the other peer, or a tuple of names, of which the best counts.
        at_most: Largest allowed ratio of the medians, peer to reference.
        times_faster: Smallest allowed ratio, reference to peer.
        more_at_most: Largest allowed difference, peer minus reference, in the section's unit.
        value_at_most: Largest allowed value, in the section's unit; the reference is only reported.
        target: A stricter limit of the same kind; to miss it is no failure.
    """

    peer: str
    reference: str | tuple
    at_most: float | None = None
    times_faster: float | None = None
    more_at_most: float | None = None
    value_at_most: float | None = None
    target: float | None = None


def make_record(title, unit, results, bars=(), notes=()):
    """Returns a section's record from the results that `Bench.take_turns` returned."""
    rows = {name: _make_row(name, runs) for name, runs in results.items()}
    return {
        "title": title,
        "unit": unit,
        "rows": list(rows.values()),
        "bars": [_check_bar(bar, rows) for bar in bars],
        "notes": list(notes),
    }


def _make_row(name, runs):
    errors = [run["error"] for run in runs if "error" in run]
    if errors:
        return {"name": name, "error": errors[0]}
    samples = [sample for run in runs for sample in run["samples"]]
    calls = [run["whole_call"] for run in runs if "whole_call" in run]
    return {
        "name": name,
        "median": statistics.median(samples),
        "min": min(samples),
        "repeats": [statistics.median(run["samples"]) for run in runs],
        "whole_call": statistics.median(calls) if calls else None,
        "samples": len(samples),
    }


def _check_bar(bar, rows):
    """Returns the bar as a dictionary with `value`, `quartiles`, `met` and `text`.

    Peer and reference run one after the other in each repeat; the value is the median over the
    repeats. It can differ from the quotient of the table's medians.
    """
    names = [bar.reference] if isinstance(bar.reference, str) else list(bar.reference)
    present = [rows[name] for name in names if "error" not in rows[name]]
    row = rows[bar.peer]
    checked = {"peer": bar.peer, "reference": " / ".join(names), "value": None, "met": False}
    if "error" in row or not present:
        return {**checked, "quartiles": None, "text": "failed"}
    reference = min(present, key=lambda candidate: candidate["median"])
    pairs = list(zip(row["repeats"], reference["repeats"], strict=True))
    given = [kind for kind in _VALUES if getattr(bar, kind) is not None]
    kind = given[0] if given else "at_most"
    limit = getattr(bar, kind)
    values = [_VALUES[kind](*pair) for pair in pairs]
    value = statistics.median(values)
    quartiles = statistics.quantiles(values, n=4)[::2] if len(values) > 3 else None
    verdicts = [
        _describe_limit(word, kind, value, number)
        for word, number in (("bar", limit), ("target", bar.target))
        if number is not None
    ]
    spread = ""
    if quartiles is not None:
        spread = " ({} to {})".format(*map(_format_number, quartiles))
    text = _TEXTS[kind].format(
        value=_format_number(value), spread=spread, reference=reference["name"]
    )
    return {
        **checked,
        "reference": reference["name"],
        "kind": kind,
        "value": value,
        "quartiles": quartiles,
        "limit": limit,
        "target": bar.target,
        "met": None if limit is None else _is_met(kind, value, limit),
        "text": f"{text}; {', '.join(verdicts)}" if verdicts else text,
    }


_VALUES = {
    "at_most": lambda own, other: own / other,
    "times_faster": lambda own, other: other / own,
    "more_at_most": lambda own, other: own - other,
    "value_at_most": lambda own, other: own,
}
_TEXTS = {
    "at_most": "{value}{spread} × {reference}",
    "times_faster": "{value}{spread} times faster than {reference}",
    "more_at_most": "{value}{spread} more than {reference}",
    "value_at_most": "{value}{spread}, beside {reference}",
}


def _is_met(kind, value, limit):
    return value >= limit if kind == "times_faster" else value <= limit


def _describe_limit(word, kind, value, limit):
    sign = "≥" if kind == "times_faster" else "≤"
    return f"{word} {sign} {limit:g} {'met' if _is_met(kind, value, limit) else 'MISSED'}"


def _format_number(value):
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def make_cells(section):
    """Returns the section's table as headings and lines of strings."""
    if "lines" in section:
        return section["headings"], section["lines"]
    has_calls = any(row.get("whole_call") for row in section["rows"])
    headings = ["", f"{section['unit']}, median", "min"]
    headings += ["whole call"] if has_calls else []
    headings += ["against the bar"] if section["bars"] else []
    lines = []
    for row in section["rows"]:
        texts = [bar["text"] for bar in section["bars"] if bar["peer"] == row["name"]]
        numbers = ["failed", "-"]
        if "error" not in row:
            numbers = [_format_number(row["median"]), _format_number(row["min"])]
        if has_calls:
            numbers.append(_format_number(row["whole_call"]) if row.get("whole_call") else "-")
        lines.append([row["name"], *numbers] + (["\n".join(texts)] if section["bars"] else []))
    return headings, lines


def make_rich_table(section):
    """Returns the table for a terminal; notes and errors are its caption."""
    headings, lines = make_cells(section)
    errors = [f"{row['name']}: {row['error']}" for row in section["rows"] if "error" in row]
    caption = "\n".join([*section["notes"], *errors]).replace("[", r"\[")
    table = rich.table.Table(title=section["title"], caption=caption, caption_justify="left")
    for index, heading in enumerate(headings):
        is_number = 0 < index < len(headings) - bool(section["bars"])
        table.add_column(heading, justify="right" if is_number else "left")
    for line in lines:
        table.add_row(*line)
    return table


def format_markdown(report):
    """Returns all sections as Markdown tables."""
    parts = ["# kerasmodes and its peers\n"]
    for section in report["sections"].values():
        headings, lines = make_cells(section)
        rule = ["---", *["---:"] * (len(headings) - 1)]
        if section["bars"]:
            rule[-1] = "---"
        parts.append(f"## {section['title']}\n")
        for line in (headings, rule, *lines):
            parts.append("| " + " | ".join(line).replace("\n", "<br>") + " |")
        where = section["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
        origin = f"`{section['command']}`, {section['date']}, {where['cores']} cores, {versions}."
        parts += ["", *section["notes"], origin + "\n"]
    return "\n".join(parts)


def write(report, directory):
    """Writes `benchmark_engine.json` and `.md` into the folder and returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"benchmark_engine.{ending}" for ending in ("json", "md")]
    texts = (json.dumps(report, indent=1, ensure_ascii=False) + "\n", format_markdown(report))
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, "utf-8")
    return paths
