"""What Keras's adapter of data is told of epochs, and telling another one the same.

A `PyDataset` hears it, and may take another order then, which it may draw from Python's or NumPy's
random numbers.
"""

from typing import Any

import keras

from kerasmodes.engine import random_states


class AdapterCalls:
    """Tells an adapter where epochs begin and end.

    Args:
        adapter: A data adapter of Keras's.
    """

    def __init__(self, adapter):
        self._adapter = adapter
        self._num_epochs = 0
        self._began_with = None  # Where random numbers stood when the present epoch began.
        self._states = None  # Where they stood before each call, if that is remembered.

    def remember(self) -> None:
        """Lets calls be repeated with the random numbers that they had."""
        if hears_of_epochs(getattr(self._adapter, "py_dataset", None)):
            self._states = []

    def begin_epoch(self) -> None:
        self._began_with = random_states.read()
        self._call("on_epoch_begin")

    def end_epoch(self) -> None:
        self._call("on_epoch_end")
        self._num_epochs += 1

    def capture(self) -> dict[str, Any]:
        """Returns what `repeat` needs."""
        return {
            "epochs": self._num_epochs,
            "states": self._states,
            "began_with": self._began_with,
        }

    def repeat(self, captured: dict[str, Any]) -> None:
        """Tells of the epochs of another reader, up to where the present one begins."""
        states = iter(captured["states"] or ())
        while self._num_epochs < captured["epochs"]:
            for call in (self.begin_epoch, self.end_epoch):
                before = next(states, None)
                if before is not None:
                    random_states.restore(before)
                call()
        random_states.restore(captured["began_with"])

    def _call(self, name):
        if self._states is not None:
            self._states.append(random_states.read())
        getattr(self._adapter, name)()


def hears_of_epochs(batches: Any) -> bool:
    """Returns whether data are a `PyDataset` that does something where epochs begin or end."""
    cls, plain = type(batches), keras.utils.PyDataset
    names = ("on_epoch_begin", "on_epoch_end")
    return issubclass(cls, plain) and any(getattr(cls, n) != getattr(plain, n) for n in names)
