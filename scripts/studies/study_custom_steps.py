"""Do train steps in the style of keras.io give the same numbers in every mode, and how fast?

Command: .venv/bin/python scripts/studies/study_custom_steps.py [number of steps, 20 by default]
Cost: about 4 minutes of one core, most of them in eager mode, which runs the steps' Python.
Expected: relative differences from graph of at most 3e-6 over 20 steps, with SGD and with Adam. In
distillation 2e-5: the divergence of two close distributions is only 0.02, and digits cancel.
The microseconds include the overhead of `fit`: compare their ratios only.
"""

import sys
import time

import keras
import rich.console
import rich.table
from custom_steps import RECIPES

MODES = ("graph", "eager", "xla", "fused")
OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.01),
    "Adam": lambda: keras.optimizers.Adam(1e-3),
}
BATCH_SIZE = 4
TIMED_STEPS = {"graph": 400, "eager": 20, "xla": 400, "fused": 400}


class StepLogs(keras.callbacks.Callback):
    """Stores each execution's logs under the index of its last step."""

    def __init__(self):
        super().__init__()
        self.logs = {}

    def on_train_batch_end(self, batch, logs=None):
        self.logs[batch] = {name: float(value) for name, value in logs.items()}


def compile_model(name, make_optimizer, mode, **arguments):
    keras.utils.set_random_seed(0)
    make_model, make_arguments, _ = RECIPES[name]
    model = make_model()
    model.compile(**make_arguments(make_optimizer), mode=mode, **arguments)
    return model


def fit(model, name, num_steps, **arguments):
    data = RECIPES[name][2](num_steps * BATCH_SIZE)
    model.fit(*data, batch_size=BATCH_SIZE, shuffle=False, verbose=0, **arguments)


def collect_logs(name, make_optimizer, mode, num_steps):
    """Returns the logs by step; in fused mode, those of the last step of each execution."""
    steps_per_execution = max(1, num_steps // 4) if mode == "fused" else 1
    model = compile_model(name, make_optimizer, mode, steps_per_execution=steps_per_execution)
    step_logs = StepLogs()
    fit(model, name, num_steps, callbacks=[step_logs])
    return step_logs.logs


def measure_microseconds(name, make_optimizer, mode):
    """Returns the microseconds of a step, the overhead of `fit` included."""
    num_steps = TIMED_STEPS[mode]
    model = compile_model(name, make_optimizer, mode)
    seconds = []
    for _ in range(3):  # the first traces and compiles
        start = time.perf_counter()
        fit(model, name, num_steps)
        seconds.append(time.perf_counter() - start)
    return 1e6 * min(seconds) / num_steps


def find_largest_difference(logs, reference):
    """Returns the largest relative difference from the reference's logs of the same steps."""
    return max(
        abs(value - reference[step][name]) / max(abs(reference[step][name]), 1e-3)
        for step, values in logs.items()
        for name, value in values.items()
    )


def make_rows(name, optimizer, num_steps):
    """Yields the cells of each mode."""
    reference = None
    for mode in MODES:
        logs = collect_logs(name, OPTIMIZERS[optimizer], mode, num_steps)
        microseconds = measure_microseconds(name, OPTIMIZERS[optimizer], mode)
        reference = reference or logs
        losses = [value for key, value in logs[num_steps - 1].items() if "loss" in key]
        shown = ", ".join(f"{loss:.6f}" for loss in losses)
        difference = f"{find_largest_difference(logs, reference):.1e}"
        yield name, optimizer, mode, shown, difference, f"{microseconds:,.0f}"


def main(num_steps=20):
    table = rich.table.Table(title=f"After {num_steps} steps of batch size {BATCH_SIZE}")
    headings = ("model", "optimizer", "mode", "losses", "difference from graph", "µs per step")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < 3 else "right")
    for name in RECIPES:
        for optimizer in OPTIMIZERS:
            for cells in make_rows(name, optimizer, num_steps):
                table.add_row(*cells)
            table.add_section()
    rich.console.Console(width=100).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
