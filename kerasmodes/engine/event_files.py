"""The event files of a TensorBoard callback: put back to what they held at a checkpoint.

TensorBoard's own mark of a restart, `SessionLog.START`, has one step for all curves of a folder,
where Keras counts epochs in some and steps in others; its default server ignores the mark.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras

from kerasmodes import replicas
from kerasmodes.engine import keras_private

FOLDERS = ("train", "validation")  # Keras's, in `log_dir`.
PATTERN = "events.out.tfevents.*"


def get_state(board: keras.callbacks.TensorBoard, folders: Sequence[str] = ()) -> dict[str, Any]:
    """Returns what a callback counts, and how long its event files are.

    Args:
        board: The callback, in a fit.
        folders: Names of folders in `log_dir` that it writes to beside Keras's. Their writers are
            flushed by the caller.
    """
    keras_private.flush_writers(board)
    names = keras_private.find_counts(board)
    counts = {name: getattr(board, name) for name in names if hasattr(board, name)}
    sizes = {name: path.stat().st_size for name, path in _list_files(board, folders).items()}
    return {**counts, "event_files": sizes, "log_dir": _find_log_dir(board)}


def set_state(
    board: keras.callbacks.TensorBoard, state: dict[str, Any], folders: Sequence[str] = ()
) -> None:
    """Continues from what `get_state` has returned: files lose what was written to them since.

    Files that were begun since are removed; those of this fit are too, which writes to new ones
    from here on. Where none of the files is there any more, all stay: it is another `log_dir`.

    Args:
        board: The callback, in a fit.
        state: What `get_state` has returned.
        folders: As for `get_state`. Their writers are closed by the caller.
    """
    # Nothing else that a file may name: a folder is not always one's own.
    for name in keras_private.find_counts(board):
        if name in state:
            setattr(board, name, state[name])
    found, sizes = _list_files(board, folders), state.get("event_files", {})
    is_chief = replicas.is_chief(board.model.distribute_strategy)
    has_same = (
        found.keys() & sizes.keys() if sizes else state.get("log_dir") == _find_log_dir(board)
    )
    if not is_chief or not has_same:
        return
    with keras_private.reopen_writers(board):
        for name, path in found.items():
            if name not in sizes:
                path.unlink()
            elif path.stat().st_size > sizes[name]:
                os.truncate(path, sizes[name])


def _find_log_dir(board):
    return str(pathlib.Path(board.log_dir).resolve())


def _list_files(board, folders):
    """Returns the paths of a callback's event files, by their names in `log_dir`."""
    log_dir = pathlib.Path(board.log_dir)
    return {
        f"{folder}/{path.name}": path
        for folder in (*FOLDERS, *folders)
        for path in sorted((log_dir / folder).glob(PATTERN))
    }
