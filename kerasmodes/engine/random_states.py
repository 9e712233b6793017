"""The random numbers of the program, Python's and NumPy's: where they stand, and back there."""

import random
from typing import Any

import numpy as np


def read() -> dict[str, Any]:
    """Returns where they stand, in numbers and arrays."""
    version, words, gauss = random.getstate()
    return {
        "python": [version, np.array(words, np.uint32), gauss],
        "numpy": np.random.get_state(legacy=False),
    }


def restore(state: dict[str, Any]) -> None:
    """Lets them continue from where `read` was called."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    np.random.set_state(state["numpy"])
