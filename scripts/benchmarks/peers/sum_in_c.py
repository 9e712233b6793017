"""The sum regressor in plain C (`sum_in_c.c`), compiled here: the machine's limit, not a peer."""

import ctypes
import pathlib
import subprocess
import tempfile
import time

import numpy as np

from peers import sum_data

SOURCE = pathlib.Path(__file__).with_suffix(".c")


def make_fit(num_samples=10_000, epochs=3):
    """Returns a function that trains for `epochs`, batch size 1, a fresh permutation each."""
    library = _compile_library()
    x, y = sum_data.sums(num_samples)
    random = np.random.default_rng(1)
    weights = random.normal(0, 0.2, library.num_weights()).astype("float32")
    state = ctypes.create_string_buffer(library.state_size())
    library.start(state, _make_pointer(weights))

    def run_epoch():
        start = time.perf_counter()
        order = random.permutation(num_samples)
        library.epoch(
            state,
            _make_pointer(x),
            _make_pointer(y),
            _make_pointer(order),
            ctypes.c_long(num_samples),
        )
        return time.perf_counter() - start

    def run():
        start = time.perf_counter()
        seconds = [run_epoch() for _ in range(epochs)]
        return sum_data.summarize_times(seconds, num_samples, time.perf_counter() - start)

    return run


def _compile_library():
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/sum_in_c.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, str(SOURCE), "-o", path, "-lm"], check=True)
        library = ctypes.CDLL(path)
    library.epoch.restype = ctypes.c_double
    return library


def _make_pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)
