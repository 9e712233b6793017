"""Atomic writes: a file is complete, or it is not there. The caller writes its content."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path in the same folder, and renames it to `path` after the block.

    If the block raises, the temporary file is deleted, and an older file at `path` stays.

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
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
