"""How far do the modes' losses differ, step by step? The sum regressor and the tutorial's MSGGAN.

Command: .venv/bin/python scripts/studies/study_mode_agreement.py [mode ...]
Cost: three minutes for graph, eager and xla on 2 cores. MSGGAN in fused mode takes about an hour:
XLA's convolutions in a loop use one core of a CPU.
Expected: relative differences from graph of at most 1e-5 over an epoch of the sum regressor, and
over the first 4 steps of MSGGAN with SGD. Adam's first steps divide each gradient by its own size,
so the differences are larger. The row "graph, nudged" shows how large they may be: there, graph
mode starts from weights moved by one part in ten million, the rounding of a float32.
"""

import sys

import keras
import numpy as np
import rich.console
import rich.table

import kerasmodes as km

MODES = ("graph", "eager", "xla", "fused")
NUDGED = "graph, nudged"
NUDGE = 1e-7
OPTIMIZERS = {
    "MSGGAN, SGD": lambda: keras.optimizers.SGD(1e-3),
    "MSGGAN, Adam": lambda: keras.optimizers.Adam(1e-3),
}


def train_sum_regressor(way):
    keras.utils.set_random_seed(0)
    x, y = km.data.sums(num_samples=1_000, seed=0)
    model = km.SumRegressor()
    model.build(x.shape)
    _compile(model, way, "adam")
    return model.fit(x, y, batch_size=1, shuffle=False, verbose=0).history["loss"]


def train_msggan(way, make_optimizer, num_steps=4):
    keras.utils.set_random_seed(0)
    gan = km.MSGGAN.from_preset("tutorial", seed=0)
    _compile(gan, way, make_optimizer(), make_optimizer())
    losses = []
    for batch in km.data.images("fashion_mnist_sample", batch_size=64, seed=0).take(num_steps):
        logs = gan.train_on_batch(batch, return_dict=True)
        losses += [logs["g_loss"], logs["d_loss"]]
    return losses


def _compile(model, way, *optimizers):
    if way == NUDGED:
        signs = np.random.default_rng(0)
        model.set_weights(
            [w * (1 + NUDGE * signs.choice([-1, 1], w.shape)) for w in model.get_weights()]
        )
    model.compile(*optimizers, mode=way.partition(",")[0])


def main(modes=MODES):
    studies = {"sum regressor": train_sum_regressor} | {
        name: lambda way, make=make: train_msggan(way, make) for name, make in OPTIMIZERS.items()
    }
    table = rich.table.Table(title="Largest relative difference of a loss from graph")
    table.add_column("mode")
    for name in studies:
        table.add_column(name, justify="right")
    references = {}
    for way in (modes[0], NUDGED, *modes[1:]):
        cells = []
        for name, train in studies.items():
            losses = np.array(train(way))
            reference = references.setdefault(name, losses)
            cells.append(f"{np.max(np.abs(losses / reference - 1)):.1e}")
        table.add_row(way, *cells)
    rich.console.Console().print(table)


if __name__ == "__main__":
    main(tuple(dict.fromkeys(("graph", *sys.argv[1:]))) if sys.argv[1:] else MODES)
