"""`--config run.yaml`: flags from a file, checked before they are read."""

import argparse
import difflib
import itertools
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import jsonargparse

from kerasmodes.cli import kinds

PLACES = ("--run", "--directory", "--data-dir", "--idx-dir", "--cache-dir")


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


def check_trusted(words: Sequence[str]) -> None:
    """Raises if a file alone says what only the command line may: it may come from a stranger.

    That is a folder outside of the present one, a server, and what is imported, which runs code.

    Args:
        words: The words of a command.

    Raises:
        argparse.ArgumentError: If a file says so, and no flag beside it.
    """
    words = put_config_first(words)
    flags = {word.partition("=")[0] for word in words}
    paths = [word.partition("=")[2] for word in words if word.startswith("--config=")]
    paths += [value for word, value in itertools.pairwise(words) if word == "--config"]
    for path in paths:
        for key, value in read_settings(path).items():
            flag = f"--{str(key).replace('_', '-')}"
            reason = None if flag in flags else _find_distrust(flag, value)
            if reason is not None:
                raise argparse.ArgumentError(
                    None, f"{path}: {key!r} {reason}. To have it so, add {flag}={value}"
                )


def _find_distrust(flag: str, value: Any) -> str | None:
    """Returns what only the command line may say of a value, or `None`."""
    if not isinstance(value, str):
        return None
    if flag == "--mlflow" and ":" in value:
        return "names a store elsewhere"
    if flag in (*PLACES, "--mlflow"):
        is_inside = pathlib.Path(value).resolve().is_relative_to(pathlib.Path.cwd().resolve())
        return None if is_inside else "leads out of the present folder"
    if flag == "--wandb":
        return "sends to a server" if value == "online" else None
    is_imported = flag.endswith("optimizer") and "." in value
    return "names what is to be imported" if is_imported else None


def _check_keys(settings: dict[str, Any], parser: jsonargparse.ArgumentParser) -> None:
    defaults = parser.get_defaults()
    model = settings.get("model")
    if model is not None and model != defaults.get("model", model):
        raise ValueError(f"it is of a run of `train {model}`, not of `{parser.prog}`")
    known, seen = set(defaults.keys()) - {"config"}, set()
    for key in settings:
        name = str(key).replace("-", "_")
        if name not in known:
            raise ValueError(f"{key!r} is no flag of `{parser.prog}`{suggest_name(key, known)}")
        if name in seen:
            raise ValueError(f"{name!r} is there twice, with a dash and with an underscore")
        seen.add(name)


def suggest_name(word: object, known: Iterable[str]) -> str:
    """Returns the end of an error about an unknown name: a sentence, or nothing.

    Args:
        word: What was given.
        known: The names that there are.
    """
    close = difflib.get_close_matches(str(word), known, n=1)
    return f". Did you mean {close[0]!r}?" if close else ""
