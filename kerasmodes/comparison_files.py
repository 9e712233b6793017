"""The files of a comparison of modes: its rows, a picture, and events for TensorBoard.

What is compared, and how, is in `comparing.py`.
"""

import json
import os
import pathlib

import tensorflow as tf

from kerasmodes import arguments, atomic_files, figure_style

PICTURE, ROWS, EVENTS = FILES = ("modes.png", "modes.json", "modes_events")
# Grey is stock Keras in all pictures, as red is fused.
COLORS = {"keras": figure_style.GREY, "fused": figure_style.RED}
SCALARS = (
    "microseconds_per_step",
    "times_faster",
    "compile_seconds",
    "loss",
    "difference_from_graph",
)


def check_directory(directory: str | os.PathLike) -> None:
    """Raises a `ValueError` if `save_comparison` could not write to a folder; makes none."""
    arguments.check_folder("directory", directory)
    arguments.check_places("directory", directory, (PICTURE, ROWS), (EVENTS,))


def save_comparison(rows: list[dict], directory: str | os.PathLike) -> None:
    """Writes `modes.json`, `modes.png` and `modes_events` into a folder, in place of older ones.

    In TensorBoard each mode is a run of its own: its numbers are scalars, and a row of the table
    in HParams.

    Args:
        rows: What `compare_modes` returns.
        directory: The folder; made if missing.
    """
    directory = pathlib.Path(directory)
    with atomic_files.atomic_write(directory / ROWS) as temporary:
        temporary.write_text(json.dumps(rows, indent=2) + "\n")
    with atomic_files.atomic_write(directory / PICTURE) as temporary:
        draw_comparison(rows).savefig(temporary)
    with atomic_files.atomic_folder(directory / EVENTS) as temporary:
        for row in rows:
            _write_events(row, temporary / row["mode"])


def draw_comparison(rows: list[dict]):
    """Returns a figure with a bar of µs per step for each mode."""
    figure = figure_style.make_figure(7, 0.9 + 0.45 * len(rows))
    axes = figure.add_subplot()
    times = [row["microseconds_per_step"] for row in rows]
    names = [row["mode"] for row in rows]
    bars = axes.barh(names, times, color=[COLORS.get(name, figure_style.BLUE) for name in names])
    axes.bar_label(bars, [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in times], padding=4)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 3, max(times) * 4)
    axes.set_xlabel("µs per step (log axis)")
    figure_style.style_axes(axes, grid="x")
    return figure


def _write_events(row, folder):
    """Writes a row of the comparison as a session that has ended."""
    from tensorboard.plugins.hparams import api, api_pb2, summary

    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=0):
        api.hparams({"mode": row["mode"]}, trial_id=row["mode"])
        for name in SCALARS:
            if row[name] is not None:
                tf.summary.scalar(name, row[name])
        event = summary.session_end_pb(api_pb2.STATUS_SUCCESS).SerializeToString()
        tf.summary.experimental.write_raw_pb(event)
    writer.close()
