"""`SavedArguments`: what losses, penalties and presets have in common: how a file keeps them."""

import inspect
from typing import Any

import keras


class SavedArguments:
    """An object that a file describes by the arguments of its constructor.

    A subclass keeps each argument as an attribute of the same name, or defines `get_config`. If its
    constructor takes `**kwargs`, those of the class behind it are saved, too.
    """

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor by name, ready for a JSON file.

        Raises:
            ValueError: If an argument is not kept as an attribute.
        """
        names = _list_arguments(type(self))
        lost = [name for name in names if not hasattr(self, name)]
        if lost:
            raise ValueError(
                f"{type(self).__name__} must keep each argument of its constructor as an attribute "
                f"of that name, or define `get_config`. Received: no attribute {lost[0]!r}"
            )
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SavedArguments":
        """Returns the object with these arguments."""
        return cls(**{n: keras.saving.deserialize_keras_object(v) for n, v in config.items()})


def _list_arguments(cls):
    """Returns the names of a constructor's arguments, and of those that it passes on."""
    names = []
    for owner in cls.__mro__:
        if "__init__" not in vars(owner) or owner is object:
            continue
        parameters = list(inspect.signature(owner.__init__).parameters.values())[1:]
        variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        names += [one.name for one in parameters if one.kind not in variadic]
        if all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters):
            break
    return list(dict.fromkeys(names))
