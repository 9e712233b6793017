"""Writes the page of a run: one HTML file that holds all it shows, and asks no server for anything.

Its sections are in `sections.py`, its looks in `page.css`.
"""

import os
import pathlib

from markupsafe import Markup

from kerasmodes import atomic_files
from kerasmodes.reporting import sections
from kerasmodes.reporting.run import Run

FOLDER = pathlib.Path(__file__).parent
SECTIONS = (
    sections.write_header,
    sections.write_curves,
    sections.write_samples,
    sections.write_quality,
    sections.write_pictures,
    sections.write_settings,
)


def write_page(run: Run, path: str | os.PathLike, version: str) -> None:
    """Writes the page of a run, in an atomic write.

    Args:
        run: What the files of the run say.
        path: HTML file to write.
        version: That of kerasmodes, for the foot of the page.
    """
    with atomic_files.atomic_write(path) as temporary:
        temporary.write_text(make_page(run, version), "utf-8")


def make_page(run: Run, version: str) -> str:
    """Returns the page of a run."""
    own = {name: _read(f"page.{name}") for name in ("html", "css", "js")}
    body = Markup("").join(write(run) for write in SECTIONS)
    title = f"{run.name} · {run.model_name}"
    return own["html"].format(
        title=title, style=own["css"], script=own["js"], body=body, version=version
    )


def _read(name):
    """Returns a file of the package, which needs no escaping."""
    return Markup((FOLDER / name).read_text("utf-8"))
