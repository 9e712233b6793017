"""`Run`: all that the files of a run say, read once for the page and the model card."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

from kerasmodes import arguments
from kerasmodes.reporting.run_files import Picture, RunFiles, Table

HISTORY, RECORD, EVALUATION = "history.csv", "run.json", "evaluation.json"
MODEL = "model.keras"
SAMPLES = "samples/epoch_*.png"
MOST_FRAMES = 60
# Pictures of `kerasmodes generate`, and what they show.
PICTURES = {
    "generated.png": "Generated images, a row for each scale.",
    "classes.png": "Generated images, a row for each class, the same latents in each row.",
    "interpolation.gif": "A walk between latents.",
    "neighbours.png": "Each row: a generated image, then its nearest training images, by the "
    "features of a classifier. Equal images would be copies.",
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What the files of a run say.

    Args:
        name: Name of the folder.
        config: The settings: flags by name, and `model`.
        record: What `km.callbacks.RunRecord` has written; empty without.
        history: The logs by epoch.
        evaluation: What `kerasmodes evaluate` has written; empty without.
        samples: Pairs of epoch, from 1, and picture; of many, 60 at even distances.
        num_samples: How many there are in the folder.
        pictures: Pairs of picture and what it shows.
        has_model: Whether there is a `model.keras`.
        is_plain: Whether that names no class of kerasmodes.
    """

    name: str
    config: dict
    record: dict
    history: Table
    evaluation: dict
    samples: list[tuple[int, Picture]]
    num_samples: int
    pictures: list[tuple[Picture, str]]
    has_model: bool
    is_plain: bool = False

    @property
    def is_gan(self) -> bool:
        """Whether the run has trained MSGGAN."""
        return self.config.get("model") == "msggan"

    @property
    def model_name(self) -> str:
        """The class of the model, as far as it is known."""
        names = {"sum": "SumRegressor", "msggan": "MSGGAN"}
        own = self.config.get("model")
        return str(self.record.get("model_class") or names.get(own, own or "model"))

    @property
    def epochs(self) -> list[int]:
        """The numbers of the epochs, from 1."""
        found = self.history.column("epoch")
        is_known = [e is not None and math.isfinite(e) for e in found]
        return [int(found[n]) + 1 if known else n + 1 for n, known in enumerate(is_known)]

    def points(self, name: str) -> list[tuple[int, float | None]]:
        """Returns the values of a log: pairs of epoch, from 1, and value."""
        return list(zip(self.epochs, self.history.column(name), strict=True))

    def last(self, name: str) -> tuple[int, float] | None:
        """Returns the last finite value of a log: epoch and value."""
        found = [(e, v) for e, v in self.points(name) if v is not None and math.isfinite(v)]
        return found[-1] if found else None

    def best(self, name: str, direction: str = "min") -> tuple[int, float] | None:
        """Returns the best finite value of a log: epoch and value."""
        found = [(e, v) for e, v in self.points(name) if v is not None and math.isfinite(v)]
        choose = min if direction == "min" else max
        return choose(found, key=lambda point: point[1]) if found else None

    def times(self) -> list[dict[str, Any]]:
        """Returns the recorded epochs, as `km.callbacks.RunRecord` writes them."""
        rows = self.record.get("epochs")
        rows = rows if isinstance(rows, list) else []
        rows = [row for row in rows if isinstance(row, dict)]
        return [row for row in rows if arguments.is_integer(row.get("epoch"), 0)]


def read_run(folder: str | os.PathLike, config: Mapping[str, Any]) -> Run:
    """Returns what the files of a run say.

    Args:
        folder: The folder of the run.
        config: Its settings: flags by name, and `model`.

    Raises:
        ValueError: If the folder holds no run, or a file of it that cannot be read.
    """
    files = RunFiles(folder)
    if not config and not files.has(HISTORY):
        raise ValueError(
            f"`run` must be the folder of a run, with settings or a {HISTORY}. "
            f"Received: run={str(folder)!r}"
        )
    names = sorted(files.list_names(SAMPLES), key=_find_epoch)
    pictures = [(files.read_picture(name), words) for name, words in PICTURES.items()]
    return Run(
        name=files.name,
        config=dict(config),
        record=files.read_json(RECORD),
        history=files.read_table(HISTORY),
        evaluation=files.read_json(EVALUATION),
        samples=[(_find_epoch(n), files.read_picture(n)) for n in choose_evenly(names)],
        num_samples=len(names),
        pictures=[(picture, words) for picture, words in pictures if picture is not None],
        has_model=files.has(MODEL),
        is_plain=files.has(MODEL) and files.find_in_model(MODEL, "kerasmodes") is False,
    )


def choose_evenly(values: list, most: int = MOST_FRAMES) -> list:
    """Returns at most so many of the values, at even distances, with the first and the last."""
    if len(values) <= most:
        return values
    step = (len(values) - 1) / (most - 1)
    return [values[round(place * step)] for place in range(most)]


def _find_epoch(name):
    digits = "".join(letter for letter in name.rpartition("_")[2] if letter.isdigit())
    return int(digits or 0)
