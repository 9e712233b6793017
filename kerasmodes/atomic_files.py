"""Files that appear whole or not at all. What is written is the caller's business."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def atomic_write(path):
    """Gives a temporary path beside `path`, which it becomes when the block ends without error.

    Args:
        path: Path of the file to write; its folder is made if missing.

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
