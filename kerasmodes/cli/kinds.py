"""How the text of a flag, or its value in a file, becomes an argument; and what help calls it."""

import dataclasses
import inspect
import os
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import jsonargparse
import yaml

from kerasmodes import arguments, modes


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a flag takes. Most accept anything: the library checks its own arguments.

    Args:
        metavar: What the help writes for the value.
        read: Function that turns a text, or a value of a YAML file, into the value of the flag.
        is_valid: Function that says whether a value other than `None` is allowed.
        names: All that are allowed, where the help has no room for them.
    """

    metavar: str
    read: Callable[[Any], Any]
    is_valid: Callable[[Any], bool] = lambda value: True
    names: Sequence[str] = ()

    @property
    def __name__(self):  # For argparse's "invalid INT value".
        return "{" + ",".join(self.names) + "}" if self.names else self.metavar

    def __call__(self, value: Any) -> Any:
        is_empty = isinstance(value, str) and not value.strip()  # Otherwise it would be `None`.
        value = self.read(value)
        if is_empty or (value is not None and not self.is_valid(value)):
            raise ValueError(f"must be {self.__name__}. Received: {value!r}")
        return value


def load_yaml(text: str) -> Any:
    """Returns what a YAML text holds: plain data only, since the loader makes no objects.

    Raises:
        ValueError: If it is no YAML, if it is nested too deeply, or if a key is there twice, of
            which the last would win.
    """
    try:
        _check_keys(yaml.compose(text), set())
        return jsonargparse.get_loader("yaml")(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _check_keys(node, seen):
    """Raises if a mapping in a YAML document has a key twice.

    Args:
        node: The document's node, or one in it.
        seen: Set of the ids of nodes that were checked. A document may hold itself, or the same
            node so often that no program ever came to an end.
    """
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    parts = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key!r} is there twice")
        parts = [value for _, value in node.value]
    for part in parts:
        _check_keys(part, seen)


def _read_text(value):
    return None if value in ("null", "None") else value


def _read_value(value):
    value = _read_text(value)
    return load_yaml(value) if isinstance(value, str) else value


def _read_one_or_more(value):
    if isinstance(value, str) and ("," in value or value[:1] + value[-1:] in ("()", "[]")):
        return _read_list(value)
    return _read_value(value)


def _read_list(value):
    """Returns a list from `20,10`, `[20, 10]`, `(20, 10)` or `20`; `None` from `null`."""
    if isinstance(value, str) and _read_text(value) is not None:
        value = value.strip()
        inner = value[1:-1] if value[:1] + value[-1:] in ("()", "[]") else value
        return load_yaml(f"[{inner}]")
    is_list = isinstance(value, (list, tuple, dict)) or _read_text(value) is None
    return _read_text(value) if is_list else [value]


NAME = Kind("NAME", _read_text)
FUNCTION = Kind("MODULE:FUNCTION", _read_text)
PATH = Kind("PATH", _read_text)
VALUE = Kind("VALUE", _read_value)
INT = Kind("INT", _read_value, arguments.is_integer)
FLOAT = Kind("FLOAT", _read_value, arguments.is_number)
URI = Kind("URI", _read_value, lambda value: isinstance(value, (bool, str)))
WANDB_MODES = ("offline", "online")
WANDB_MODE = Kind("MODE", _read_text, WANDB_MODES.__contains__, WANDB_MODES)
CHECKPOINT = Kind(
    "STEPS", _read_value, lambda value: value == "epoch" or arguments.is_positive_integer(value)
)
DTYPES = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
DTYPE = Kind("NAME", _read_text, DTYPES.__contains__, DTYPES)
BOOL = Kind("{true,false}", _read_value, lambda value: isinstance(value, bool))
LIST = Kind("A,B,...", _read_list)
ONE_OR_MORE = Kind("A or A,B,...", _read_one_or_more)

# Arguments whose signature does not tell.
BY_NAME = {
    "mode": Kind("{" + ",".join(modes.MODES) + "}", _read_text),
    "jit_compile": Kind(
        "{auto,true,false}", _read_value, lambda value: value == "auto" or isinstance(value, bool)
    ),
    "run_eagerly": BOOL,
    "steps_per_execution": Kind("INT", _read_value),
    "image_shape": Kind("H,W,C", _read_list),
    "latent_dim": Kind("INT", _read_value),
    "num_classes": Kind("INT", _read_value),
    "seed": Kind("INT", _read_value),
    "labels": ONE_OR_MORE,
    "penalties": ONE_OR_MORE,
    "metrics": LIST,
    "chief": Kind("ADDRESS:PORT", _read_text),
    "join": Kind("ADDRESS:PORT", _read_text),
}


def find_kind(parameter: inspect.Parameter) -> Kind:
    """Returns the kind of flag for an argument of a function.

    Numbers and names are not restricted: a function and its flag refuse them with the same words.
    """
    default, types_ = parameter.default, _list_types(parameter.annotation)
    is_list = isinstance(default, (tuple, list)) or Sequence in types_
    if is_list and int in types_:
        return ONE_OR_MORE
    if is_list and parameter.name != "image_shape":
        return LIST
    if parameter.name in BY_NAME:
        return BY_NAME[parameter.name]
    if isinstance(default, bool):
        return BOOL
    if types_ and types_ <= {str, os.PathLike}:
        return PATH if os.PathLike in types_ else NAME
    for kind, metavar in ((int, "INT"), (float, "FLOAT"), (str, "NAME")):
        if kind in (types_ or {type(default)}):
            return Kind(metavar, _read_value)
    return VALUE


def _list_types(annotation):
    """Returns the types of an annotation without `None`, a set; of `Sequence[int]`, `Sequence`."""
    if annotation is inspect.Parameter.empty or annotation is Any:
        return set()
    is_union = isinstance(annotation, types.UnionType)
    found = typing.get_args(annotation) if is_union else (annotation,)
    return {typing.get_origin(one) or one for one in found} - {types.NoneType}


def format_value(value: Any) -> str:
    """Returns a value as one writes it for a flag: `20,10`, `true`."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(format_value, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
