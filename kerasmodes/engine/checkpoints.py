"""Checkpoints of a fit: folders, each complete, with checksums and what it was made with.

What is in one is in `fit_progress.py`; when one is written, in `callbacks/resume.py`.
"""

import hashlib
import json
import pathlib
import re
import shutil
import warnings
from typing import Any

from kerasmodes import atomic_files
from kerasmodes.engine import callback_states, packing

# As the command `sha256sum` writes and checks them.
CHECKSUMS, STATE, ARRAYS = "SHA256SUMS", "state.json", "arrays.npz"
START = "start.json"  # What files held when a fit began that has no checkpoint yet.
FORMAT = 1  # Of what `fit_progress.py` captures.
_NAME = re.compile(r"epoch_(\d+)_step_(\d+)")


def write_checkpoint(directory: pathlib.Path, progress: Any, made_with: dict[str, Any]) -> None:
    """Writes a checkpoint of where a fit stands; complete, or not at all.

    Args:
        directory: The folder of the checkpoints.
        progress: The `fit_progress.FitProgress`.
        made_with: What `fit_description.describe_fit` has returned.
    """
    name = f"epoch_{progress.epoch:04d}_step_{progress.step:06d}"
    with atomic_files.atomic_folder(directory / name) as folder:
        arrays = []
        state = packing.pack(progress.capture(folder), arrays)
        packing.write_arrays(folder / ARRAYS, arrays)
        text = json.dumps({"format": FORMAT, "made_with": made_with, "state": state}, indent=1)
        (folder / STATE).write_text(text)
        sums = [f"{_hash_file(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
        (folder / CHECKSUMS).write_text("".join(sums))
    (directory / START).unlink(missing_ok=True)


def begin_without_checkpoint(directory: pathlib.Path, callbacks: list) -> None:
    """Puts files back to what they held when a fit began that was stopped before a checkpoint.

    What they hold now is noted for the next one.

    Args:
        directory: The folder of the checkpoints, which has none.
        callbacks: The callbacks of a fit that begins.

    Raises:
        ValueError: If the note of the fit before cannot be read.
    """
    path, writers = directory / START, callback_states.find_writers(callbacks)
    if not writers:
        return
    if path.exists():
        try:
            states = packing.unpack(json.loads(path.read_text()), [])
        except ValueError as error:
            raise ValueError(f"{path} must be whole. Received: {error}. Remove it.") from error
        callback_states.set_states(writers, states)
    with atomic_files.atomic_write(path) as temporary:
        states = packing.pack(callback_states.get_states(writers), [])
        temporary.write_text(json.dumps(states, indent=1))


def list_checkpoints(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns the checkpoints in a folder, the latest last."""
    found = [path for path in directory.glob("epoch_*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: tuple(map(int, _NAME.fullmatch(path.name).groups())))


def remove_oldest(directory: pathlib.Path, keep: int) -> None:
    """Removes all checkpoints in a folder but the latest."""
    for path in list_checkpoints(directory)[:-keep]:
        shutil.rmtree(path)


def find_latest(directory: pathlib.Path):
    """Returns the latest checkpoint that is whole, or `None`, and the damaged ones after it.

    Raises:
        ValueError: If there are checkpoints, and all are damaged.
    """
    damaged = []
    for path in reversed(list_checkpoints(directory)):
        damage = find_damage(path)
        if damage is None:
            return path, damaged
        damaged.append(path)
        warnings.warn(f"The checkpoint {path} is damaged, and not used: {damage}.", stacklevel=2)
    if damaged:
        raise ValueError(
            f"`directory` must hold a checkpoint that is whole. Received: {str(directory)!r}, "
            "where all are damaged. Remove them to begin from scratch."
        )
    return None, []


def read_checkpoint(path: pathlib.Path):
    """Returns the state in a checkpoint, and what it was made with."""
    content = json.loads((path / STATE).read_text())
    if content.get("format") != FORMAT:
        raise ValueError(
            f"{path / STATE} must have format {FORMAT}, of this version of kerasmodes. "
            f"Received: format={content.get('format')!r}"
        )
    state = packing.unpack(content["state"], packing.read_arrays(path / ARRAYS))
    return state, content["made_with"]


def set_aside(paths: list[pathlib.Path]) -> None:
    """Renames damaged checkpoints, so that nothing resumes from them."""
    for path in paths:
        aside = path.with_name(f"damaged_{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)


def find_damage(folder: pathlib.Path) -> str | None:
    """Returns what is wrong with the files of a checkpoint, or `None`."""
    if not (folder / CHECKSUMS).is_file():
        return f"{CHECKSUMS} is missing"
    lines = (folder / CHECKSUMS).read_bytes().decode(errors="replace").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in (STATE, ARRAYS, *sums):
        path = folder / name
        if name not in sums or path.parent != folder or not path.is_file():
            return f"{name} is missing"
        if _hash_file(path) != sums[name]:
            return f"{name} does not have its checksum"
    return None


def _hash_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
