"""What a fit is made of, as far as its numbers depend on it: a resumed one must have the same."""

import inspect
import json
import re
import warnings
import zlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasmodes import modes
from kerasmodes.engine import optimizers

MOST_DIFFERENCES = 3
# Keras numbers the layers of a program: a second model of the same kind has other names.
_NUMBER = re.compile(r"_\d+$")
HASHED_BYTES = 2**25
LEARNING_RATE = "learning_rate"


def describe_fit(model: keras.Model, reader: Any) -> dict[str, Any]:
    """Returns what the numbers of a fit depend on, ready for a JSON file.

    Args:
        model: The model, before it is trained.
        reader: The `readers.Reader` of its data.
    """
    found = optimizers.find_optimizers(model)
    return _to_json(
        {
            "model": {"class": type(model).__name__, "config": _get_config(model)},
            "optimizers": {name: _describe_optimizer(one) for name, one in found.items()},
            "compile": _describe_compile(model),
            "data": {
                "batch": [str(spec) for spec in tf.nest.flatten(reader.element_spec)],
                "num_batches": reader.num_batches,
                "checksums": [_hash_ends(array) for array in tf.nest.flatten(reader.arrays)],
            },
        }
    )


def describe_state(model: keras.Model) -> dict[str, Any]:
    """Returns what changes while a model is trained, or is there only then."""
    found = optimizers.find_optimizers(model)
    rates = [_describe_optimizer(one).get(LEARNING_RATE) for one in found.values()]
    return {
        "rates": rates,
        "weights": _describe_weights(model),
        "versions": find_versions(),
    }


def find_versions() -> dict[str, str]:
    """Returns the versions of the libraries that compute the numbers."""
    return {"keras": keras.__version__, "tensorflow": tf.__version__, "numpy": np.__version__}


def check_fit(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises if a fit is made of something else than the one that it resumes.

    Warns if other versions of libraries compute the numbers.

    Args:
        before: What `describe_fit` and `describe_state` have returned for the one that it resumes.
        now: What `describe_fit` has returned for it.

    Raises:
        ValueError: If they differ, with the first differences.
    """
    differences = _find_differences(before, now)
    if differences:
        more = len(differences) - MOST_DIFFERENCES
        raise ValueError(
            "A fit must be resumed with what it was begun with. Received: "
            + ", ".join(differences[:MOST_DIFFERENCES])
            + (f", and {more} more differences" if more > 0 else "")
            + ". Use another folder for another fit; `model.load_weights` takes the "
            "`model.weights.h5` of a checkpoint."
        )
    if before["versions"] != find_versions():
        warnings.warn(
            f"A fit that began with {_list_versions(before['versions'])} is resumed with "
            f"{_list_versions(find_versions())}: the last digits may differ.",
            stacklevel=2,
        )


def check_weights(before: dict[str, Any], model: keras.Model) -> None:
    """Raises a `ValueError` if a model, now built, has other weights than `describe_state` says."""
    weights = _describe_weights(model)
    if weights != before["weights"]:
        raise ValueError(
            "A fit must be resumed with a model of the same weights. Received: weights "
            f"{weights} instead of {before['weights']}"
        )


def _find_differences(before, now):
    rates, now = before["rates"], _flatten(now)
    before = _flatten({name: before[name] for name in ("model", "optimizers", "compile", "data")})
    # A callback may have changed a rate in this program.
    return [
        f"{name}={now.get(name)!r} instead of {before.get(name)!r}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
        and not (name.endswith(LEARNING_RATE) and now.get(name) in rates)
    ]


def _describe_weights(model):
    return [f"{weight.dtype}{list(weight.shape)}" for weight in model.weights]


def _list_versions(versions):
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _describe_optimizer(optimizer):
    config = dict(optimizer.get_config())
    config.pop("name", None)
    return _to_json({"class": type(optimizer).__name__, **config})


def _describe_compile(model):
    """Returns what `compile` was given, but for modes, which change no numbers, and optimizers."""
    config = dict(model.get_compile_config() or {})
    names = [*inspect.signature(type(model).compile).parameters][1:]
    config |= dict(zip(names, config.pop("args", []), strict=False)) | config.pop("kwargs", {})
    left_out = (*modes.SETTINGS, "optimizer", "optimizer_weights", "num_weights")
    config = {name: value for name, value in config.items() if name not in left_out}
    return _to_json(config | {"gradient_dtype": model.gradient_dtype})


def _hash_ends(array):
    """Returns a checksum of the first and last bytes of an array, 32 MB of each."""
    if array is None:
        return None
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return zlib.crc32(content[-HASHED_BYTES:], zlib.crc32(content[:HASHED_BYTES]))


def _get_config(model):
    try:
        return _to_json(model.get_config())
    except NotImplementedError:  # Its arguments cannot be written: the shapes of weights tell.
        return None


def _to_json(value):
    """Returns nested values as a JSON file would give them."""
    return json.loads(json.dumps(value, default=_describe))


def _describe(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    try:
        return keras.saving.serialize_keras_object(value)
    except (TypeError, ValueError, NotImplementedError):
        return type(value).__name__


def _flatten(value, name=""):
    """Returns the leaves of nested values by dotted names, without the numbers of layers."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    flat = {}
    for key, one in items:
        path = f"{name}.{key}" if name else str(key)
        if isinstance(one, (dict, list)):
            flat |= _flatten(one, path)
        else:
            flat[path] = _NUMBER.sub("", one) if isinstance(one, str) else one
    return flat
