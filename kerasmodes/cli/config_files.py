"""`--config run.yaml`: flags from a file, checked before they are read."""

import argparse
import difflib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import jsonargparse

from kerasmodes.cli import kinds


class ConfigFile(jsonargparse.ActionConfigFile):
    """The flag `--config`; its errors name the file, and the key that is wrong."""

    def __call__(self, parser, flags, values, option_string=None):
        try:
            _check_keys(read_settings(values), parser)
            super().__call__(parser, flags, values, option_string)
        except (OSError, TypeError, ValueError, argparse.ArgumentError) as error:
            reason = getattr(error, "strerror", None) or error
            reason = str(reason).replace("Parser key ", "")  # jsonargparse's word for a flag.
            raise argparse.ArgumentError(None, f"--config {values}: {reason}") from error


def read_settings(path: str | os.PathLike) -> dict[str, Any]:
    """Returns what a YAML file of flags holds.

    Raises:
        OSError: If there is no such file.
        ValueError: If it holds something else than keys and values.
    """
    settings = kinds.load_yaml(pathlib.Path(path).read_text("utf-8"))
    if settings is None:
        raise ValueError("it is empty")
    if not isinstance(settings, dict):
        raise ValueError(f"it holds a {type(settings).__name__} instead of keys and values")
    return settings


def put_config_first(words: Sequence[str]) -> list[str]:
    """Returns the words of a command with `--config FILE` first: what else is given wins."""
    first, others, words = [], [], list(words)
    while words:
        word = words.pop(0)
        target = first if word.partition("=")[0] == "--config" else others
        target.append(word)
        if word == "--config" and words:
            target.append(words.pop(0))
    return [*first, *others]


def _check_keys(settings: dict[str, Any], parser: jsonargparse.ArgumentParser) -> None:
    defaults = parser.get_defaults()
    model = settings.get("model")
    if model is not None and model != defaults.get("model", model):
        raise ValueError(f"it is of a run of `train {model}`, not of `{parser.prog}`")
    known, seen = set(defaults.keys()) - {"config"}, set()
    for key in settings:
        name = str(key).replace("-", "_")
        if name not in known:
            raise ValueError(f"{key!r} is no flag of `{parser.prog}`{_suggest(key, known)}")
        if name in seen:
            raise ValueError(f"{name!r} is there twice, with a dash and with an underscore")
        seen.add(name)


def _suggest(key: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
