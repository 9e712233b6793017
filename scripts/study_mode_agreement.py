"""How far do the modes' losses differ, step by step? The sum regressor and the tutorial's MSGGAN.

Command: .venv/bin/python scripts/study_mode_agreement.py [mode ...]
Cost: a minute or two for graph, eager and xla on 2 cores. MSGGAN in fused mode is another matter:
XLA's convolutions in a loop use one core of a CPU; allow an hour.
Expected: relative differences from graph of at most 1e-5 over an epoch of the sum regressor, and
of at most 1e-3 over the first 4 steps of MSGGAN with its dropout and both Adams.
"""

import sys

import keras
import numpy as np
import rich.console
import rich.table

import kerasmodes as km

MODES = ("graph", "eager", "xla", "fused")


def sum_losses(mode):
    keras.utils.set_random_seed(0)
    x, y = km.data.sums(num_samples=1_000, seed=0)
    model = km.SumRegressor()
    model.compile(optimizer="adam", mode=mode)
    return model.fit(x, y, batch_size=1, shuffle=False, verbose=0).history["loss"]


def gan_losses(mode, num_steps=4):
    keras.utils.set_random_seed(0)
    gan = km.MSGGAN(seed=0)
    gan.compile(mode=mode)
    losses = []
    for batch in km.data.images("fashion_mnist_sample", batch_size=64, seed=0).take(num_steps):
        logs = gan.train_on_batch(batch, return_dict=True)
        losses += [logs["g_loss"], logs["d_loss"]]
    return losses


def main(modes=MODES):
    table = rich.table.Table(title="Largest relative difference of a loss from graph")
    for heading in ("mode", "sum regressor", "MSGGAN"):
        table.add_column(heading, justify="right")
    references = {}
    for mode in modes:
        cells = []
        for losses_of in (sum_losses, gan_losses):
            losses = np.array(losses_of(mode))
            reference = references.setdefault(losses_of, losses)
            cells.append(f"{np.max(np.abs(losses / reference - 1)):.1e}")
        table.add_row(mode, *cells)
    rich.console.Console().print(table)


if __name__ == "__main__":
    main(("graph", *sys.argv[1:]) if sys.argv[1:] else MODES)
