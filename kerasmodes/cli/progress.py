"""Keras's progress bar in one line of the terminal."""

import shutil
from typing import Any

import keras

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
