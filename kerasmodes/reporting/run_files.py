"""Reads the files of a run's folder, and no others: a folder may come from a stranger."""

import base64
import csv
import dataclasses
import io
import json
import math
import os
import pathlib
import struct
import zipfile

MOST_BYTES = 32_000_000  # of a file of text
MOST_PICTURE_BYTES = 12_000_000
SIGNATURES = {b"\x89PNG\r\n\x1a\n": "png", b"GIF89a": "gif", b"GIF87a": "gif"}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG or GIF file of the folder.

    Args:
        name: Path in the folder.
        width, height: Pixels.
        data_uri: The whole file, for a page; empty if it is too large to be embedded.
        size: Bytes.
    """

    name: str
    width: int
    height: int
    data_uri: str
    size: int


@dataclasses.dataclass(frozen=True)
class Table:
    """A file of comma-separated values, as text and as numbers.

    Args:
        names: The columns.
        rows: Lists of texts, one for each column.
    """

    names: list[str]
    rows: list[list[str]]

    def column(self, name: str) -> list[float | None]:
        """Returns the numbers of a column; `None` where there is none."""
        if name not in self.names:
            return [None] * len(self.rows)
        place = self.names.index(name)
        return [_read_number(row[place]) for row in self.rows]


class RunFiles:
    """The files of a run's folder.

    A symbolic link that leads out of the folder is as if it were not there.

    Args:
        folder: The folder of the run.

    Raises:
        ValueError: If it is none; from the methods, if a file is damaged or too large.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"`run` must be the folder of a run. Received: run={str(folder)!r}")
        self._root = self.folder.resolve()

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self._root.name

    def has(self, name: str) -> bool:
        """Returns whether a file is in the folder."""
        path = (self.folder / name).resolve()
        return path.is_relative_to(self._root) and path.is_file()

    def list_names(self, pattern: str) -> list[str]:
        """Returns the paths of files by a pattern such as `"samples/epoch_*.png"`, sorted."""
        paths = sorted(self.folder.glob(pattern))
        names = [str(path.relative_to(self.folder)) for path in paths]
        return [name for name in names if self.has(name)]

    def read_json(self, name: str) -> dict:
        """Returns the dictionary in a file; empty without the file."""
        if not self.has(name):
            return {}
        try:
            found = json.loads(self._read(name, MOST_BYTES).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._make_error(name, error) from error
        if not isinstance(found, dict):
            raise self._make_error(name, f"it holds a {type(found).__name__}")
        return found

    def read_table(self, name: str) -> Table:
        """Returns the table in a file; an empty one without the file."""
        if not self.has(name):
            return Table([], [])
        try:
            text = self._read(name, MOST_BYTES).decode("utf-8")
            lines = [line for line in csv.reader(io.StringIO(text)) if line]
        except (ValueError, csv.Error) as error:
            raise self._make_error(name, error) from error
        names, *rows = lines or [[]]
        # A program that was killed may have left half a line.
        return Table(names, [(row + [""] * len(names))[: len(names)] for row in rows])

    def find_in_model(self, name: str, words: str) -> bool | None:
        """Returns whether the classes in a `.keras` file include words; `None` if it is damaged."""
        try:
            with zipfile.ZipFile(self.folder / name) as archive:
                return words in archive.read("config.json").decode("utf-8")
        except (zipfile.BadZipFile, KeyError, ValueError, OSError):
            return None

    def read_picture(self, name: str) -> Picture | None:
        """Returns a picture; `None` without the file."""
        if not self.has(name):
            return None
        size = (self.folder / name).stat().st_size
        content = self._read(name, None if size <= MOST_PICTURE_BYTES else 32)
        kinds = [kind for start, kind in SIGNATURES.items() if content.startswith(start)]
        if not kinds or len(content) < 24:
            raise self._make_error(name, "it is no PNG and no GIF")
        if kinds == ["png"]:
            width, height = struct.unpack(">II", content[16:24])
        else:
            width, height = struct.unpack("<HH", content[6:10])
        uri = ""
        if size <= MOST_PICTURE_BYTES:
            uri = f"data:image/{kinds[0]};base64,{base64.b64encode(content).decode()}"
        return Picture(name, width, height, uri, size)

    def _read(self, name, most):
        """Returns the content of a file, at most so many bytes of a picture."""
        with (self.folder / name).open("rb") as file:
            content = file.read(-1 if most is None else most + 1)
        if most == MOST_BYTES and len(content) > most:
            raise self._make_error(name, f"it is larger than {most:,} bytes")
        return content

    def _make_error(self, name, reason):
        return ValueError(
            f"`run` must hold a {name} that can be read, or none. "
            f"Received: run={str(self.folder)!r}, {reason}"
        )


def _read_number(text):
    try:
        number = float(text)
    except ValueError:  # Keras writes NA for what an epoch has not.
        return None
    return number if math.isfinite(number) else math.nan
