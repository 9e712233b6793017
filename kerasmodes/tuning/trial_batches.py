"""A `keras.utils.PyDataset` in a search: a copy for each trial, and what a trial has changed in it.

It may take another order after each epoch: trials that share one would see the orders of others.
"""

import copy
import functools
from typing import Any

import keras
import numpy as np

from kerasmodes.engine import adapter_calls
from kerasmodes.tuning import kept_attributes

ARGUMENTS = ("x", "validation_data")  # Of `fit`, which may be one.


class TrialBatches:
    """Copies, for one trial, of each `PyDataset` among the arguments of `fit`.

    Where it overrides neither `on_epoch_begin` nor `on_epoch_end`, its arrays are shared; and it is
    itself, if it cannot be copied and has no random generator: it has no state of its own to keep.

    Args:
        fit_arguments: Arguments of `fit` by name, as the search was given them.

    Attributes:
        copies: The copies, by the names of the arguments.

    Raises:
        TypeError: If one cannot be copied.
    """

    def __init__(self, fit_arguments: dict[str, Any]):
        given = {name: fit_arguments.get(name) for name in ARGUMENTS}
        self._originals = {
            name: one for name, one in given.items() if isinstance(one, keras.utils.PyDataset)
        }
        memo = {}  # One for all: they may share attributes.
        self.copies = {name: _copy(name, one, memo) for name, one in self._originals.items()}
        self._waiting = {}  # Changes of copies that are not restored yet.

    def find_changes(self) -> dict[str, dict[str, Any]]:
        """Returns the attributes in which copies differ from the originals, for `packing.pack`.

        Raises:
            TypeError: If one cannot be kept.
        """
        writer = kept_attributes.AttributeWriter()  # One for all: they may share attributes.
        return {name: self._find_changes(writer, name) for name in self.copies}

    def restore_changes(self, changes: dict[str, dict[str, Any]]) -> None:
        """Gives copies the attributes that `find_changes` has returned of others.

        Data for validation are read once to see their shapes, later, before they are first told of
        epochs: they get the attributes then, and that reading moves copies of them.

        Raises:
            ValueError: If they are not those of such copies.
        """
        reader, x = kept_attributes.AttributeReader(), self.copies.get("x")
        for name, one in self.copies.items():
            own, cls = vars(one), type(one).__name__
            found = {
                attribute: reader.read(content, own.get(attribute), f"{cls}.{attribute}")
                for attribute, content in changes[name].items()
            }
            if name != "x" and one is not x:
                self._waiting[name] = found
                found = _copy_deeply(found, {})
                one.on_epoch_end = functools.partial(self._restore_waiting, name)
            own.update(found)

    def _restore_waiting(self, name):
        """Is called in the place of `on_epoch_end` of a copy, once."""
        one = self.copies[name]
        del one.on_epoch_end
        vars(one).update(self._waiting.pop(name))
        one.on_epoch_end()

    def _find_changes(self, writer, name):
        used, before = self.copies[name], vars(self._originals[name])
        now = {**vars(used), **self._waiting.get(name, {})}
        if name in self._waiting:
            del now["on_epoch_end"]
        state = used.__getstate__()  # A class may leave out what does not change.
        left_out = set(now).difference(state) if isinstance(state, dict) else ()
        changes = {}
        for attribute in now:
            if attribute in left_out:
                continue
            value, place = now[attribute], f"{type(used).__name__}.{attribute}"
            try:
                if attribute not in before or not kept_attributes.is_unchanged(
                    value, before[attribute], place
                ):
                    changes[attribute] = writer.describe(value, before.get(attribute), place)
            except TypeError as error:
                raise TypeError(
                    f"`{name}` must be a PyDataset whose attributes that change are made of "
                    f"{kept_attributes.KINDS}, for Hyperband to continue a trial. Let its "
                    f"`__getstate__` leave out others that never change. Received: {error}"
                ) from error
        return changes


def _copy(name, original, memo):
    has_order = adapter_calls.hears_of_epochs(original)
    if not has_order:
        arrays = [value for value in vars(original).values() if isinstance(value, np.ndarray)]
        memo |= {id(array): array for array in arrays}
    try:
        return _copy_deeply(original, memo)
    except Exception as error:
        draws = any(type(value) in kept_attributes.GENERATORS for value in vars(original).values())
        if not has_order and not draws:
            return original
        raise TypeError(
            f"`{name}` must be a PyDataset that `copy.deepcopy` can copy, since it is told of "
            "epochs or draws random numbers: each trial has a copy of its own. Open files when "
            "they are read, or define `__deepcopy__`. "
            f"Received: a {type(original).__name__}, {error}"
        ) from error


def _copy_deeply(value, memo):
    parts = value if isinstance(value, dict) else vars(value)
    for part in parts.values():
        if type(part) in kept_attributes.GENERATORS and id(part) not in memo:
            memo[id(part)] = kept_attributes.copy_generator(part)
    return copy.deepcopy(value, memo)
