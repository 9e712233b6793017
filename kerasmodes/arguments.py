"""Checks of arguments that many parts of the package share.

A check raises an error that names the argument, says what it must be and shows what it is.
"""

import math
import numbers
import os
import pathlib
import tempfile
from collections.abc import Iterable


def is_integer(value: object, least: float = -math.inf) -> bool:
    """Returns whether a value is an integer, at least `least`. NumPy's count, `True` does not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> bool:
    """Returns whether a value is a finite real number. NumPy's count, `True` does not."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def is_positive_integer(value: object) -> bool:
    """Returns whether a value is an integer above 0."""
    return is_integer(value, 1)


def is_positive_number(value: object) -> bool:
    """Returns whether a value is a finite number above 0."""
    return is_number(value) and value > 0


def check_integers(least: int, **arguments: object) -> None:
    """Checks that arguments are integers of a least size.

    Args:
        least: The smallest integer that is allowed.
        **arguments: The arguments by their names.

    Raises:
        ValueError: If one is not; the first of these is named.
    """
    expected = "a positive integer" if least == 1 else f"an integer, at least {least}"
    for name, value in arguments.items():
        if not is_integer(value, least):
            raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}")


def check_positive_integers(**arguments: object) -> None:
    """Raises a `ValueError` that names the first argument which is not a positive integer."""
    check_integers(1, **arguments)


def check_positive_numbers(**arguments: object) -> None:
    """Raises a `ValueError` that names the first argument which is not finite and above 0."""
    for name, value in arguments.items():
        if not is_number(value) or value <= 0:
            raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")


def check_seed(seed: object, *, can_be_none: bool = False, can_be_negative: bool = False) -> None:
    """Raises a `ValueError` unless a seed is an integer, at least 0.

    Args:
        seed: The argument `seed`.
        can_be_none: Whether `None` is allowed, too. Defaults to `False`.
        can_be_negative: Whether integers below 0 are allowed, too. Defaults to `False`.
    """
    if seed is None and can_be_none:
        return
    if not is_integer(seed, -math.inf if can_be_negative else 0):
        expected = "an integer" if can_be_negative else "a non-negative integer"
        expected += " or None" if can_be_none else ""
        raise ValueError(f"`seed` must be {expected}. Received: seed={seed!r}")


def check_choice(name: str, value: object, choices: Iterable[str], otherwise: str = "") -> None:
    """Checks that an argument is one of several strings.

    Args:
        name: Name of the argument.
        value: The argument.
        choices: The strings that are allowed.
        otherwise: What else the caller accepts, the end of a sentence such as `", or None"`.

    Raises:
        ValueError: If it is none of them.
    """
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be one of {listed}{otherwise}. Received: {name}={value!r}")


def check_folder(name: str, path: str | os.PathLike) -> None:
    """Raises a `ValueError` if a path cannot be a folder to write to; makes none.

    Of a folder that is not there, the first one above it that is there is tried.

    Args:
        name: Name of the argument.
        path: The argument.
    """
    check_no_file(name, path)
    folder = pathlib.Path(path).absolute()
    try:
        first = next(one for one in (folder, *folder.parents) if one.exists())
        with tempfile.TemporaryFile(dir=first):
            pass
    except OSError as error:
        raise ValueError(
            f"`{name}` must be a folder to write to. Received: {name}={str(path)!r}, {error}"
        ) from error


def check_no_file(name: str, path: str | os.PathLike) -> None:
    """Raises a `ValueError` if the path of a folder, or of one that it is in, is that of a file."""
    path = pathlib.Path(path)
    taken = next((part for part in (path, *path.parents) if part.is_file()), None)
    if taken is not None:
        raise ValueError(
            f"`{name}` must be a folder. Received: {name}={str(path)!r}, where {str(taken)!r} is a "
            "file"
        )


def check_file(name: str, path: str | os.PathLike, suffix: str = "") -> None:
    """Raises a `ValueError` if a path cannot be that of a file to write; makes none.

    Args:
        name: Name of the argument.
        path: The argument.
        suffix: What its name must end in, such as `".png"`.
    """
    path = pathlib.Path(path)
    received = f"Received: {name}={str(path)!r}"
    if path.suffix.lower() != (suffix or path.suffix.lower()):
        raise ValueError(f"`{name}` must end in {suffix!r}. {received}")
    if path.is_dir():
        raise ValueError(f"`{name}` must be the path of a file. {received}, a folder")
    taken = next((part for part in path.parents if part.is_file()), None)
    if taken is not None:
        raise ValueError(
            f"`{name}` must be a path in a folder. {received}, where {str(taken)!r} is a file"
        )


def check_places(
    name: str,
    path: str | os.PathLike,
    files: Iterable[str] = (),
    folders: Iterable[str] = (),
    purpose: str = "",
) -> None:
    """Checks that what is to be written into a folder does not meet its opposite there.

    Args:
        name: Name of the argument.
        path: The argument: the folder, which may be missing.
        files: Names of files in it, of which none may be a folder.
        folders: Names of folders in it, of which none may be a file.
        purpose: What the folder is needed for, the end of a sentence such as `", to be resumed"`.

    Raises:
        ValueError: If one is; the first of these is named.
    """
    path = pathlib.Path(path)
    wrong = [(one, "file", "folder") for one in files if (path / one).is_dir()]
    wrong += [(one, "folder", "file") for one in folders if (path / one).is_file()]
    for one, expected, found in wrong:
        raise ValueError(
            f"`{name}` must be a folder in which {one} is a {expected}, or missing{purpose}. "
            f"Received: {name}={str(path)!r}, where it is a {found}"
        )


def check_image_shape(image_shape: object) -> None:
    """Raises a `ValueError` unless a shape is three positive integers (height, width, channels)."""
    is_shape = isinstance(image_shape, (tuple, list)) and len(image_shape) == 3
    if not is_shape or not all(is_integer(size, 1) for size in image_shape):
        raise ValueError(
            "`image_shape` must be (height, width, channels), three positive integers. "
            f"Received: image_shape={image_shape!r}"
        )
