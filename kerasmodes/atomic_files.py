"""Atomic writes: a file or folder is complete, or not there. The caller writes its content."""

import contextlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from kerasmodes import arguments

MARK = ".part."
TEMPORARY = "kerasmodes_"  # Begins the names of temporary folders that no path is given for.
_BEGIN = time.time()  # Of this program.
LONGEST_NAME = 200  # Of 255 characters that file systems take.


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same folder, and renames it to `path` after the block.

    What was written is on the disk before it is renamed, so that a computer that loses its power
    has the old file or the new one. If the block raises, the temporary file is deleted, and an
    older file at `path` stays.

    Args:
        path: Path of the file to write; its folder is created if missing.

    Yields:
        A `pathlib.Path` with the same suffix, for the block to write to.

    Example:

    ```python
    with atomic_write("run/model.keras") as temporary:
        model.save(temporary)
    ```
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}{MARK}{path.name[-LONGEST_NAME:]}")
    temporary.unlink(missing_ok=True)  # It may be a link that leads elsewhere.
    try:
        yield temporary
        if path.exists():
            shutil.copymode(path, temporary)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary folder beside `path`, and renames it to `path` after the block.

    The files in it are on the disk before it is renamed. If the block raises, the temporary folder
    is deleted, and an older folder at `path` stays.

    Args:
        path: Path of the folder; the one that holds it is created if missing.

    Yields:
        The `pathlib.Path` of an empty folder, for the block to write files to.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{os.getpid()}{MARK}{path.name[-LONGEST_NAME:]}")
    old = temporary.with_name(f"{temporary.name}.old")
    missing = [folder for folder in path.parents if not folder.exists()]
    shutil.rmtree(temporary, ignore_errors=True)  # Of a killed process that had this number.
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for written in (*temporary.iterdir(), temporary):
            _sync(written)
        if path.exists():  # No system replaces a folder that is not empty at once.
            path.rename(old)
        temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        if not path.exists():
            with contextlib.suppress(OSError):  # Another program has used one of them since.
                for folder in missing:
                    folder.rmdir()


@contextlib.contextmanager
def temporary_folder() -> Iterator[pathlib.Path]:
    """Yields an empty folder among the system's temporary files, which is removed after the block.

    Those that killed programs have left there are removed first.

    Yields:
        The `pathlib.Path` of the folder.
    """
    for path in _find_parts(tempfile.gettempdir(), TEMPORARY):
        shutil.rmtree(path, ignore_errors=True)  # It may be another user's.
    with tempfile.TemporaryDirectory(prefix=f".{os.getpid()}{MARK}{TEMPORARY}") as folder:
        yield pathlib.Path(folder)


def prepare_folder(name: str, path: str | os.PathLike) -> None:
    """Makes a folder to write to, and removes what killed programs have left in it.

    Args:
        name: The user's name for the argument.
        path: The folder.

    Raises:
        ValueError: If nothing can be written there.
    """
    check_writable(name, path)
    with _explain_error(name, path):
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)


def check_writable(name: str, path: str | os.PathLike) -> None:
    """Checks that files can be written to a folder, as `arguments.check_folder`.

    What killed programs have left in it is removed.

    Args:
        name: The user's name for the argument.
        path: The folder.

    Raises:
        ValueError: If nothing can be written there.
    """
    arguments.check_folder(name, path)
    with _explain_error(name, path):
        if pathlib.Path(path).exists():
            remove_parts(path)


@contextlib.contextmanager
def _explain_error(name, path):
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"`{name}` must be a folder to write to. Received: {name}={str(path)!r}, {error}"
        ) from error


def remove_parts(folder: str | os.PathLike) -> None:
    """Removes the temporary files and folders that killed programs have left in a folder."""
    for path in _find_parts(folder):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _find_parts(folder, name=""):
    """Returns the paths of the temporary files and folders that killed programs have left."""
    paths = pathlib.Path(folder).glob(f".*{MARK}{name}*")
    numbered = [(path.name[1:].partition(".")[0], path) for path in paths]
    return [path for n, path in numbered if n.isdigit() and not _is_writing(int(n), path)]


def _is_writing(process_id, path):
    """Returns whether a process that may still write a file or folder is running."""
    if process_id == os.getpid():
        # In a container, a program that is started again has the number of the one before.
        return path.exists() and path.stat().st_mtime >= _BEGIN
    return _is_running(process_id)


def _is_running(process_id):
    try:
        os.kill(process_id, 0)  # Sends nothing.
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path):
    """Waits until a file or folder is on the disk, where that can be asked for."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
