"""Keras's progress bar in one line of the terminal."""

import shutil
from typing import Any

import keras
import rich.console

# Columns of what the bar writes: itself with the time that is left and that of a step; a number.
WIDTH_OF_BAR, WIDTH_OF_NUMBER = 38, 7


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras's progress bar; while an epoch runs, with those logs that fit into the line.

    A line that wraps cannot be written again: each step would leave one. The end of an epoch has
    all logs.
    """

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, self._fit_logs(logs or {}))

    def _fit_logs(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Returns the logs that have room, in their order."""
        count = len(f"{self.target}/{self.target}")
        room = shutil.get_terminal_size().columns - count - WIDTH_OF_BAR
        kept = {}
        for name, value in logs.items():
            width = len(f" - {name}: ") + WIDTH_OF_NUMBER
            if width <= room:
                kept[name], room = value, room - width
        return kept


def choose_verbosity(console: rich.console.Console) -> int:
    """Returns `verbose` of `fit`: 1, a bar, on a terminal; 2, a line an epoch, in a file.

    Keras's bar has colours, and moves the cursor: it is not for who sets `NO_COLOR`, nor for a
    terminal that can do neither.
    """
    return 2 if console.color_system is None or console.no_color else 1
