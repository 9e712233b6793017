"""Does the sum regressor reach the tutorial's quality, both in graph and in fused mode?

Command: .venv/bin/python scripts/studies/study_sum_quality.py [number of seeds, 3 by default]
Cost: 5 to 10 minutes on 2 cores, nearly all of them in graph mode.
Expected: validation losses below the tutorial's, medians over the seeds, after epochs 1, 2 and 3 of
batch size 1. The tutorial: 0.0481, 0.0103, 0.0070. Adam's constant 1e-3, as in the tutorial:
0.0298, 0.0066, 0.0040. A rate that falls by a factor of 0.4 after each epoch: 0.0298, 0.0055,
0.0029.
"""

import statistics
import sys

import keras
import rich.console
import rich.table

import kerasmodes as km

NUM_SAMPLES = 10_000
TUTORIAL = (0.0481, 0.0103, 0.0070)


def make_falling_adam():
    schedule = keras.optimizers.schedules.ExponentialDecay(
        1e-3, decay_steps=NUM_SAMPLES, decay_rate=0.4, staircase=True
    )
    return keras.optimizers.Adam(schedule)


RECIPES = {"constant 1e-3": keras.optimizers.Adam, "falling": make_falling_adam}


def train_and_validate(make_optimizer, mode, seed):
    keras.utils.set_random_seed(seed)
    x, y = km.data.sums(NUM_SAMPLES, num_features=20, seed=seed)
    model = km.SumRegressor()
    model.compile(optimizer=make_optimizer(), mode=mode)
    history = model.fit(
        x,
        y,
        batch_size=1,
        epochs=len(TUTORIAL),
        validation_data=km.data.sums(100, 20, seed=seed + 1_000),
        verbose=2,
    )
    return history.history["val_loss"]


def main(num_seeds=3):
    table = rich.table.Table(title=f"Validation loss, median of {num_seeds} seeds")
    for heading in ("learning rate", "mode", "epoch 1", "epoch 2", "epoch 3"):
        table.add_column(heading, justify="right")
    table.add_row("tutorial", "", *(f"{loss:.4f}" for loss in TUTORIAL))
    for mode in ("fused", "graph"):
        for name, make_optimizer in RECIPES.items():
            runs = [train_and_validate(make_optimizer, mode, seed) for seed in range(num_seeds)]
            medians = [statistics.median(epoch) for epoch in zip(*runs, strict=True)]
            table.add_row(name, mode, *(f"{loss:.4f}" for loss in medians))
    rich.console.Console().print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
