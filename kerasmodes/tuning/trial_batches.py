"""A `keras.utils.PyDataset` in a search: a copy for each trial, and what a trial has changed in it.

It may take another order after each epoch: trials that share one would see the orders of others.
"""

import copy
import functools
import pickle
from typing import Any

import keras
import numpy as np

from kerasmodes.engine import adapter_calls

ARGUMENTS = ("x", "validation_data")  # Of `fit`, which may be one.


class TrialBatches:
    """Copies, for one trial, of each `PyDataset` among the arguments of `fit`.

    Where it overrides neither `on_epoch_begin` nor `on_epoch_end`, its arrays are shared; and it is
    itself, if it cannot be copied: it has no order of its own to keep.

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
        """Returns the attributes in which copies differ from the originals, for a pickle file.

        Raises:
            TypeError: If a pickle cannot hold one.
        """
        found = {
            name: self._find_changes(name, one)
            for name, one in self.copies.items()
            if name not in self._waiting
        }
        return found | self._waiting

    def restore_changes(self, changes: dict[str, dict[str, Any]]) -> None:
        """Gives copies the attributes that `find_changes` has returned of others.

        Data for validation are read once to see their shapes, later, before they are first told of
        epochs: they get the attributes then.
        """
        x = self.copies.get("x")
        for name, one in self.copies.items():
            if name == "x" or one is x:
                vars(one).update(changes[name])
            else:
                self._waiting[name] = changes[name]
                one.on_epoch_end = functools.partial(self._restore_waiting, name)

    def _restore_waiting(self, name):
        """Is called in the place of `on_epoch_end` of a copy, once."""
        one = self.copies[name]
        del one.on_epoch_end
        vars(one).update(self._waiting.pop(name))
        one.on_epoch_end()

    def _find_changes(self, name, used):
        before, changes = vars(self._originals[name]), {}
        state = used.__getstate__()  # A class may leave out what no pickle holds.
        for attribute, value in vars(used).items():
            if isinstance(state, dict) and attribute not in state:
                continue
            is_known = attribute in before
            if is_known and value is before[attribute]:  # Functions are not copied.
                continue
            try:
                if not is_known or pickle.dumps(value) != pickle.dumps(before[attribute]):
                    changes[attribute] = value
            except Exception as error:
                raise TypeError(
                    f"`{name}` must be a PyDataset whose attributes `pickle` can write, or whose "
                    "`__getstate__` leaves out those that do not change, for Hyperband to continue "
                    f"a trial. Received: {type(used).__name__}.{attribute}, {error}"
                ) from error
        return changes


def _copy(name, original, memo):
    has_order = adapter_calls.hears_of_epochs(original)
    if not has_order:
        arrays = [value for value in vars(original).values() if isinstance(value, np.ndarray)]
        memo |= {id(array): array for array in arrays}
    try:
        return copy.deepcopy(original, memo)
    except Exception as error:
        if not has_order:
            return original
        raise TypeError(
            f"`{name}` must be a PyDataset that `copy.deepcopy` can copy, since it is told of "
            "epochs: each trial has a copy of its own. Open files when they are read, or define "
            f"`__deepcopy__`. Received: a {type(original).__name__}, {error}"
        ) from error
