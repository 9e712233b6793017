"""Where callbacks write files: what is redirected in a trial run, and for each trial of a search.

A callback of this package names the attribute in `writes_to`; those of Keras are listed here.
"""

import os
import pathlib

import keras

OF_KERAS = {
    keras.callbacks.BackupAndRestore: "backup_dir",
    keras.callbacks.CSVLogger: "filename",
    keras.callbacks.ModelCheckpoint: "filepath",
    keras.callbacks.TensorBoard: "log_dir",
}
FILES = ("filename", "filepath", "path")  # The others name folders.


def find_attribute(callback: keras.callbacks.Callback) -> str | None:
    """Returns the attribute that says where a callback writes, or `None` if none is known."""
    of_keras = (name for cls, name in OF_KERAS.items() if isinstance(callback, cls))
    return getattr(callback, "writes_to", None) or next(of_keras, None)


def separate(callback: keras.callbacks.Callback, folder: str | os.PathLike) -> None:
    """Makes a callback write into a folder of its own, in the place where it would write.

    The file `logs/history.csv` becomes `logs/FOLDER/history.csv`, the folder `logs` `logs/FOLDER`.

    Args:
        callback: A callback; one that writes nowhere stays as it is.
        folder: Path of the folder, relative to the place.
    """
    if isinstance(inner := getattr(callback, "callback", None), keras.callbacks.Callback):
        separate(inner, folder)
    attribute = find_attribute(callback)
    given = None if attribute is None else getattr(callback, attribute)
    if given is None:
        return
    before = pathlib.Path(given)
    after = before / folder
    if attribute in FILES:
        after = before.parent / folder / before.name
        after.parent.mkdir(parents=True, exist_ok=True)
    for name, value in vars(callback).items():
        if name == attribute:
            setattr(callback, name, after if isinstance(given, pathlib.Path) else str(after))
        elif isinstance(value, str) and attribute not in FILES:  # A file in the folder.
            parts = pathlib.Path(value)
            if parts != before and parts.is_relative_to(before):
                setattr(callback, name, str(after / parts.relative_to(before)))
